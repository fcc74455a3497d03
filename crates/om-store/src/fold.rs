//! Small summaries of whole journals, kept beside them.
//!
//! Questions over all history (the latest row per candidate, the number of
//! executions) are answered by continuing a saved summary over the rows that
//! are new. It is derived data: missing, foreign or mismatched ones are
//! rebuilt by one scan, so nothing depends on a save having worked.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{Sha256Digest, digest};
use crate::error::ReadError;
use crate::journal::{last_rows, open_regular};
use crate::lines::LineReader;
use crate::open::{is_not_regular, open_plain};
use crate::scope::{STORE_DIR, Scope};
use crate::view::spliced;

/// A fold is saved once this many bytes of rows are new.
const SAVE_AFTER: u64 = 16 * 1024;

/// This many bytes before the covered end tell whether the journal is still
/// the one that was folded.
const FINGERPRINT: u64 = 4096;

/// A summary of a journal, row by row.
pub trait Fold: Serialize + DeserializeOwned + Default {
    /// Names the fold among those of a journal; a safe file name.
    const NAME: &'static str;
    /// To be raised when its meaning changes: saved ones are then rebuilt.
    const VERSION: u32;
    /// Set if only this many of the last rows count, so that making the fold
    /// anew need not start at the first row.
    const LAST_ROWS: Option<usize> = None;

    /// Takes in the next complete line (without its newline, possibly blank),
    /// which starts at byte `offset`.
    fn add(&mut self, row: &[u8], offset: u64);
}

/// The fold `F` over all complete lines of `journal`.
///
/// For commands that write: continues from what `scope` has saved, and saves
/// what is worth it. Readers use [`crate::View::fold`].
pub fn read_fold<F: Fold>(journal: &Path, scope: &Scope) -> Result<F, ReadError> {
    let failed = |source| ReadError::new(journal, source);
    let path = fold_path::<F>(journal, scope.dir());
    let mut saved = load::<F>(&path, journal, u64::MAX)?;
    let covered = saved.covered;
    if let (0, Some(n)) = (covered, F::LAST_ROWS) {
        let rows = last_rows(journal, n)?;
        saved.covered = rows.first().map_or(0, |row| row.offset);
    }
    let now = advance(saved, journal, u64::MAX, &[]).map_err(failed)?;
    if now.covered.abs_diff(covered) >= SAVE_AFTER {
        save(&path, journal, &now).unwrap_or_else(|error| {
            tracing::debug!(path = %path.display(), %error, "summary not saved, it will be made again");
        });
    }
    Ok(now.fold)
}

/// The fold over the first `keep` bytes of `journal` followed by `new`.
pub(crate) fn fold_over<F: Fold>(
    journal: &Path,
    scope_dir: &Path,
    keep: u64,
    new: &[u8],
) -> Result<F, ReadError> {
    let saved = load(&fold_path::<F>(journal, scope_dir), journal, keep)?;
    let now = advance(saved, journal, keep, new);
    Ok(now.map_err(|source| ReadError::new(journal, source))?.fold)
}

#[derive(Serialize, Deserialize)]
struct Saved<F> {
    version: u32,
    /// Bytes of the journal that are folded.
    covered: u64,
    /// Digest of the last bytes of those.
    fingerprint: Option<Sha256Digest>,
    fold: F,
}

/// [`Saved`] for writing.
#[derive(Serialize)]
struct Written<'a, F> {
    version: u32,
    covered: u64,
    fingerprint: Sha256Digest,
    fold: &'a F,
}

impl<F: Fold> Saved<F> {
    fn nothing() -> Self {
        Self {
            version: F::VERSION,
            covered: 0,
            fingerprint: None,
            fold: F::default(),
        }
    }
}

/// `<scope>/.store/folds/<journal>.<NAME>.json`; journals outside of the
/// scope, or in folders of it, are told apart by their path.
fn fold_path<F: Fold>(journal: &Path, scope_dir: &Path) -> PathBuf {
    let place = journal.strip_prefix(scope_dir).unwrap_or(journal);
    let text = place.to_string_lossy();
    let name = if text.contains('/') {
        let short: String = digest(text.as_bytes())
            .to_string()
            .chars()
            .take(8)
            .collect();
        format!(
            "{}-{short}",
            place.file_name().unwrap_or_default().to_string_lossy()
        )
    } else {
        text.into_owned()
    };
    scope_dir
        .join(STORE_DIR)
        .join("folds")
        .join(format!("{name}.{}.json", F::NAME))
}

