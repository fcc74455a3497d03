//! What is wrong with an input file, in the words of the contract's tables.

use std::fs;

use serde_json::json;

use crate::harness::Repo;

#[test]
fn project_state_names_what_is_wrong_with_its_inputs() {
    let repo = Repo::sample("running");
    let snapshot = repo.run("ops-manager-loop-run-snapshot", &[]).ok();
    let polled = repo
        .run("ops-manager-poll-events", &["--max-events", "1"])
        .ok();
    let put = |name: &str, content: &str| fs::write(repo.outside(name), content).expect("input");
    put("snapshot", &snapshot.to_string());
    let mismatch = "snapshot envelope is invalid or loop id mismatch";
    let wrong = |member: &str, value: &str| {
        let mut envelope = snapshot.clone();
        *envelope.pointer_mut(member).expect("a member") = json!(value);
        envelope.to_string()
    };
    for (content, message) in [
        ("{".to_owned(), "invalid snapshot JSON: bad"),
        (String::new(), mismatch),
        ("null".to_owned(), mismatch),
        ("{} {}".to_owned(), mismatch),
        (wrong("/schemaVersion", "v2"), mismatch),
        (wrong("/envelopeType", "loop_run_event"), mismatch),
        (wrong("/source/loopId", "other"), mismatch),
    ] {
        put("bad", &content);
        let run = repo.run("ops-manager-project-state", &["--snapshot-file", "bad"]);
        assert!(
            run.error().starts_with(message),
            "{content}: {}",
            run.stderr
        );
    }
    let run = repo.run("ops-manager-project-state", &["--snapshot-file", "none"]);
    assert!(run.error().starts_with("snapshot file not found: none"));
    let mismatch = "event envelope is invalid or loop id mismatch";
    for (content, message) in [
        ("{\n".to_owned(), "invalid event envelope in bad"),
        ("{}\n".to_owned(), mismatch),
        ("  \n".to_owned(), mismatch),
        ("null\n".to_owned(), mismatch),
        (polled.to_string().replace("loop_start", ""), mismatch),
        (polled.to_string().replace("\"v1\"", "\"v2\""), mismatch),
    ] {
        put("bad", &content);
        let arguments = ["--snapshot-file", "snapshot", "--events-file", "bad"];
        let run = repo.run("ops-manager-project-state", &arguments);
        assert!(
            run.error().starts_with(message),
            "{content}: {}",
            run.stderr
        );
    }
    let arguments = ["--snapshot-file", "snapshot", "--events-file", "none"];
    let run = repo.run("ops-manager-project-state", &arguments);
    assert!(run.error().starts_with("events file not found: none"));
    assert!(!repo.manager("state.json").exists(), "nothing was written");
}

#[test]
fn a_threshold_catalog_is_checked_in_the_order_of_its_table() {
    let repo = Repo::empty("l");
    let profile = r#"{"degradedIngestLagSeconds":1,"criticalIngestLagSeconds":2,
        "degradedTransportFailureStreak":3,"criticalTransportFailureStreak":4}"#;
    let catalog = |default: &str, body: &str| {
        format!(r#"{{"schemaVersion":"v1",{default}"profiles":{{"p":{body}}}}}"#)
    };
    let shape = "threshold profiles file has invalid shape";
    let invalid = "threshold profile values are invalid: p";
    let no_name = "profile name is required and defaultProfile is missing";
    for (content, arguments, message) in [
        (
            "{".to_owned(),
            &[][..],
            "invalid threshold profiles JSON: catalog",
        ),
        ("[]".to_owned(), &[], shape),
        (
            r#"{"schemaVersion":"v2","profiles":{"p":{}}}"#.to_owned(),
            &[],
            shape,
        ),
        (
            r#"{"schemaVersion":"v1","profiles":{}}"#.to_owned(),
            &["--list"],
            shape,
        ),
        (
            r#"{"schemaVersion":"v1","profiles":[1]}"#.to_owned(),
            &[],
            shape,
        ),
        (catalog("", profile), &[], no_name),
        (catalog(r#""defaultProfile":"","#, profile), &[], no_name),
        (
            catalog("", profile),
            &["--profile", "q"],
            "unknown threshold profile: q",
        ),
        (
            catalog("", "null"),
            &["--profile", "p"],
            "unknown threshold profile: p",
        ),
        (catalog("", "7"), &["--profile", "p"], invalid),
        (catalog("", "{}"), &["--profile", "p"], invalid),
        (
            catalog("", &profile.replace('2', "\"2\"")),
            &["--profile", "p"],
            invalid,
        ),
        (
            catalog("", &profile.replace('4', "2")),
            &["--profile", "p"],
            invalid,
        ),
    ] {
        fs::write(repo.outside("catalog"), &content).expect("catalog");
        let arguments = [&["--profiles-file", "catalog"][..], arguments].concat();
        let run = repo.run_plain("ops-manager-threshold-profile", &arguments);
        assert!(
            run.error().starts_with(message),
            "{content}: {}",
            run.stderr
        );
    }
    let run = repo.run_plain(
        "ops-manager-threshold-profile",
        &["--profiles-file", "none"],
    );
    assert!(
        run.error()
            .starts_with("threshold profiles file not found: none")
    );
    fs::write(repo.outside("catalog"), catalog("", profile)).expect("catalog");
    let run = repo.run_plain(
        "ops-manager-threshold-profile",
        &["--profiles-file", "catalog", "--list"],
    );
    assert_eq!((run.code, run.stdout.as_str()), (0, "p\n"));
}
