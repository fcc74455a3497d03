//! A bridge that is killed at any moment queues every envelope exactly once:
//! the next run goes on from before or after its commit.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use om_horizon::{Bridge, Start, run, run_in};
use om_store::disk::Disk;
use om_store::{RepoLayout, Scope};
use serde_json::{Value, json};

use crate::hooked::{Fate, Hooked};
use crate::support::{NOBODY, Place, envelope, files_below, lines, put, trace};

/// What the child does: the operation at which it dies (`-` for never),
/// `half` or `whole`, the outbox, the repository.
const CHILD: &str = "OM_HORIZON_CHILD";

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_tests() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let parts: Vec<&str> = task.split('|').collect();
    let [at, half, outbox, repo] = parts[..] else {
        panic!("four parts")
    };
    let layout = RepoLayout::new(PathBuf::from(repo));
    let bridge = Bridge {
        outbox_dir: outbox.into(),
        ..Bridge::new(layout.clone(), trace("killed"))
    };
    let Ok(at) = at.parse::<usize>() else {
        run(&bridge).expect("runs");
        return;
    };
    let fate = if half == "half" {
        Fate::DieHalfway
    } else {
        Fate::Die
    };
    let disk: Arc<dyn Disk> = Arc::new(Hooked::new(
        move |position| if position == at { fate } else { Fate::Go },
    ));
    let scope = Scope::open_on(layout.fleet_scope_dir(), disk, 1 << 20).expect("opened");
    run_in(&scope, &bridge, &Start::at(SystemTime::now(), NOBODY)).expect("runs");
}

fn child(task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command
        .args([
            "--exact",
            "kills::child_of_the_kill_tests",
            "--test-threads=1",
        ])
        .env(CHILD, task)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Two files that are good, one that is not, and an entry from before.
fn fill(place: &Place, outbox: &Path) {
    place.put_queue(&json!({"intents": [
        {"packetId": "old", "traceId": "1", "createdAt": "2020-01-01T00:00:00Z", "owner": "dana"},
    ]}));
    put(
        &outbox.join("a.jsonl"),
        &lines(&[envelope("a", "1"), envelope("a", "2")]),
    );
    put(&outbox.join("team/b.jsonl"), &lines(&[envelope("b", "1")]));
    put(
        &outbox.join("team/c.jsonl"),
        &(lines(&[envelope("c", "1")]) + "{\n"),
    );
}

fn is_once(place: &Place, outbox: &Path, case: &str) {
    assert_eq!(place.queued(), ["old::1", "a::1", "a::2", "b::1"], "{case}");
    assert_eq!(files_below(outbox), Vec::<String>::new(), "{case}");
    let claims = files_below(&place.claims());
    let rows = place.rows_of("horizon_bridge_file");
    let told: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["claimTarget"].as_str())
        .collect();
    assert_eq!(
        (claims.len(), rows.len()),
        (3, 3),
        "{case}: {claims:?} {rows:?}"
    );
    assert!(
        claims.iter().all(|claim| told.contains(claim.as_str())),
        "{case}: {claims:?}"
    );
    let keys = &place.state()["dedupe"]["keys"];
    assert_eq!(*keys, json!(["a::1", "a::2", "b::1", "old::1"]), "{case}");
    let runs = place.rows_of("horizon_bridge_run");
    let queued = runs
        .iter()
        .map(|row| row["summary"]["queuedEnvelopeCount"].as_u64());
    assert_eq!(queued.sum::<Option<u64>>(), Some(3), "{case}");
}

fn killed_at_every_operation(half: &str, outbox_of: impl Fn(&Place) -> PathBuf) {
    for at in 0.. {
        let place = Place::new();
        let outbox = outbox_of(&place);
        fill(&place, &outbox);
        let task = format!(
            "{at}|{half}|{}|{}",
            outbox.display(),
            place.repo().display()
        );
        let status = child(&task).status().expect("runs");
        let died = status.signal() == Some(9);
        assert!(died || status.success(), "{at}: {status}");
        let bridge = Bridge {
            outbox_dir: outbox.clone(),
            ..place.bridge()
        };
        place.run_with(&bridge).expect("runs");
        is_once(&place, &outbox, &format!("killed at {at}, {half}"));
        if !died {
            assert!(at > 10, "it did something");
            return;
        }
    }
}

#[test]
fn every_envelope_is_queued_once_wherever_it_dies() {
    killed_at_every_operation("whole", |place| place.bridge().outbox_dir);
}

#[test]
fn every_envelope_is_queued_once_wherever_a_write_is_cut_short() {
    killed_at_every_operation("half", |place| place.bridge().outbox_dir);
}

#[test]
fn every_envelope_of_another_file_system_is_queued_once_wherever_it_dies() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    killed_at_every_operation("whole", |_| other.path().to_owned());
}

#[test]
fn bridges_killed_at_any_time_lose_and_double_nothing() {
    const KILLS: u32 = 40;
    let place = Place::new();
    let outbox = place.bridge().outbox_dir;
    let task = |at: &str| format!("{at}|whole|{}|{}", outbox.display(), place.repo().display());
    put(&outbox.join("warm.jsonl"), &lines(&[envelope("warm", "1")]));
    let begun = Instant::now();
    assert!(child(&task("-")).status().expect("runs").success());
    let usual = begun.elapsed();
    let mut expected = vec!["warm::1".to_owned()];
    for number in 0..KILLS {
        let packet = format!("p{number:03}");
        put(
            &outbox.join(format!("{packet}.jsonl")),
            &lines(&[envelope(&packet, "t")]),
        );
        expected.push(format!("{packet}::t"));
        let mut bridge = child(&task("-")).spawn().expect("started");
        let until = Instant::now() + usual * number / KILLS;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        bridge.kill().expect("killed");
        bridge.wait().expect("ended");
    }
    place
        .run_at(&place.bridge(), SystemTime::now() + Duration::from_secs(1))
        .expect("runs");
    let mut found = place.queued();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let rows: Vec<Value> = place.rows_of("horizon_bridge_file");
    let files: BTreeSet<String> = rows
        .iter()
        .map(|row| row["sourceFile"].to_string())
        .collect();
    assert_eq!((rows.len(), files.len()), (expected.len(), expected.len()));
    assert_eq!(
        files_below(&place.claims().join("processed")).len(),
        expected.len()
    );
}
