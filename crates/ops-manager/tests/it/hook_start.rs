//! How hooks are found and started, the same for all of them (contract README,
//! "Hooks").

use std::fs;

use crate::harness::{ago, healthy};
use crate::hooks::{ALERTS, DRIFT, HEALTH, PROFILE, PROFILE_OUTPUT, Recorder, SUMMARY};

#[test]
fn hooks_get_numbers_as_they_were_typed() {
    let mut repo = healthy();
    let health = Recorder::new(&repo, "health", "echo '{}'");
    let summary = Recorder::new(&repo, "summary", "echo '{}'");
    let drift = Recorder::new(&repo, "drift", "echo '{}'");
    repo.env(HEALTH, &health.path);
    repo.env(SUMMARY, &summary.path);
    repo.env(DRIFT, &drift.path);
    let flags = [
        ["--degraded-ingest-lag-seconds", "0300"],
        ["--drift-required-streak", "03"],
        ["--drift-summary-window", "070"],
    ];
    repo.reconcile(&flags.concat()).ok();
    let given = |recorder: &Recorder, flag: &str| {
        let argv = recorder.argv();
        let at = argv.iter().position(|word| word == flag).expect("given");
        argv[at + 1].clone()
    };
    let seen = [
        given(&health, "--degraded-ingest-lag-seconds"),
        given(&drift, "--required-streak"),
        given(&drift, "--summary-window"),
        given(&summary, "--window"),
    ];
    assert_eq!(seen, ["0300", "03", "070", "070"]);
}

#[test]
fn a_hook_gets_empty_stdin_the_whole_environment_and_the_working_directory() {
    let mut repo = healthy();
    repo.env("SOME_SETTING", format!("set at {}", ago(0)));
    let hooks = [HEALTH, SUMMARY, DRIFT, ALERTS].map(|variable| {
        let recorder = Recorder::new(&repo, variable, "echo '{}'");
        repo.env(variable, &recorder.path);
        recorder
    });
    let profile = Recorder::new(&repo, PROFILE, PROFILE_OUTPUT);
    repo.env(PROFILE, &profile.path);
    repo.reconcile(&[]).ok();
    let here = format!(
        "{}\n",
        fs::canonicalize(repo.outside(""))
            .expect("exists")
            .display()
    );
    for recorder in hooks.iter().chain([&profile]) {
        let name = recorder.path.display();
        assert_eq!(recorder.recorded("stdin").as_deref(), Some(""), "{name}");
        assert_eq!(recorder.recorded("pwd"), Some(here.clone()), "{name}");
        let environment = recorder.recorded("env").expect("the hook has run");
        assert!(environment.contains("SOME_SETTING=set at 2"), "{name}");
    }
}

#[test]
fn a_value_is_a_file_else_split_at_blanks_else_a_name_on_the_path() {
    let mut repo = healthy();
    let blank = Recorder::new(&repo, "a hook", "echo '{}'");
    repo.env(HEALTH, &blank.path);
    repo.reconcile(&[]).ok();
    assert_eq!(blank.argv()[0], "--state-file", "a file is not split");
    let plain = Recorder::new(&repo, "plain", "echo '{}'");
    repo.env(HEALTH, format!("{} --fixed  $(id)", plain.path.display()));
    repo.reconcile(&[]).ok();
    assert_eq!(
        plain.argv()[..3],
        ["--fixed", "$(id)", "--state-file"],
        "never a shell"
    );
    let path = std::env::var("PATH").expect("PATH");
    repo.env("PATH", format!("{}:{path}", repo.outside("").display()));
    repo.env(HEALTH, "plain");
    fs::remove_file(plain.path.with_extension("argv")).expect("removed");
    repo.reconcile(&[]).ok();
    assert_eq!(plain.argv()[0], "--state-file");
    repo.env(HEALTH, "sh plain 1");
    repo.reconcile(&[]).ok();
    assert_eq!(plain.argv()[..2], ["1", "--state-file"]);
}

#[test]
fn an_empty_hook_variable_is_no_hook() {
    let mut repo = healthy();
    for variable in [PROFILE, HEALTH, SUMMARY, DRIFT, ALERTS] {
        repo.env(variable, "");
    }
    repo.reconcile(&[]).ok();
}
