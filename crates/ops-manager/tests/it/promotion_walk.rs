//! A fleet earns its autonomy, loses it in an incident and gets it back, with
//! the commands that people and pipelines use and no edit by hand.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago, event};

const DAY: i64 = 86_400;

/// The fleet's loops in alphabetical order, with the percentage from which on
/// each is in the canary.
const LOOPS: [(&str, u8); 4] = [("heath", 57), ("maple", 37), ("orchid", 9), ("rowan", 81)];

/// A fleet whose loops went silent two hours ago, and whose operator has
/// written a registry in which people decide everything.
fn silent_fleet() -> Repo {
    let mut repo = Repo::empty("fleet");
    for (id, _) in LOOPS {
        let folder = repo.path().join(".superloop/loops").join(id);
        fs::create_dir_all(&folder).expect("folder");
        let line = event("iteration_start", &ago(7200)).replace("\"l\"", &format!("{id:?}"));
        fs::write(folder.join("events.jsonl"), line + "\n").expect("events");
    }
    // Nobody waits five minutes between two cycles here.
    let registry = json!({
        "schemaVersion": "v1", "fleetId": "north", "x-owner": "platform",
        "loops": LOOPS.map(|(id, _)| json!({ "loopId": id })),
        "policy": {
            "mode": "advisory",
            "noiseControls": { "dedupeWindowSeconds": 0 },
            "autonomous": {
                "safety": { "maxActionsPerRun": 4, "cooldownSeconds": 0 },
                "rollout": { "autoPause": { "lookbackExecutions": 2 } },
            },
        },
    });
    repo.put("registry.v1.json", &om_model::json::pretty(&registry));
    let runtime = repo.script("superloop", r#"[ ! -e "$(dirname "$0")/broken" ]"#);
    repo.env("SUPERLOOP_BIN", runtime);
    repo.env("USER", "kim");
    repo
}

/// The commands of the walk, on one repository.
struct Walk {
    repo: Repo,
    review_by: String,
}

impl Walk {
    fn new() -> Self {
        let review_by = ago(-30 * DAY);
        Self {
            repo: silent_fleet(),
            review_by,
        }
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        let path = self.repo.path().display().to_string();
        let command = format!("ops-manager-{command}");
        let all = [&["--repo", path.as_str()], arguments].concat();
        self.repo.run_plain(&command, &all)
    }

    /// The same with somebody who answers for it.
    fn governed(&self, command: &str, arguments: &[&str]) -> Run {
        self.run(command, &[arguments, &self.governance()].concat())
    }

    fn governance(&self) -> [&str; 8] {
        let [by, approval, why] = ["--by", "--approval-ref", "--rationale"];
        let until = self.review_by.as_str();
        [
            by,
            "kim",
            approval,
            "CHG-7",
            why,
            "calm week",
            "--review-by",
            until,
        ]
    }

    /// Turns a switch of the registry.
    fn set(&self, words: &[&str]) {
        let path = self.repo.path().display().to_string();
        let begin = ["fleet", "policy", "set"];
        let end = ["--repo", path.as_str(), "--yes"];
        let all = [&begin[..], words, &self.governance(), &end].concat();
        let run = self.repo.run_plain("ops-manager", &all);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
    }

    /// One cycle: observe, decide, act. What the dispatch says.
    fn cycle(&self) -> Run {
        self.run("fleet-reconcile", &[]).ok();
        self.run("fleet-policy", &[]).ok();
        let dispatch = [
            "--autonomous-execute",
            "--no-runtime-confirm",
            "--by",
            "cron",
        ];
        self.run("fleet-handoff", &dispatch)
    }

    /// Asserts that a cycle dispatches for the loops within `percent`, with
    /// this status, and for no other.
    fn dispatches(&self, percent: u8, status: &str) {
        let state = self.cycle().ok();
        let intents = state["intents"].as_array().expect("intents").iter();
        let found: Vec<(&str, &str)> = intents
            .map(|intent| ["loopId", "status"].map(|name| intent[name].as_str().expect("a text")))
            .map(|[id, status]| (id, status))
            .collect();
        let expected = LOOPS.map(|(id, from)| {
            let is_in = from <= percent;
            (
                id,
                if is_in {
                    status
                } else {
                    "pending_operator_confirmation"
                },
            )
        });
        assert_eq!(found, expected, "at {percent} %");
    }

    /// Asserts what the gates decide now, and why.
    fn decides(&self, decision: &str, reasons: &[&str]) {
        let found = self.run("promotion-gates", &[]).ok();
        assert_eq!(found["summary"]["decision"], decision, "{found}");
        assert_eq!(found["summary"]["reasonCodes"], json!(reasons), "{found}");
    }

    fn rollout(&self) -> [Value; 2] {
        let registry = self.repo.manager_json("registry.v1.json");
        let rollout = &registry["policy"]["autonomous"]["rollout"];
        [
            rollout["canaryPercent"].clone(),
            rollout["pause"]["manual"].clone(),
        ]
    }

    /// Lifts the manual pause, as a person does.
    fn resume(&self) {
        let path = self.repo.path().display().to_string();
        let begin = ["promotion", "apply", "resume", "--repo", &path, "--yes"];
        let all = [&begin[..], &self.governance()].concat();
        self.repo.run_plain("ops-manager", &all).ok();
    }

    /// Plays the incident drills, and records that they were passed.
    fn play_drills(&self) {
        let path = self.repo.path().display().to_string();
        for drill in ["kill-switch", "sprite-outage", "retry-guard"] {
            let words = ["drill", drill, "--repo", &path, "--record"];
            let run = self.repo.run_plain("ops-manager", &words);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{drill}");
        }
    }
}

#[test]
fn a_fleet_goes_from_advisory_to_full_autonomy_through_an_incident_and_back() {
    let walk = Walk::new();
    people_decide_everything(&walk);
    a_quarter_earns_its_record(&walk);
    the_record_widens_the_rollout(&walk);
    an_incident_pauses_it(&walk);
    people_roll_back(&walk);
    people_repair_and_resume(&walk);
    every_change_is_on_record(&walk);
}

fn people_decide_everything(walk: &Walk) {
    let refused = walk.cycle();
    assert_eq!(
        refused.error(),
        "--autonomous-execute requires policy mode guarded_auto"
    );
    walk.decides(
        "hold",
        &[
            "promotion_autonomous_sample_insufficient",
            "promotion_drill_state_missing",
            "promotion_governance_posture_not_active",
            "promotion_handoff_telemetry_missing",
            "promotion_policy_mode_not_guarded_auto",
        ],
    );
    let refused = walk.governed("promotion-apply", &["--intent", "expand"]);
    assert_eq!(
        refused.error(),
        "intent expand requires promotion decision promote (found: hold)"
    );
}

fn a_quarter_earns_its_record(walk: &Walk) {
    walk.set(&["canary", "25"]);
    walk.set(&["mode", "guarded_auto"]);
    for _ in 0..20 {
        walk.dispatches(25, "executed");
    }
    walk.decides("hold", &["promotion_drill_state_missing"]);
    walk.play_drills();
    walk.decides("promote", &[]);
}

fn the_record_widens_the_rollout(walk: &Walk) {
    let preview = walk
        .run("promotion-orchestrate", &["--mode", "dry_run"])
        .ok();
    assert_eq!(preview["decision"], "promote");
    assert_eq!(walk.rollout()[0], 25, "a preview changes nothing");
    let expand = ["--mode", "apply", "--expand-step", "25"];
    let applied = walk.governed("promotion-orchestrate", &expand).ok();
    assert_eq!(applied["status"], "applied");
    assert_eq!(walk.rollout(), [json!(50), json!(false)]);
    walk.dispatches(50, "executed");
    let expand = [
        "--mode",
        "guarded_auto_apply",
        "--expand-step",
        "50",
        "--max-expand-step-per-window",
        "50",
    ];
    let applied = walk.governed("promotion-controller", &expand).ok();
    assert_eq!(applied["status"], "applied");
    assert_eq!(applied["verification"]["status"], "pass");
    assert_eq!(walk.rollout(), [json!(100), json!(false)]);
    walk.dispatches(100, "executed");
}

fn an_incident_pauses_it(walk: &Walk) {
    fs::write(walk.repo.outside("broken"), "").expect("the runtime breaks");
    walk.dispatches(100, "execution_failed");
    // The next cycle attempts nothing: half of what was tried lately failed,
    // and what failed is left to people.
    walk.dispatches(100, "pending_operator_confirmation");
    let state = walk.repo.manager_json("handoff-state.json");
    assert_eq!(
        state["intents"][0]["autonomous"]["reasons"],
        json!([
            "autonomous_autopause_failure_spike",
            "autonomous_retry_guard_failed",
            "autonomous_rollout_paused_auto",
        ])
    );
    walk.decides("hold", &["promotion_autopause_active"]);
    let refused = walk.governed("promotion-apply", &["--intent", "resume"]);
    assert_eq!(refused.code, 1);
    let guarded = ["--mode", "guarded_auto_apply", "--cooldown-minutes", "0"];
    let unlimited = [
        "--max-applies-per-window",
        "9",
        "--max-expand-step-per-window",
        "99",
    ];
    let arguments = [&guarded[..], &unlimited].concat();
    let held = walk.governed("promotion-controller", &arguments).ok();
    assert_eq!(held["status"], "hold");
    assert_eq!(
        held["decision"]["reasonCodes"],
        json!(["controller_decision_not_promote"])
    );
}

fn people_roll_back(walk: &Walk) {
    let run = walk.governed("promotion-orchestrate", &["--mode", "rollback"]);
    assert_eq!(run.ok()["status"], "rolled_back");
    assert_eq!(walk.rollout(), [json!(100), json!(true)]);
}

fn people_repair_and_resume(walk: &Walk) {
    fs::remove_file(walk.repo.outside("broken")).expect("the runtime is repaired");
    let confirmed = [
        "--execute",
        "--confirm",
        "--no-runtime-confirm",
        "--by",
        "kim",
    ];
    let state = walk.run("fleet-handoff", &confirmed).ok();
    assert_eq!(state["execution"]["executedCount"], 4);
    // What was executed in the second of the clearing would still count.
    next_second();
    walk.set(&["autopause", "clear"]);
    // Nothing happens by itself before somebody resumes.
    walk.dispatches(100, "pending_operator_confirmation");
    walk.decides("promote", &[]);
    walk.resume();
    assert_eq!(walk.rollout(), [json!(100), json!(false)]);
    walk.dispatches(100, "executed");
}

/// Waits until the clock, which is recorded in whole seconds, has moved on.
fn next_second() {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("after 1970").as_secs()
    };
    let begun = now();
    while now() == begun {
        thread::sleep(Duration::from_millis(10));
    }
}

