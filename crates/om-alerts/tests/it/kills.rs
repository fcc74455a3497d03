//! A run that is killed sends at most the row in flight once more, and loses
//! nothing.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use om_alerts::{Courier, DispatchPaths, DispatchRequest, Environment, RetryMode, dispatch};
use om_store::{LoopFile, RepoLayout, Scope};
use serde_json::{Value, json};

use crate::receiver::{Receiver, Reply};
use crate::support::{block_on, built_in, config, loop_id, now, row, trace, webhook};

/// Tells a child where to run: `<repository>|<url>`.
const CHILD: &str = "OM_ALERTS_TEST_CHILD";
const ROWS: usize = 60;

fn run(repo: &Path, url: &str) {
    let files = RepoLayout::new(repo.to_owned()).loop_files(&loop_id());
    let request = DispatchRequest {
        repo_path: "/srv/app".to_owned(),
        loop_id: loop_id(),
        trace_id: trace("t-run"),
        paths: DispatchPaths::of(&files),
        max_escalations: 0,
        retry: RetryMode::All,
    };
    let scope = Scope::open(files.scope_dir()).expect("a scope");
    let resolver = built_in(&config(json!({"a": webhook("URL"), "b": webhook("URL")})));
    let courier = Courier::new(Environment::fixed([("URL", url)]));
    block_on(dispatch(&request, &scope, &resolver, &courier, now)).expect("a run");
}

/// Where children run; nothing happens here in the parent.
#[test]
fn child_of_the_kill_test() {
    if let Ok(task) = std::env::var(CHILD) {
        let (repo, url) = task.split_once('|').expect("two parts");
        run(Path::new(repo), url);
    }
}

fn child(repo: &Path, url: &str) -> Child {
    Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "kills::child_of_the_kill_test"])
        .env(CHILD, format!("{}|{url}", repo.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Sink and row of a request → how often it came.
fn told(receiver: &Receiver) -> BTreeMap<(String, String), usize> {
    let mut told = BTreeMap::new();
    for request in receiver.received() {
        let body = request.json();
        let text = |pointer| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .expect("text")
                .to_owned()
        };
        *told
            .entry((text("/sink/id"), text("/event/category")))
            .or_insert(0) += 1;
    }
    told
}

#[test]
fn a_kill_repeats_at_most_the_row_in_flight_once_per_sink() {
    let folder = tempfile::tempdir().expect("a folder");
    let repo: PathBuf = folder.path().to_owned();
    let files = RepoLayout::new(repo.clone()).loop_files(&loop_id());
    std::fs::create_dir_all(files.scope_dir()).expect("created");
    let rows: Vec<String> = (0..ROWS)
        .map(|number| row(&format!("c{number}"), "t").to_string() + "\n")
        .collect();
    std::fs::write(files.path(LoopFile::Escalations), rows.concat()).expect("written");
    let silent_from = Arc::new(AtomicUsize::new(0));
    let (requests, silent) = (AtomicUsize::new(0), Arc::clone(&silent_from));
    let receiver = Receiver::scripted(move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
        if number == silent.load(Ordering::SeqCst) {
            Reply::Hang
        } else {
            Reply::ok()
        }
    });
    let url = receiver.url("/");
    // A row is in flight for sure where the receiver does not answer; the
    // others are killed wherever they happen to be.
    let kills = [
        (1, true),
        (8, true),
        (21, false),
        (40, true),
        (41, false),
        (70, true),
    ];
    for (at_least, is_silent) in kills {
        silent_from.store(if is_silent { at_least } else { 0 }, Ordering::SeqCst);
        let mut child = child(&repo, &url);
        let deadline = Instant::now() + Duration::from_secs(30);
        while receiver.count() < at_least && Instant::now() < deadline {
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        let status = child.wait().expect("ended");
        assert!(!is_silent || status.signal().is_some(), "it was under way");
    }
    silent_from.store(0, Ordering::SeqCst);
    run(&repo, &url);
    let told = told(&receiver);
    assert_eq!(told.len(), 2 * ROWS, "no alert is lost");
    for sink in ["a", "b"] {
        let extra: usize = told
            .iter()
            .filter(|((id, _), _)| id == sink)
            .map(|(_, times)| times - 1)
            .sum();
        assert!(
            extra <= kills.len(),
            "{sink}: {extra} of {} kills",
            kills.len()
        );
    }
    let before = receiver.count();
    run(&repo, &url);
    assert_eq!(
        receiver.count(),
        before,
        "nothing is repeated without a kill"
    );
    let recorded = std::fs::read_to_string(files.path(LoopFile::AlertRows)).expect("rows");
    assert_eq!(recorded.lines().count(), ROWS, "one row per escalation");
}
