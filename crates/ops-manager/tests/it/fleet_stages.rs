//! What the stages of a fan-out are given, and what is made of what they do:
//! hooks, services, signals (chapter 05 §2.4, §2.6; decisions D6, D11).

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::fleet_reconcile::{COMMAND, fleet, fleet_file, of_each, put_loop, run};
use crate::harness::{finished, healthy};
use crate::service_process::Service;

#[test]
fn local_and_service_fleets_have_equal_results() {
    let sprite = healthy();
    let service = Service::start(&sprite, &[]);
    let local = fleet(json!([{"loopId": "l"}]));
    put_loop(&local, "l");
    fs::write(
        local.path().join(".superloop/loops/l/events.jsonl"),
        fs::read(sprite.events()).expect("events"),
    )
    .expect("events");
    let remote = fleet(json!([{"loopId": "l", "transport": "sprite_service",
        "service": {"baseUrl": service.base_url}}]));
    fs::copy(
        sprite.path().join(".superloop/state.json"),
        local.path().join(".superloop/state.json"),
    )
    .expect("copied");
    let [local, remote] = [&local, &remote].map(|repo| {
        let state = run(repo, &["--trace-id", "t"]).ok();
        repo.scrub(&state["results"][0])
    });
    for member in [
        "status",
        "healthStatus",
        "healthReasonCodes",
        "transitionState",
        "runId",
    ] {
        assert_eq!(local[member], remote[member], "{member}");
    }
}

/// A hook that does what its loop's name says.
const HOOK: &str = r#"
while [ $# -gt 0 ]; do case "$1" in --loop) name=$2 ;; esac; shift; done
case "$name" in
  good) echo '{"health":{"status":"healthy","reasonCodes":["x"]},"run":{"runId":"r3"}}' ;;
  silent) ;;
  garbage) echo all is well ;;
  two) echo '{}'; echo '{}' ;;
  warned) echo slow disk >&2; echo '{"health":{"status":"healthy"}}' ;;
  dying) kill -9 $$ ;;
  refused) echo 'error: Connection refused' >&2; exit 7 ;;
  health) echo note; echo '{"status":"critical","reasonCodes":["projection_failed"]}'; exit 1 ;;
  sleeping) echo before; exec sleep 600 ;;
esac"#;

