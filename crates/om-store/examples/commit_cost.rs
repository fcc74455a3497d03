//! What a warm commit costs, beside what the same files cost without one.
//!
//! ```text
//! cargo run --release -p om-store --example commit_cost [folder] [rounds]
//! ```
//!
//! Each round writes 7 documents (20 KB in all) and 4 rows. `bare` writes
//! each document to a temporary and renames it, appends the rows, and syncs
//! one of the files: as many durable writes as a commit makes, but none of its
//! promises. `synced` also syncs every file, which is what keeping the
//! promises without a log would take. `sync` is one durable write alone.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use om_store::{Commit, Scope, commit_group};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DOCUMENTS: usize = 7;
const DOCUMENT_BYTES: usize = 2900;
const ROWS: usize = 4;
const ROW_BYTES: usize = 400;
const GROUP: usize = 250;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("om-store-commit-cost");
    let rounds = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;

    report("sync", rounds, 1, one_sync(&folder)?)?;
    report("bare", rounds, 1, bare(folder.join("bare"), false)?)?;
    report("synced", rounds, 1, bare(folder.join("synced"), true)?)?;
    report("commit", rounds, 1, commits(&folder.join("ops/one"))?)?;
    report("group", rounds / 20, GROUP, groups(&folder.join("ops"))?)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Runs `round` that often and prints percentiles per scope.
fn report(
    name: &str,
    rounds: usize,
    scopes: usize,
    mut round: impl FnMut(usize) -> Outcome<()>,
) -> Outcome<()> {
    const WARM_UP: usize = 5;
    let mut times = Vec::new();
    for number in 0..rounds + WARM_UP {
        let begun = Instant::now();
        round(number)?;
        times.push(begun.elapsed());
    }
    let mut times = times.split_off(WARM_UP);
    times.sort_unstable();
    let of = u32::try_from(scopes)?;
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
            / of
    };
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len())? / of;
    println!(
        "{name:>7}: median {:>9.1?}   p99 {:>9.1?}   mean {mean:>9.1?}",
        at(50),
        at(99)
    );
    Ok(())
}

fn document(number: usize) -> Vec<u8> {
    let mut text = format!("{{\"number\":{number},\"text\":\"").into_bytes();
    text.resize(DOCUMENT_BYTES, b'x');
    text
}

fn row(number: usize) -> Vec<u8> {
    let mut text = format!("{{\"row\":{number},\"text\":\"").into_bytes();
    text.resize(ROW_BYTES, b'x');
    text
}

/// 24 KB written over allocated blocks, and synced.
fn one_sync(folder: &Path) -> Outcome<impl FnMut(usize) -> Outcome<()> + use<>> {
    let bytes = vec![b'x'; DOCUMENTS * DOCUMENT_BYTES + ROWS * ROW_BYTES];
    let file = File::create(folder.join("file"))?;
    file.write_all_at(&vec![0; bytes.len() * 16], 0)?;
    file.sync_all()?;
    Ok(move |number: usize| {
        file.write_all_at(&bytes, ((number % 16) * bytes.len()) as u64)?;
        Ok(file.sync_data()?)
    })
}

fn bare(folder: PathBuf, sync_each: bool) -> Outcome<impl FnMut(usize) -> Outcome<()>> {
    fs::create_dir_all(&folder)?;
    Ok(move |number: usize| {
        let sync = |file: &File| if sync_each { file.sync_data() } else { Ok(()) };
        for n in 0..DOCUMENTS {
            let temporary = folder.join(format!("{n}.tmp"));
            let mut file = File::create(&temporary)?;
            file.write_all(&document(number))?;
            sync(&file)?;
            fs::rename(temporary, folder.join(format!("{n}.json")))?;
        }
        for n in 0..ROWS {
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .append(true)
                .open(folder.join(format!("{n}.jsonl")))?;
            file.write_all(&[&row(number)[..], b"\n"].concat())?;
            sync(&file)?;
        }
        let (path, everything) = if sync_each {
            (folder.clone(), true)
        } else {
            (folder.join("0.jsonl"), false)
        };
        let file = File::open(path)?;
        let synced = if everything {
            file.sync_all()
        } else {
            file.sync_data()
        };
        synced?;
        Ok(())
    })
}

fn commit_of(dir: &Path, number: usize) -> Commit {
    let documents = (0..DOCUMENTS).fold(Commit::new(), |commit, n| {
        commit.document(dir.join(format!("{n}.json")), document(number))
    });
    (0..ROWS).fold(documents, |commit, n| {
        commit.row(dir.join(format!("{n}.jsonl")), row(number))
    })
}

fn commits(dir: &Path) -> Outcome<impl FnMut(usize) -> Outcome<()> + use<>> {
    let (scope, dir) = (Scope::open(dir)?, dir.to_owned());
    Ok(move |number: usize| {
        scope.commit(commit_of(&dir, number))?;
        Ok(())
    })
}

fn groups(ops: &Path) -> Outcome<impl FnMut(usize) -> Outcome<()> + use<>> {
    let fleet = Scope::open(ops.join("fleet"))?;
    let loops: Result<Vec<_>, _> = (0..GROUP)
        .map(|n| Scope::open(ops.join(format!("loop-{n}"))))
        .collect();
    let loops = loops?;
    Ok(move |number: usize| {
        let members = loops
            .iter()
            .map(|scope| (scope.clone(), commit_of(scope.dir(), number)))
            .collect();
        for result in commit_group(&fleet, members) {
            result?;
        }
        Ok(())
    })
}
