//! What every switch edits, what it needs, and what counts as narrowing.

use om_model::control::Intent;
use om_model::fleet::registry::{Confidence, Severity};
use serde_json::json;

use super::*;

const NOW: &str = "2031-05-04T12:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a timestamp")
}

fn id(text: &str) -> LoopId {
    LoopId::new(text).expect("an id")
}

fn approved() -> Approval {
    let some = |text: &str| Some(text.to_owned());
    Approval {
        actor: some("kim"),
        approval_ref: some("CH-2"),
        rationale: some("calm night"),
        review_by: some("2031-05-11T12:00:00Z"),
    }
}

/// A guarded registry with `policy` merged in, reviewed until `review_by`.
fn registry(review_by: &str, safety: &Value, rollout: &Value) -> Text {
    let document = json!({
        "schemaVersion": "v1", "x": "unknown", "loops": [{"loopId": "a"}, {"loopId": "b"}],
        "policy": {"mode": "guarded_auto", "suppressions": {"b": ["health_degraded"]}, "autonomous": {
            "safety": safety, "rollout": rollout,
            "governance": {"actor": "lee", "approvalRef": "CH-1", "rationale": "try",
                "changedAt": "2031-05-01T12:00:00Z", "reviewBy": review_by},
        }},
    });
    Text::parse(json::pretty(&document)).expect("is JSON")
}

fn current() -> Text {
    registry("2031-06-01T00:00:00Z", &json!({}), &json!({}))
}

fn lapsed(safety: &Value, rollout: &Value) -> Text {
    registry("2031-05-02T00:00:00Z", safety, rollout)
}

fn turn(text: &Text, wanted: &Change, approval: &Approval) -> Result<Changed, ChangeError> {
    change(text, "reg", wanted, approval, now())
}

#[test]
fn every_switch_edits_its_member() {
    let rollout = |member: &str| format!("policy.autonomous.rollout.{member}");
    let healthy = Category::HealthDegraded;
    for (wanted, path, before, after) in [
        (
            Change::KillSwitch(true),
            "policy.autonomous.safety.killSwitch".into(),
            json!(null),
            json!(true),
        ),
        (
            Change::Pause(true),
            rollout("pause.manual"),
            json!(null),
            json!(true),
        ),
        (
            Change::ClearAutoPause,
            rollout("autoPause.clearedAt"),
            json!(null),
            json!(NOW),
        ),
        (
            Change::Freeze(id("a"), true),
            rollout("frozenLoopIds"),
            json!(null),
            json!(["a"]),
        ),
        (
            Change::Canary(25),
            rollout("canaryPercent"),
            json!(null),
            json!(25),
        ),
        (
            Change::Scope(vec![id("b")]),
            rollout("scope.loopIds"),
            json!(null),
            json!(["b"]),
        ),
        (
            Change::Suppress(None, healthy, true),
            "policy.suppressions.*".into(),
            json!(null),
            json!(["health_degraded"]),
        ),
        (
            Change::Suppress(Some(id("b")), healthy, false),
            "policy.suppressions.b".into(),
            json!(["health_degraded"]),
            json!(null),
        ),
        (
            Change::Mode(PolicyMode::Advisory),
            "policy.mode".into(),
            json!("guarded_auto"),
            json!("advisory"),
        ),
    ] {
        let done = turn(&current(), &wanted, &approved())
            .unwrap_or_else(|error| panic!("{wanted}: {error}"));
        assert_eq!(done.before.get(&path), Some(&before), "{wanted}");
        assert_eq!(done.after.get(&path), Some(&after), "{wanted}");
        let found = done.text.value(&MemberPath::dotted("x"));
        assert_eq!(
            found,
            Some(json!("unknown")),
            "{wanted} keeps what it does not know"
        );
    }
}

