//! Children of a process that handles signals itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use om_stage::{Hook, RunOptions, StageOutput, end_children, keep_children_on_signals};
use signal_hook::consts::SIGTERM;

/// A child that says what happens to it and ends when told by a file.
fn child(dir: &Path, name: &str) -> JoinHandle<StageOutput> {
    let (started, go) = (dir.join(format!("{name}.started")), dir.join("go"));
    let script = format!(
        "trap 'echo asked to end; exit 3' TERM; touch {}; \
         while [ ! -e {} ]; do sleep 0.01; done; echo finished",
        started.display(),
        go.display()
    );
    let running = thread::spawn(move || {
        let options = RunOptions::default();
        Hook::exact("V", "sh").run(&["-c", &script], &options)
    });
    wait_until(|| started.exists());
    running
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen");
        thread::yield_now();
    }
}

#[test]
fn a_process_that_handles_signals_itself_keeps_its_children_or_ends_them() {
    let dir = tempfile::tempdir().expect("a folder");
    // The watcher runs already when the process takes signals over.
    Hook::exact("V", "true").run::<&str>(&[], &RunOptions::default());
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&seen)).expect("registered");
    keep_children_on_signals();

    let kept = child(dir.path(), "kept");
    signal_hook::low_level::raise(SIGTERM).expect("raised");
    wait_until(|| seen.load(Ordering::SeqCst));
    fs::write(dir.path().join("go"), "").expect("told");
    let output = kept.join().expect("no panic");
    assert_eq!(
        (output.exit_code, output.stdout),
        (0, b"finished\n".to_vec())
    );

    fs::remove_file(dir.path().join("go")).expect("taken back");
    let ended = child(dir.path(), "ended");
    end_children();
    let output = ended.join().expect("no panic");
    assert_eq!(
        (output.exit_code, output.stdout),
        (3, b"asked to end\n".to_vec())
    );
}
