//! Many passes at a time (chapter 05 §2.4 *Order*; decisions D7, D11).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::time::Duration;

use om_fleet::fanout::{Cut, Decided, Limits, Lost, Step, Turn, Work, fan_out};
use om_store::{Commit, Scope};
use tokio::sync::oneshot;

/// What one item does.
type Act = Box<dyn Fn(usize, &Turn) -> Step<String> + Send + Sync>;

struct Script {
    act: Act,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Work for Script {
    type Outcome = String;

    fn pass(&self, index: usize, turn: &Turn) -> Step<String> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let step = (self.act)(index, turn);
        self.running.fetch_sub(1, Ordering::SeqCst);
        step
    }

    fn lost(&self, index: usize, _: &Turn, lost: Lost) -> String {
        format!("{index} {lost:?}")
    }
}

struct Ran {
    outcomes: Vec<Option<String>>,
    most: usize,
}

fn limits(max_parallel: usize) -> Limits {
    Limits::new(max_parallel, Duration::from_secs(30), 4096)
}

fn run(count: usize, limits: Limits, act: Act) -> Ran {
    let fleet = tempfile::tempdir().expect("a folder");
    run_in(fleet.path(), count, limits, std::future::pending(), act)
}

fn run_in(
    fleet: &Path,
    count: usize,
    limits: Limits,
    stop: impl Future<Output = ()>,
    act: Act,
) -> Ran {
    let work = Arc::new(Script {
        act,
        running: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let fleet = Scope::open(fleet).expect("a scope");
    let outcomes = runtime.block_on(fan_out(Arc::clone(&work), count, limits, &fleet, stop));
    // A pass that was given up may still work.
    runtime.shutdown_background();
    Ran {
        outcomes,
        most: work.most.load(Ordering::SeqCst),
    }
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// Something that a test waits for.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.1.wait_while(open, |open| !*open);
        drop(opened.unwrap_or_else(PoisonError::into_inner));
    }
}

#[test]
fn outcomes_are_in_the_order_of_start_whatever_ends_first() {
    let gate = Arc::new(Gate::default());
    let ran = run(
        3,
        limits(3),
        Box::new(move |index, _| {
            if index == 2 {
                gate.open();
            } else {
                gate.wait();
            }
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes, some(&["0", "1", "2"]));
}

#[test]
fn no_more_run_than_may_and_as_many_as_may() {
    let together = Barrier::new(4);
    let ran = run(
        12,
        limits(4),
        Box::new(move |index, _| {
            together.wait();
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes.iter().flatten().count(), 12);
    assert_eq!(ran.most, 4);
}

#[test]
fn the_next_one_starts_when_any_ends_not_when_the_oldest_does() {
    let gate = Arc::new(Gate::default());
    let ran = run(
        20,
        limits(2),
        Box::new(move |index, _| {
            match index {
                // The oldest ends last of all.
                0 => gate.wait(),
                19 => gate.open(),
                _ => {}
            }
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes.iter().flatten().count(), 20);
}

#[test]
fn a_pass_that_never_comes_back_is_given_up_and_holds_nobody_back() {
    let never = Arc::new(Gate::default());
    let release = Arc::clone(&never);
    let mut limits = limits(1);
    limits.time_limit = Duration::from_millis(50);
    let ran = run(
        3,
        limits,
        Box::new(move |index, _| {
            match index {
                0 => never.wait(),
                // Let it go in the end, so that nobody waits for it.
                2 => release.open(),
                _ => {}
            }
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes, some(&["0 Late", "1", "2"]));
}

#[test]
fn a_pass_that_looks_at_its_time_ends_by_itself() {
    let mut limits = limits(1);
    limits.time_limit = Duration::from_millis(20);
    let ran = run(
        1,
        limits,
        Box::new(|_, turn| {
            let cut = turn.drive(std::future::pending::<()>());
            Step::Ended(format!("{cut:?}"))
        }),
    );
    assert_eq!(ran.outcomes, some(&["Err(Deadline)"]));
}

#[test]
fn a_panic_is_an_outcome_like_any_other() {
    let ran = run(
        2,
        limits(1),
        Box::new(|index, _| {
            assert_ne!(index, 0, "this is what the test wants");
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes, some(&["0 Panicked", "1"]));
}

/// A pass that writes its index into its own scope.
fn decided(root: &Path, index: usize, expect: om_store::Expect) -> Step<String> {
    let scope = Scope::open(root.join(index.to_string())).expect("a scope");
    let options = om_store::DocumentOptions {
        expect,
        ..om_store::DocumentOptions::default()
    };
    let path = scope.dir().join("state.json");
    let commit = Commit::new().document_with(path, index.to_string(), options);
    Step::Decided(Box::new(Decided {
        scope,
        commit,
        then: Box::new(move |result, _| match result {
            Ok(_) => format!("{index} committed"),
            Err(error) => format!("{index} {}", error.to_string().contains("changed")),
        }),
        otherwise: format!("{index} otherwise"),
    }))
}

#[test]
fn decided_passes_are_committed_in_groups_and_reported_after_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let mut limits = limits(8);
    limits.group = 7;
    let ran = run_in(
        &folder.path().join("fleet"),
        40,
        limits,
        std::future::pending(),
        Box::new(move |index, _| decided(&root, index, om_store::Expect::Any)),
    );
    for (index, outcome) in ran.outcomes.iter().enumerate() {
        assert_eq!(
            outcome.as_deref(),
            Some(format!("{index} committed").as_str())
        );
        let written = std::fs::read_to_string(folder.path().join(format!("{index}/state.json")));
        assert_eq!(written.expect("written"), index.to_string());
    }
}

#[test]
fn more_than_one_group_may_be_decided_at_once() {
    const AT_ONCE: usize = om_store::MAX_GROUP + 44;
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let together = Barrier::new(AT_ONCE);
    let ran = run_in(
        &folder.path().join("fleet"),
        AT_ONCE,
        Limits::new(AT_ONCE, Duration::from_secs(60), u64::MAX),
        std::future::pending(),
        Box::new(move |index, _| {
            let step = decided(&root, index, om_store::Expect::Any);
            together.wait();
            step
        }),
    );
    let committed = |outcome: &&Option<String>| {
        outcome
            .as_ref()
            .is_some_and(|text| text.ends_with(" committed"))
    };
    assert_eq!(ran.outcomes.iter().filter(committed).count(), AT_ONCE);
}

#[test]
fn a_commit_that_is_refused_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    std::fs::create_dir(root.join("1")).expect("a folder");
    std::fs::write(root.join("1/state.json"), "an edit").expect("written");
    let ran = run_in(
        &folder.path().join("fleet"),
        3,
        limits(3),
        std::future::pending(),
        Box::new(move |index, _| decided(&root, index, om_store::Expect::Absent)),
    );
    let expected = some(&["0 committed", "1 true", "2 committed"]);
    assert_eq!(ran.outcomes, expected);
    let kept = std::fs::read_to_string(folder.path().join("1/state.json"));
    assert_eq!(kept.expect("readable"), "an edit");
}

#[test]
fn when_everything_is_to_end_nothing_is_started_and_what_is_decided_is_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let (tell, told) = oneshot::channel::<()>();
    let tell = Mutex::new(Some(tell));
    let stop = async {
        told.await.expect("told");
    };
    let ran = run_in(
        &folder.path().join("fleet"),
        100,
        limits(2),
        stop,
        Box::new(move |index, turn| match index {
            0 => decided(&root, index, om_store::Expect::Any),
            1 => {
                let tell = tell.lock().unwrap_or_else(PoisonError::into_inner).take();
                tell.expect("once").send(()).expect("somebody listens");
                match turn.drive(std::future::pending::<()>()) {
                    Err(Cut::Stop) => Step::Stopped,
                    other => Step::Ended(format!("{other:?}")),
                }
            }
            _ => match turn.drive(std::future::pending::<()>()) {
                Err(Cut::Stop) => Step::Stopped,
                other => Step::Ended(format!("{other:?}")),
            },
        }),
    );
    assert_eq!(ran.outcomes[0].as_deref(), Some("0 committed"));
    assert!(ran.outcomes[1..].iter().all(Option::is_none));
    assert!(folder.path().join("0/state.json").is_file());
}

#[test]
fn a_pass_that_does_not_hear_is_not_waited_for_when_everything_is_to_end() {
    let (tell, told) = oneshot::channel::<()>();
    let tell = Mutex::new(Some(tell));
    let folder = tempfile::tempdir().expect("a folder");
    let deaf = Arc::new(Gate::default());
    let held = Arc::clone(&deaf);
    let ran = run_in(
        folder.path(),
        2,
        limits(1),
        async { told.await.expect("told") },
        Box::new(move |index, _| {
            if let Some(tell) = tell.lock().unwrap_or_else(PoisonError::into_inner).take() {
                tell.send(()).expect("somebody listens");
            }
            held.wait();
            Step::Ended(index.to_string())
        }),
    );
    assert_eq!(ran.outcomes, [None, None]);
    deaf.open();
}

#[test]
fn what_comes_after_a_commit_does_not_hold_others_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let gate = Arc::new(Gate::default());
    let ran = run_in(
        &folder.path().join("fleet"),
        30,
        limits(2),
        std::future::pending(),
        Box::new(move |index, _| {
            let Step::Decided(mut step) = decided(&root, index, om_store::Expect::Any) else {
                return Step::Stopped;
            };
            let gate = Arc::clone(&gate);
            match index {
                0 => {
                    step.then = Box::new(move |_, _| {
                        gate.wait();
                        "0 last".to_owned()
                    });
                }
                29 => {
                    step.then = Box::new(move |_, _| {
                        gate.open();
                        "29 first".to_owned()
                    });
                }
                _ => {}
            }
            Step::Decided(step)
        }),
    );
    assert_eq!(ran.outcomes[0].as_deref(), Some("0 last"));
    assert_eq!(ran.outcomes[29].as_deref(), Some("29 first"));
}

#[test]
fn groups_are_as_large_as_the_open_files_allow() {
    let group = |parallel, files| Limits::new(parallel, Duration::ZERO, files).group;
    assert_eq!(group(2, u64::MAX), 256);
    assert_eq!(group(2, 1024), 146);
    assert_eq!(group(2, 100), 1);
    assert_eq!(group(1000, 1024), 1);
    assert_eq!(Limits::new(0, Duration::ZERO, 1024).max_parallel, 1);
}