#[test]
fn what_is_turned_back_leaves_no_trace_but_an_explicit_value() {
    let text = current();
    let frozen = turn(&text, &Change::Freeze(id("a"), true), &approved()).expect("is frozen");
    let thawed =
        turn(&frozen.text, &Change::Freeze(id("a"), false), &approved()).expect("is thawed");
    let list = MemberPath::dotted("policy.autonomous.rollout.frozenLoopIds");
    assert_eq!(thawed.text.value(&list), Some(json!([])));
    let category = Category::HealthCritical;
    let quiet =
        turn(&text, &Change::Suppress(None, category, true), &approved()).expect("is quiet");
    let who = MemberPath::dotted("policy.suppressionGovernance");
    let expected = json!({"*": {"actor": "kim", "ref": "CH-2", "rationale": "calm night",
        "reviewBy": "2031-05-11T12:00:00Z"}});
    assert_eq!(quiet.text.value(&who), Some(expected));
    let loud = turn(
        &quiet.text,
        &Change::Suppress(None, category, false),
        &approved(),
    )
    .expect("is loud");
    assert_eq!(loud.text.value(&who), Some(json!({})));
    let left = loud.text.value(&MemberPath::dotted("policy.suppressions"));
    assert_eq!(left, Some(json!({"b": ["health_degraded"]})));
}

#[test]
fn what_narrows_needs_nobody_and_works_on_a_lapsed_review() {
    let text = lapsed(&json!({}), &json!({}));
    let governance = MemberPath::dotted(GOVERNANCE);
    for wanted in [
        Change::KillSwitch(true),
        Change::Pause(true),
        Change::Freeze(id("a"), true),
        Change::Canary(25),
        Change::Scope(vec![id("a")]),
        Change::Mode(PolicyMode::Advisory),
    ] {
        let done = turn(&text, &wanted, &Approval::default())
            .unwrap_or_else(|error| panic!("{wanted}: {error}"));
        assert!(done.narrowing && !done.is_empty(), "{wanted}");
        assert_eq!(
            done.text.value(&governance),
            text.value(&governance),
            "{wanted}"
        );
    }
}

#[test]
fn what_widens_needs_an_approval_that_it_writes_down() {
    let safety = json!({"killSwitch": true});
    let rollout = json!({"pause": {"manual": true}, "canaryPercent": 10, "scope": {"loopIds": ["a"]},
        "frozenLoopIds": ["a"]});
    let text = lapsed(&safety, &rollout);
    for wanted in [
        Change::KillSwitch(false),
        Change::Pause(false),
        Change::ClearAutoPause,
        Change::Freeze(id("a"), false),
        Change::Canary(11),
        Change::Scope(vec![]),
        Change::Scope(vec![id("a"), id("b")]),
        Change::Mode(PolicyMode::GuardedAuto),
    ] {
        let refused = turn(&text, &wanted, &Approval::default()).expect_err("is refused");
        assert!(
            refused.to_string().starts_with("--by is required: "),
            "{refused}"
        );
        let done =
            turn(&text, &wanted, &approved()).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        let governance = done.text.value(&MemberPath::dotted(GOVERNANCE));
        let expected = json!({"actor": "kim", "approvalRef": "CH-2", "rationale": "calm night",
            "changedAt": NOW, "reviewBy": "2031-05-11T12:00:00Z"});
        assert_eq!(governance, Some(expected), "{wanted}");
        assert_eq!(done.review_lapsed, None, "{wanted} renews the review");
    }
}

#[test]
fn a_renewed_or_extended_review_widens() {
    let guarded = Change::Mode(PolicyMode::GuardedAuto);
    for (found, name, narrowing) in [
        ("2031-05-02T00:00:00Z", "lapsed", false),
        ("2031-05-11T11:59:59Z", "extended", false),
        ("2031-05-11T12:00:00Z", "the same", true),
        ("2031-06-01T00:00:00Z", "brought forward", true),
    ] {
        let text = registry(found, &json!({}), &json!({}));
        let done = turn(&text, &guarded, &approved()).expect("is renewed");
        assert_eq!(done.narrowing, narrowing, "{name}");
        assert_eq!(done.review_lapsed, None, "{name}");
        let advisory = turn(&text, &Change::Mode(PolicyMode::Advisory), &approved());
        assert!(advisory.expect("narrows").narrowing, "{name}");
    }
}