fn every_change_is_on_record(walk: &Walk) {
    let journal = |name: &str| walk.repo.rows(&format!("telemetry/{name}.jsonl"));
    let applied: Vec<String> = journal("promotion-apply")
        .iter()
        .map(|row| {
            let [before, after] = ["before", "after"].map(|name| &row["rollout"][name]);
            format!(
                "{} {} -> {} paused {} -> {}",
                row["intent"].as_str().expect("a text"),
                before["canaryPercent"],
                after["canaryPercent"],
                before["manualPause"],
                after["manualPause"],
            )
        })
        .collect();
    assert_eq!(
        applied,
        [
            "expand 25 -> 50 paused false -> false",
            "expand 50 -> 100 paused false -> false",
            "rollback 100 -> 100 paused false -> true",
            "resume 100 -> 100 paused true -> false",
        ]
    );
    let edits: Vec<String> = journal("policy-governance")
        .iter()
        .filter(|row| row["eventType"] == "autonomous_policy_edited")
        .map(|row| row["command"].as_str().expect("a text").to_owned())
        .collect();
    let set = "ops-manager fleet policy set";
    assert_eq!(
        edits,
        [
            format!("{set} canary 25"),
            format!("{set} mode guarded_auto"),
            format!("{set} autopause clear"),
        ]
    );
    let statuses: Vec<Value> = journal("promotion-controller")
        .iter()
        .map(|row| row["status"].clone())
        .collect();
    assert_eq!(statuses, ["applied", "hold"]);
    let registry = walk.repo.manager_json("registry.v1.json");
    assert_eq!(registry["x-owner"], "platform", "not ours, and still there");
}
