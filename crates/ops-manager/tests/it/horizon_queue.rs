//! `ops-manager horizon queue`: what people see and decide.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, Run};
use crate::horizon::{bridge, entries, line, repo, rows};

/// `ops-manager horizon queue …`
fn queue(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    let words = [&["horizon", "queue"], arguments, &["--repo", path.as_str()]];
    repo.run_plain("ops-manager", &words.concat())
}

/// A repository with two queued envelopes and a runtime that ends with `code`.
fn queued(code: u8) -> Repo {
    let files = line("pk-1", "t-1") + &line("pk-2", "t-2");
    let mut repo = repo(&[("a.jsonl", &files)]);
    bridge(&repo, &[]).ok();
    let body = format!("echo \"$*\" >> \"$(dirname \"$0\")/calls\"\nexit {code}");
    let runtime = repo.script("runtime", &body);
    repo.env("SUPERLOOP_BIN", runtime);
    repo.env("USER", "dana");
    repo
}

fn calls(repo: &Repo) -> Vec<String> {
    let text = fs::read_to_string(repo.outside("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const CANCEL: [&str; 5] = ["--loop", "nightly", "--intent", "cancel", "--no-confirm"];

#[test]
fn the_queue_lists_what_waits() {
    let repo = queued(0);
    let shown = queue(&repo, &[]).ok();
    assert_eq!(shown["queueFile"], repo.shown("horizon-bridge-queue.json"));
    assert_eq!(
        shown["summary"],
        json!({"intentCount": 2, "pendingConfirmationCount": 2})
    );
    assert_eq!(shown["intents"], json!(entries(&repo)));
    queue(&repo, &["reject", "pk-1"]).ok();
    let packets = |arguments: &[&str]| {
        let shown = queue(&repo, arguments).ok();
        let intents = shown["intents"].as_array().expect("a list").clone();
        intents
            .iter()
            .map(|entry| entry["packetId"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(packets(&[]), ["pk-2"]);
    assert_eq!(packets(&["--all"]), ["pk-1", "pk-2"]);
    let empty = Repo::empty("fleet");
    assert_eq!(queue(&empty, &["--json"]).ok()["intents"], json!([]));
    assert!(
        !empty.path().join(".superloop").exists(),
        "reading writes nothing"
    );
}

#[test]
fn an_approval_controls_the_loop_with_the_key_of_the_envelope() {
    let repo = queued(0);
    let arguments = [&["approve", "pk-1"], &CANCEL[..], &["--note", "by phone"]].concat();
    let row = queue(&repo, &arguments).ok();
    assert_eq!(row["status"], "executed");
    assert_eq!(row["control"]["idempotencyKey"], "horizon-pk-1-t-1");
    assert_eq!(
        rows(&repo, "horizon_bridge_operator"),
        std::slice::from_ref(&row)
    );
    assert_eq!(
        (&row["requestedBy"], &row["note"]),
        (&json!("dana"), &json!("by phone"))
    );
    assert_eq!(calls(&repo).len(), 1);
    assert!(calls(&repo)[0].starts_with("cancel "), "{:?}", calls(&repo));
    let intents = repo
        .path()
        .join(".superloop/ops-manager/nightly/intents.jsonl");
    let intent: Value =
        serde_json::from_str(fs::read_to_string(intents).expect("rows").trim()).expect("a row");
    assert_eq!(intent["idempotencyKey"], "horizon-pk-1-t-1");
    assert_eq!(
        (&intent["traceId"], &row["traceId"]),
        (&json!("t-1"), &json!("t-1"))
    );
    assert_eq!(entries(&repo)[0]["status"], "executed");
    let again = queue(&repo, &arguments);
    assert!(
        again
            .error()
            .starts_with("entry \"pk-1::t-1\" is executed; "),
        "{}",
        again.stderr
    );
    assert_eq!(calls(&repo).len(), 1);
    bridge(&repo, &[]).ok();
    assert_eq!(entries(&repo)[0]["status"], "executed");
}

#[test]
fn a_failed_approval_is_exit_code_1_and_an_ambiguous_one_2() {
    let repo = queued(3);
    let run = queue(&repo, &[&["approve", "pk-1"], &CANCEL[..]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(run.json()["status"], "execution_failed");
    let refused = queue(&repo, &[&["approve", "pk-1"], &CANCEL[..]].concat());
    assert!(
        refused.error().contains("add --again"),
        "{}",
        refused.stderr
    );
    let repo = queued(0);
    // Nothing of a rejection is ever visible here.
    let flags = [
        "--loop",
        "nightly",
        "--intent",
        "reject",
        "--timeout-seconds",
        "0",
    ];
    let run = queue(&repo, &[&["approve", "pk-1"], &flags[..]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (2, ""));
    assert_eq!(run.json()["status"], "execution_ambiguous");
    let again = queue(
        &repo,
        &[&["approve", "pk-1", "--again"], &CANCEL[..]].concat(),
    )
    .ok();
    assert_eq!(again["control"]["idempotencyKey"], "horizon-pk-1-t-1-r1");
}

#[test]
fn a_rejection_is_final_and_executes_nothing() {
    let repo = queued(0);
    let row = queue(
        &repo,
        &["reject", "pk-2::t-2", "--by", "kim", "--note", "no"],
    )
    .ok();
    assert_eq!(
        (&row["action"], &row["status"]),
        (&json!("reject"), &json!("rejected_by_operator"))
    );
    assert_eq!(
        (&row["requestedBy"], &row["note"]),
        (&json!("kim"), &json!("no"))
    );
    assert_eq!(rows(&repo, "horizon_bridge_operator"), [row]);
    assert_eq!(entries(&repo)[1]["status"], "rejected_by_operator");
    let refused = queue(&repo, &[&["approve", "pk-2"], &CANCEL[..]].concat());
    assert!(
        refused.error().contains("is rejected_by_operator"),
        "{}",
        refused.stderr
    );
    assert_eq!(calls(&repo), Vec::<String>::new());
}

#[test]
fn decisions_that_are_not_clear_change_nothing() {
    let repo = queued(0);
    let before = repo.tree();
    for (arguments, expected) in [
        (&["approve"][..], "ENTRY is required"),
        (&["approve", "pk-1"], "--loop is required"),
        (&["approve", "pk-1", "--loop", "n"], "--intent is required"),
        (
            &["approve", "pk-1", "--loop", "n", "--intent", "stop"],
            "intent must be one of: cancel, approve, reject",
        ),
        (
            &["approve", "pk-1", "--loop", "..", "--intent", "cancel"],
            "invalid loop id: \"..\" is reserved",
        ),
        (
            &[
                "approve",
                "pk-1",
                "--loop",
                "n",
                "--intent",
                "cancel",
                "--idempotency-key",
                "k",
            ],
            "--idempotency-key follows from the entry here; leave it out",
        ),
        (&["reject"], "ENTRY is required"),
        (&["reject", "pk-9"], "no entry \"pk-9\" in the queue"),
    ] {
        let run = queue(&repo, arguments);
        assert!(
            run.error().starts_with(expected),
            "{arguments:?}: {}",
            run.stderr
        );
    }
    for arguments in [
        &["approve", "pk-1", "--bogus"][..],
        &["reject", "pk-1", "pk-2"],
    ] {
        let run = queue(&repo, arguments);
        assert_eq!(run.code, 1);
        assert!(
            run.stderr.starts_with("error: unknown argument: "),
            "{}",
            run.stderr
        );
    }
    assert_eq!(repo.tree(), before);
}