#[test]
fn every_part_of_an_approval_is_asked_for() {
    let mut approval = Approval::default();
    let full = approved();
    for (flag, give) in [
        (
            "--by",
            (|to, from| to.actor = from.actor.clone()) as fn(&mut Approval, &Approval),
        ),
        ("--approval-ref", |to, from| {
            to.approval_ref = from.approval_ref.clone();
        }),
        ("--rationale", |to, from| {
            to.rationale = from.rationale.clone();
        }),
        ("--review-by", |to, from| {
            to.review_by = from.review_by.clone();
        }),
    ] {
        let refused = turn(&current(), &Change::ClearAutoPause, &approval).expect_err("is refused");
        let expected =
            format!("{flag} is required: autopause clear allows more to happen by itself");
        assert_eq!(refused.to_string(), expected);
        give(&mut approval, &full);
    }
    assert!(turn(&current(), &Change::ClearAutoPause, &approval).is_ok());
    for (deadline, message) in [
        ("soon", "--review-by must be an ISO-8601 timestamp"),
        (NOW, "--review-by must be in the future"),
    ] {
        approval.review_by = Some(deadline.to_owned());
        let refused =
            turn(&current(), &Change::KillSwitch(true), &approval).expect_err("is refused");
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn suppressions_need_somebody_whether_they_narrow_or_not() {
    let suppress = |on| Change::Suppress(Some(id("b")), Category::HealthDegraded, on);
    for on in [true, false] {
        let refused =
            turn(&current(), &suppress(on), &Approval::default()).expect_err("is refused");
        assert!(
            refused.to_string().ends_with("changes what people hear of"),
            "{refused}"
        );
    }
    let renewed = turn(&current(), &suppress(true), &approved()).expect("is renewed");
    assert_eq!(renewed.before.len(), 4);
    let quiet = Change::Suppress(None, Category::HealthCritical, true);
    let lapsed = lapsed(&json!({}), &json!({}));
    assert!(
        turn(&lapsed, &quiet, &approved())
            .expect("narrows")
            .review_lapsed
            .is_some()
    );
}

#[test]
fn what_says_what_is_so_already_changes_nothing() {
    let text = registry(
        "2031-06-01T00:00:00Z",
        &json!({"killSwitch": true}),
        &json!({"canaryPercent": 25.0}),
    );
    for wanted in [
        Change::KillSwitch(true),
        Change::Pause(false),
        Change::Canary(25),
        Change::Scope(vec![]),
        Change::Freeze(id("a"), false),
    ] {
        let done = turn(&text, &wanted, &Approval::default())
            .unwrap_or_else(|error| panic!("{wanted}: {error}"));
        assert!(done.is_empty() && done.text == text, "{wanted}");
    }
}

#[test]
fn a_loop_that_is_not_there_is_named() {
    for wanted in [
        Change::Freeze(id("c"), true),
        Change::Scope(vec![id("a"), id("c")]),
        Change::Suppress(Some(id("c")), Category::HealthCritical, true),
    ] {
        let refused = turn(&current(), &wanted, &approved()).expect_err("is refused");
        assert_eq!(
            refused.to_string(),
            "there is no loop \"c\" in the fleet registry; it has: a, b"
        );
    }
}

#[test]
fn a_registry_that_breaks_rules_is_refused_unless_the_change_mends_it() {
    let broken = Text::parse(
        r#"{"schemaVersion":"v1","loops":[{"loopId":"a"}],
        "policy":{"autonomous":{"rollout":{"canaryPercent":250}}}}"#,
    )
    .expect("is JSON");
    let refused =
        turn(&broken, &Change::KillSwitch(true), &Approval::default()).expect_err("is refused");
    assert!(
        refused
            .to_string()
            .starts_with("invalid fleet registry: reg\n"),
        "{refused}"
    );
    assert!(turn(&broken, &Change::Canary(25), &Approval::default()).is_ok());
    let odd = Text::parse(r#"{"policy":"none"}"#).expect("is JSON");
    let refused =
        turn(&odd, &Change::KillSwitch(true), &Approval::default()).expect_err("is refused");
    let expected = "fleet registry cannot be edited: policy is a string, expected an object";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn a_change_is_shown_as_it_is_typed() {
    let all = [
        (Change::KillSwitch(false), "kill-switch off"),
        (Change::Pause(true), "pause on"),
        (Change::ClearAutoPause, "autopause clear"),
        (Change::Freeze(id("a"), true), "freeze a on"),
        (Change::Canary(5), "canary 5"),
        (Change::Scope(vec![]), "scope all"),
        (Change::Scope(vec![id("a"), id("b")]), "scope a b"),
        (
            Change::Suppress(None, Category::ReconcileFailed, false),
            "suppress * reconcile_failed off",
        ),
        (Change::Mode(PolicyMode::GuardedAuto), "mode guarded_auto"),
    ];
    for (wanted, text) in all {
        assert_eq!(wanted.to_string(), text);
    }
}

/// Takes one thing away.
type Narrow = fn(&mut Policy);

#[test]
fn every_aspect_of_a_policy_can_be_narrowed_and_widened() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let cleared = Timestamp::parse(NOW);
    let aspects: [(&str, Narrow); 22] = [
        ("mode", |p| p.mode = PolicyMode::Advisory),
        ("window", |p| p.noise_controls.dedupe_window_seconds += 1),
        ("suppression", |p| {
            drop(
                p.suppressions
                    .insert("b".into(), json!(["health_critical"])),
            );
        }),
        ("suppression of all", |p| {
            drop(
                p.suppressions
                    .insert("*".into(), json!(["health_critical"])),
            );
        }),
        ("categories", |p| p.autonomous.allow.categories.truncate(1)),
        ("intents", |p| {
            p.autonomous
                .allow
                .intents
                .retain(|intent| *intent != Intent::Cancel);
        }),
        ("severity", |p| {
            p.autonomous.thresholds.min_severity = Severity::Critical;
        }),
        ("confidence", |p| {
            p.autonomous.thresholds.min_confidence = Confidence::High;
        }),
        ("actions of a run", |p| {
            p.autonomous.safety.max_actions_per_run = 0;
        }),
        ("actions on a loop", |p| {
            p.autonomous.safety.max_actions_per_loop = 0;
        }),
        ("cooldown", |p| p.autonomous.safety.cooldown_seconds += 1),
        ("kill switch", |p| p.autonomous.safety.kill_switch = true),
        ("pause", |p| p.autonomous.rollout.pause.manual = true),
        ("frozen", |p| {
            p.autonomous.rollout.frozen_loop_ids.push("b".into());
        }),
        ("canary", |p| p.autonomous.rollout.canary_percent -= 1),
        ("scope", |p| p.autonomous.rollout.scope.loop_ids.truncate(1)),
        ("auto-pause", |p| {
            p.autonomous.rollout.auto_pause.enabled = true;
        }),
        ("sample", |p| {
            p.autonomous.rollout.auto_pause.min_sample_size -= 1;
        }),
        ("failures", |p| {
            p.autonomous.rollout.auto_pause.failure_rate_threshold = 0.into();
        }),
        ("cleared", |p| {
            p.autonomous.rollout.auto_pause.cleared_at = None;
        }),
        ("review", |p| {
            p.autonomous.governance.review_by = Some("2031-05-05T00:00:00Z".into());
        }),
        ("no review", |p| p.autonomous.governance.review_by = None),
    ];
    let mut wide = Policy {
        mode: PolicyMode::GuardedAuto,
        ..Policy::default()
    };
    wide.autonomous.thresholds.min_severity = Severity::Info;
    wide.autonomous.thresholds.min_confidence = Confidence::Low;
    wide.autonomous.rollout.scope.loop_ids = ids(&["a", "b"]);
    wide.autonomous.rollout.auto_pause.enabled = false;
    wide.autonomous.rollout.auto_pause.cleared_at = cleared;
    wide.autonomous.governance.review_by = Some("2031-05-06T00:00:00Z".into());
    assert!(narrows(&wide, &wide));
    for (name, narrow) in aspects {
        let mut narrower = wide.clone();
        narrow(&mut narrower);
        assert!(narrows(&wide, &narrower), "{name} narrows");
        assert!(!narrows(&narrower, &wide), "{name} undone widens");
    }
}

#[test]
fn what_can_go_either_way_counts_as_widening() {
    let before = Policy::default();
    let different: [fn(&mut Policy); 3] = [
        |p| p.autonomous.rollout.selector.salt.push('x'),
        |p| p.autonomous.rollout.auto_pause.lookback_executions += 1,
        |p| p.autonomous.rollout.auto_pause.lookback_executions -= 1,
    ];
    for differ in different {
        let mut after = before.clone();
        differ(&mut after);
        assert!(!narrows(&before, &after));
    }
}

#[test]
fn a_suppression_of_all_stands_for_that_of_one() {
    let suppressing = |key: &str| {
        let mut policy = Policy::default();
        policy
            .suppressions
            .insert(key.to_owned(), json!(["health_critical"]));
        policy
    };
    assert!(narrows(&suppressing("a"), &suppressing("*")));
    assert!(!narrows(&suppressing("*"), &suppressing("a")));
}