#[test]
fn whatever_a_hook_does_its_loop_has_a_result_and_holds_no_other() {
    let names = [
        "sleeping", "good", "silent", "garbage", "two", "warned", "dying", "refused", "health",
    ];
    let entries: Vec<Value> = names.iter().map(|id| json!({"loopId": id})).collect();
    let mut repo = fleet(Value::from(entries));
    repo.env("OPS_MANAGER_RECONCILE_SCRIPT", repo.script("hook", HOOK));
    let state = run(&repo, &["--loop-timeout-seconds", "1"]).ok();
    let results = state["results"].as_array().expect("results").iter();
    let found: Vec<[&str; 4]> = results
        .map(|r| {
            ["loopId", "status", "reasonCode", "healthStatus"].map(|m| r[m].as_str().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        found,
        [
            ["sleeping", "failed", "reconcile_timeout", "unknown"],
            ["good", "success", "-", "healthy"],
            ["silent", "failed", "reconcile_failed", "unknown"],
            ["garbage", "failed", "reconcile_failed", "unknown"],
            ["two", "failed", "reconcile_failed", "unknown"],
            ["warned", "success", "-", "unknown"],
            ["dying", "failed", "reconcile_failed", "unknown"],
            ["refused", "failed", "transport_unreachable", "unknown"],
            ["health", "failed", "projection_failed", "critical"],
        ]
    );
    assert_eq!(state["loopCount"], 9);
    assert_eq!(state["results"][0]["outputExcerpt"], "before ");
    assert_eq!(state["results"][1]["runId"], "r3");
    assert_eq!(
        state["results"][7]["outputExcerpt"],
        "error: Connection refused "
    );
}

#[test]
fn a_hook_gets_the_commands_argv_word_by_word() {
    let mut repo = fleet(json!([
        {"loopId": "near", "service": {"tokenEnv": "FLEET_TOKEN", "baseUrl": "http://unused"}},
        {"loopId": "far", "transport": "sprite_service", "service": {"baseUrl": "http://h:1/p",
            "tokenEnv": "FLEET_TOKEN", "retryAttempts": 5, "retryBackoffSeconds": 0}},
    ]));
    repo.env("FLEET_TOKEN", "s3cret-token");
    let log = repo.outside("argv");
    let body = format!(
        "for w in \"$@\"; do echo \"$w\"; done >> {}.$4\necho '{{}}'",
        log.display()
    );
    repo.env("OPS_MANAGER_RECONCILE_SCRIPT", repo.script("hook", &body));
    let arguments = ["--trace-id", "t", "--max-events", "007", "--from-start"];
    let state = run(&repo, &arguments).ok();
    assert_eq!(state["execution"]["maxEvents"], 7);
    let argv = |name: &str| {
        let file = repo.outside(&format!("argv.{name}"));
        fs::read_to_string(file)
            .expect("called")
            .lines()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let path = repo.path().display().to_string();
    assert_eq!(
        argv("near"),
        format!(
            "--repo {path} --loop near --transport local --trace-id t-near --max-events 007 --from-start"
        )
    );
    assert_eq!(
        argv("far"),
        format!(
            "--repo {path} --loop far --transport sprite_service --trace-id t-far --max-events 007 \
             --from-start --service-base-url http://h:1/p --retry-attempts 5 \
             --retry-backoff-seconds 0 --service-token s3cret-token"
        )
    );
}

#[test]
fn a_token_is_used_and_never_written() {
    let sprite = healthy();
    let service = Service::start(&sprite, &["--token", "s3cret-token"]);
    let entry = |id: &str, name: &str| {
        json!({"loopId": id, "transport": "sprite_service", "service":
            {"baseUrl": service.base_url, "tokenEnv": name, "retryAttempts": 1}})
    };
    let mut repo = fleet(json!([
        entry("l", "GOOD"),
        entry("wrong", "WRONG"),
        entry("unset", "UNSET"),
        entry("odd", "a[$(touch hacked)]")
    ]));
    repo.env("GOOD", "s3cret-token");
    repo.env("WRONG", "another-token");
    let state = run(&repo, &[]).ok();
    assert_eq!(
        of_each(&state, "reasonCode"),
        json!({"l": null, "wrong": "transport_unreachable", "unset": "missing_service_token_env",
            "odd": "missing_service_token_env"})
    );
    for (path, content) in repo.tree() {
        let content = String::from_utf8_lossy(&content);
        for secret in ["s3cret-token", "another-token"] {
            assert!(!content.contains(secret), "{}", path.display());
        }
    }
}

#[test]
fn a_service_that_hangs_is_a_timeout_and_holds_no_other() {
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base_url = format!("http://{}", hanging.local_addr().expect("an address"));
    let mut entries = vec![json!({"loopId": "hanging", "transport": "sprite_service",
        "service": {"baseUrl": base_url}})];
    let names: Vec<String> = (0..20).map(|n| format!("l{n}")).collect();
    entries.extend(names.iter().map(|id| json!({"loopId": id})));
    let repo = fleet(Value::from(entries));
    for name in &names {
        put_loop(&repo, name);
    }
    let state = run(&repo, &["--loop-timeout-seconds", "1"]).ok();
    assert_eq!(state["results"][0]["reasonCode"], "reconcile_timeout");
    let excerpt = state["results"][0]["outputExcerpt"]
        .as_str()
        .expect("a text");
    assert!(excerpt.contains("no result within 1 seconds"), "{excerpt}");
    assert_eq!(state["successCount"], 20);
}

#[test]
fn a_registry_hook_is_asked_once_with_the_files_as_given() {
    let mut repo = fleet(json!([{"loopId": "unused"}]));
    let log = repo.outside("argv");
    let body = format!(
        "echo \"$*\" >> {}; echo '{{\"fleetId\":\"h\",\"loops\":[{{\"loopId\":\"a\"}}]}}'",
        log.display()
    );
    repo.env(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        repo.script("registry", &body),
    );
    let state = run(&repo, &["--registry-file", "my.json"]).ok();
    assert_eq!(
        (&state["fleetId"], &state["loopCount"]),
        (&json!("h"), &json!(1))
    );
    let path = repo.path().display().to_string();
    let asked = fs::read_to_string(log).expect("asked");
    assert_eq!(asked, format!("--repo {path} --registry-file my.json\n"));
}

#[test]
fn an_interrupted_run_commits_what_is_done_and_says_what_is_not() {
    let mut repo = fleet(json!([{"loopId": "a"}, {"loopId": "waits"}, {"loopId": "never"}]));
    fs::write(repo.manager("state.json"), "{\"status\":\"success\"}\n").expect("written");
    let body = r#"case "$4" in
        a) echo '{"health":{"status":"healthy"}}' ;;
        *) echo "$4" >&3; exec sleep 600 ;;
        esac"#;
    let started = repo.outside("started");
    let fifo = std::process::Command::new("mkfifo").arg(&started).status();
    assert!(fifo.expect("mkfifo").success());
    let body = format!("exec 3<>{}\n{body}", started.display());
    repo.env("OPS_MANAGER_RECONCILE_SCRIPT", repo.script("hook", &body));
    let path = repo.path().display().to_string();
    let mut command = repo.command(COMMAND);
    command.args(["--repo", &path, "--max-parallel", "1"]);
    let process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let told = fs::File::options()
        .read(true)
        .write(true)
        .open(&started)
        .expect("opened");
    BufReader::new(told).read_line(&mut line).expect("told");
    assert_eq!(line, "waits\n");
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::INT).expect("signalled");
    let run = finished(process.wait_with_output().expect("ends"));
    assert_eq!((run.code, run.stderr.as_str()), (130, ""));
    let state = run.json();
    assert_eq!(of_each(&state, "status"), json!({"a": "success"}));
    let interrupted = json!({"signal": "SIGINT", "notPassed": ["waits", "never"]});
    assert_eq!(state["interrupted"], interrupted);
    let row: Value =
        serde_json::from_str(&fleet_file(&repo, "telemetry/reconcile.jsonl")).expect("a row");
    assert_eq!(row["interrupted"], interrupted);
    assert_eq!(
        fleet_file(&repo, "state.json"),
        "{\"status\":\"success\"}\n"
    );
}