/// What was saved, if it is about the first `keep` bytes of this journal;
/// else a fold over nothing. Fails only if something that is not a file
/// stands there.
fn load<F: Fold>(path: &Path, journal: &Path, keep: u64) -> Result<Saved<F>, ReadError> {
    let mut bytes = Vec::new();
    let read = open_plain(path, OpenOptions::new().read(true))
        .and_then(|mut file| file.read_to_end(&mut bytes));
    match read {
        Err(error) if is_not_regular(&error) => return Err(ReadError::new(path, error)),
        Err(_) => return Ok(Saved::nothing()),
        Ok(_) => {}
    }
    let parsed = serde_json::from_slice::<Saved<F>>(&bytes).ok();
    let fits = |saved: &Saved<F>| {
        let found = fingerprint(journal, saved.covered).ok().flatten();
        saved.version == F::VERSION && saved.covered <= keep && found == saved.fingerprint
    };
    Ok(parsed.filter(fits).unwrap_or_else(Saved::nothing))
}

/// Digest of the last bytes before `covered`; `None` if the journal is
/// shorter.
fn fingerprint(journal: &Path, covered: u64) -> io::Result<Option<Sha256Digest>> {
    let Some(mut file) = open_regular(journal)? else {
        return Ok(None);
    };
    let size = covered.min(FINGERPRINT);
    file.seek(SeekFrom::Start(covered - size))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == size).then(|| digest(&bytes)))
}

fn advance<F: Fold>(
    mut saved: Saved<F>,
    journal: &Path,
    keep: u64,
    new: &[u8],
) -> io::Result<Saved<F>> {
    let source = spliced(journal, saved.covered, keep, new)?;
    let mut reader = LineReader::new(source, saved.covered, 0);
    while let Some(line) = reader.next_line()? {
        saved.fold.add(line.bytes, line.start);
    }
    saved.covered = reader.offset();
    Ok(saved)
}

/// Not synced: a lost or half-written file only costs a scan.
fn save<F: Fold>(path: &Path, journal: &Path, now: &Saved<F>) -> io::Result<()> {
    let Some(fingerprint) = fingerprint(journal, now.covered)? else {
        return Ok(());
    };
    let written = Written {
        version: now.version,
        covered: now.covered,
        fingerprint,
        fold: &now.fold,
    };
    let bytes = serde_json::to_vec(&written)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // One name per process: two of them never write into each other's file.
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    open_plain(&temporary, &mut options)?.write_all(&bytes)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    /// Rows and bytes; counts in memory how many rows were looked at.
    #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Count {
        rows: u64,
        last: u64,
        #[serde(skip)]
        looked_at: u64,
    }

    impl Fold for Count {
        const NAME: &'static str = "count";
        const VERSION: u32 = 1;
        fn add(&mut self, _: &[u8], offset: u64) {
            self.rows += 1;
            self.last = offset;
            self.looked_at += 1;
        }
    }

    struct Place {
        _folder: tempfile::TempDir,
        scope: Scope,
        journal: PathBuf,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let scope = Scope::open(folder.path().join("a")).expect("opened");
        let journal = scope.dir().join("telemetry/rows.jsonl");
        fs::create_dir(scope.dir().join("telemetry")).expect("made");
        Place {
            _folder: folder,
            scope,
            journal,
        }
    }

    impl Place {
        fn add(&self, rows: usize) {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.journal)
                .expect("opened");
            file.write_all("a row of 16 byte\n".repeat(rows).as_bytes())
                .expect("written");
        }

        fn fold(&self) -> Count {
            read_fold(&self.journal, &self.scope).expect("readable")
        }
    }

    #[test]
    fn only_new_rows_are_looked_at() {
        let place = place();
        assert_eq!(place.fold().rows, 0);
        place.add(10_000);
        assert_eq!(place.fold().looked_at, 10_000);
        place.add(2);
        let fold = place.fold();
        assert_eq!(
            (fold.rows, fold.looked_at, fold.last),
            (10_002, 2, 10_001 * 17)
        );
    }

    #[test]
    fn a_journal_that_is_not_the_one_folded_is_scanned_again() {
        let place = place();
        place.add(10_000);
        place.fold();
        fs::write(&place.journal, "x\n".repeat(200_000)).expect("replaced");
        assert_eq!(place.fold().rows, 200_000);
        fs::write(&place.journal, "x\n").expect("cut");
        assert_eq!(place.fold().rows, 1);
        fs::remove_file(&place.journal).expect("removed");
        assert_eq!(place.fold().rows, 0);
    }

    #[test]
    fn a_damaged_saved_fold_is_made_again() {
        let place = place();
        place.add(10_000);
        place.fold();
        let saved = fold_path::<Count>(&place.journal, place.scope.dir());
        fs::write(&saved, "{").expect("damaged");
        assert_eq!(place.fold().looked_at, 10_000);
        assert_eq!(place.fold().looked_at, 0);
    }

    #[test]
    fn an_unterminated_tail_is_not_folded_until_it_is_a_row() {
        let place = place();
        fs::write(&place.journal, "a\nb").expect("written");
        assert_eq!(place.fold().rows, 1);
        fs::write(&place.journal, "a\nb\n").expect("written");
        assert_eq!(place.fold().rows, 2);
    }
}
