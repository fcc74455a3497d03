//! What holds for every history of promotions over evidence that breaks in
//! every way, through every door.

use om_promotion::apply::{ApplyRequest, run as apply};
use om_promotion::controller::{ControllerRequest, LimitTexts, run as control};
use om_promotion::gates::{GatesRequest, run as judge};
use om_promotion::orchestrate::{OrchestrateRequest, run as orchestrate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::place::{Place, drills, good_status, governance, handoff_rows};

/// One way in which the evidence says no, or says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Advisory,
    Unanswered,
    AutoPaused,
    Unaccounted,
    Backlogged,
    StatusWrongType,
    NoRuns,
    FewRuns,
    FailedRuns,
    RunsBroken,
    RunsWrongType,
    NoDrills,
    DrillsBroken,
    DrillsWrongType,
    DrillFailed,
    DrillWithoutTime,
    ReviewLapsed,
    AuditBroken,
}

const FLAWS: [Flaw; 18] = {
    use Flaw::{
        Advisory, AuditBroken, AutoPaused, Backlogged, DrillFailed, DrillWithoutTime, DrillsBroken,
        DrillsWrongType, FailedRuns, FewRuns, NoDrills, NoRuns, ReviewLapsed, RunsBroken,
        RunsWrongType, StatusWrongType, Unaccounted, Unanswered,
    };
    [
        Advisory,
        Unanswered,
        AutoPaused,
        Unaccounted,
        Backlogged,
        StatusWrongType,
        NoRuns,
        FewRuns,
        FailedRuns,
        RunsBroken,
        RunsWrongType,
        NoDrills,
        DrillsBroken,
        DrillsWrongType,
        DrillFailed,
        DrillWithoutTime,
        ReviewLapsed,
        AuditBroken,
    ]
};

/// A command through which the rollout can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Gates, then apply.
    ByHand,
    Orchestrate,
    Controller,
}

#[derive(Clone, Debug)]
struct Step {
    flaws: Vec<Flaw>,
    door: Door,
    intent: &'static str,
    key: Option<u8>,
}

impl Step {
    /// Whether nothing speaks against it. The audit trail is read only for
    /// the sake of a key.
    fn may_widen(&self) -> bool {
        let is_harmless = |flaw: &Flaw| *flaw == Flaw::AuditBroken && self.key.is_none();
        self.flaws.iter().all(is_harmless)
    }
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop::collection::vec(prop::sample::select(&FLAWS[..]), 0..3),
        prop::sample::select(vec![Door::ByHand, Door::Orchestrate, Door::Controller]),
        prop::sample::select(vec!["expand", "resume", "rollback"]),
        prop::option::of(0u8..2),
    )
        .prop_map(|(flaws, door, intent, key)| Step {
            flaws,
            door,
            intent,
            key,
        })
}

/// A fleet whose evidence is mended before each step and broken by it.
struct World {
    place: Place,
}

impl World {
    fn new() -> Self {
        Self {
            place: Place::promotable(),
        }
    }

    fn mend(&self) {
        let place = &self.place;
        *place.status.borrow_mut() = good_status();
        place.put("telemetry/handoff.jsonl", &handoff_rows(20));
        place.put("drills/promotion.v1.json", &drills().to_string());
        if place.exists("telemetry/promotion-apply.jsonl") {
            let sound = place
                .text("telemetry/promotion-apply.jsonl")
                .replace("{broken\n", "");
            place.put("telemetry/promotion-apply.jsonl", &sound);
        }
        self.review("2030-04-01T00:00:00Z");
    }

    fn review(&self, by: &str) {
        let mut registry = self.place.json("registry.v1.json");
        let governance = &mut registry["policy"]["autonomous"]["governance"];
        governance["changedAt"] = json!("2030-03-01T00:00:00Z");
        governance["reviewBy"] = json!(by);
        self.place.put("registry.v1.json", &registry.to_string());
    }

    fn break_by(&self, flaw: Flaw) {
        let place = &self.place;
        let status = |path: &str, value: Value| {
            let mut status = place.status.borrow_mut();
            *status.pointer_mut(path).expect("a member") = value;
        };
        let runs = |text: &str| place.put("telemetry/handoff.jsonl", text);
        let record = |text: &str| place.put("drills/promotion.v1.json", text);
        let last_drill = |member: &str, value: Value| {
            let mut drills = drills();
            drills["drills"][2][member] = value;
            record(&drills.to_string());
        };
        let remove = |name: &str| {
            // It may be gone already.
            let _ = std::fs::remove_file(place.fleet(name));
        };
        match flaw {
            Flaw::Advisory => status("/autonomous/enabled", json!(false)),
            Flaw::Unanswered => status("/autonomous/governance/posture", json!("review_expired")),
            Flaw::AutoPaused => status("/autonomous/rollout/autopause/active", json!(true)),
            Flaw::Unaccounted => status("/autonomous/safetyGateDecisions", json!({ "byPath": {} })),
            Flaw::Backlogged => status("/autonomous/outcomeRollup/manual_backlog", json!(6)),
            Flaw::StatusWrongType => {
                status("/autonomous/safetyGateDecisions", json!("none"));
            }
            Flaw::NoRuns => remove("telemetry/handoff.jsonl"),
            Flaw::FewRuns => runs(&handoff_rows(19)),
            Flaw::FailedRuns => {
                runs(&handoff_rows(20).replace("\"failedCount\":0", "\"failedCount\":1"));
            }
            Flaw::RunsBroken => runs(&(handoff_rows(20) + "{broken\n")),
            Flaw::RunsWrongType => runs(&(handoff_rows(20) + "[]\n")),
            Flaw::NoDrills => remove("drills/promotion.v1.json"),
            Flaw::DrillsBroken => record("{broken"),
            Flaw::DrillsWrongType => record("[]"),
            Flaw::DrillFailed => last_drill("status", json!("fail")),
            Flaw::DrillWithoutTime => last_drill("completedAt", json!("yesterday")),
            Flaw::ReviewLapsed => self.review("2030-03-10T00:00:00Z"),
            Flaw::AuditBroken => {
                let rows = if place.exists("telemetry/promotion-apply.jsonl") {
                    place.text("telemetry/promotion-apply.jsonl")
                } else {
                    String::new()
                };
                place.put("telemetry/promotion-apply.jsonl", &(rows + "{broken\n"));
            }
        }
    }

    /// Takes the step; whether it went well.
    fn take(&self, step: &Step) -> bool {
        let place = &self.place;
        let key = step.key.map(|key| key.to_string());
        let text = |text: &str| Some(text.to_owned());
        place.with(|pipeline| match step.door {
            Door::ByHand => {
                let gates = GatesRequest {
                    repo: place.repo(),
                    ..GatesRequest::default()
                };
                // A judgement that fails leaves the last decision in force,
                // which a person would not go by.
                if judge(&gates, pipeline).is_err() {
                    place.put("promotion-state.json", "");
                }
                let request = ApplyRequest {
                    idempotency_key: key,
                    ..place.apply(step.intent)
                };
                apply(&request, pipeline).is_ok()
            }
            Door::Orchestrate => {
                let is_rollback = step.intent == "rollback";
                let request = OrchestrateRequest {
                    repo: place.repo(),
                    mode: text(if is_rollback { "rollback" } else { "apply" }),
                    apply_intent: (!is_rollback).then(|| step.intent.to_owned()),
                    idempotency_key: key,
                    governance: governance(),
                    ..OrchestrateRequest::default()
                };
                orchestrate(&request, pipeline).is_ok()
            }
            Door::Controller => {
                let resumes = step.intent == "resume";
                let request = ControllerRequest {
                    repo: place.repo(),
                    mode: text("guarded_auto_apply"),
                    apply_intent: text(if resumes { "resume" } else { "expand" }),
                    limits: LimitTexts {
                        max_applies_per_window: text("999"),
                        max_expand_step_per_window: text("9999"),
                        cooldown_minutes: text("0"),
                        ..LimitTexts::default()
                    },
                    idempotency_key: key,
                    governance: governance(),
                    ..ControllerRequest::default()
                };
                control(&request, pipeline).is_ok_and(|printed| printed.exit_code == 0)
            }
        })
    }

    /// Canary and pause, as the registry has them.
    fn posture(&self) -> (Value, Value) {
        let registry = self.place.json("registry.v1.json");
        let rollout = &registry["policy"]["autonomous"]["rollout"];
        let paused = rollout["pause"]["manual"] == json!(true);
        (rollout["canaryPercent"].clone(), json!(paused))
    }

    /// The audit trail: postures before and after, row by row.
    fn trail(&self) -> Vec<[(Value, Value); 2]> {
        if !self.place.exists("telemetry/promotion-apply.jsonl") {
            return Vec::new();
        }
        let text = self.place.text("telemetry/promotion-apply.jsonl");
        let rows = text
            .lines()
            .filter_map(|line| om_model::json::parse(line.as_bytes()).ok());
        rows.map(|row| {
            ["before", "after"].map(|name| {
                let posture = &row["rollout"][name];
                (
                    posture["canaryPercent"].clone(),
                    posture["manualPause"].clone(),
                )
            })
        })
        .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_door_leads_past_a_failing_gate_and_the_trail_has_no_gap(
        steps in prop::collection::vec(step(), 1..7)
    ) {
        let world = World::new();
        let begin = world.posture();
        for step in steps {
            world.mend();
            for flaw in &step.flaws {
                world.break_by(*flaw);
            }
            let (before, rows) = (world.posture(), world.trail().len());
            let is_done = world.take(&step);
            let (after, trail) = (world.posture(), world.trail());
            let has_widened = after.0.as_u64() > before.0.as_u64()
                || (before.1 == json!(true) && after.1 == json!(false));
            prop_assert!(!has_widened || step.may_widen(), "{:?}", step);
            // Without a row there is no change, and the rows lead from the
            // first posture to this one without a gap.
            prop_assert!(trail.len() > rows || before == after, "{:?}", step);
            let mut last = begin.clone();
            for [from, to] in trail {
                prop_assert_eq!(&last, &from);
                last = to;
            }
            prop_assert_eq!(last, after.clone());
            let can_roll_back = step.intent == "rollback" && step.door != Door::Controller;
            if can_roll_back && step.key.is_none() {
                prop_assert!(is_done, "{:?}", step);
                prop_assert_eq!(after.1, json!(true), "{:?}", step);
            }
        }
    }

    #[test]
    fn a_key_that_was_used_never_changes_anything_again(
        steps in prop::collection::vec(step(), 1..6)
    ) {
        let world = World::new();
        world.mend();
        let first = Step { flaws: Vec::new(), door: Door::ByHand, intent: "expand", key: Some(0) };
        prop_assert!(world.take(&first));
        let registry = world.place.text("registry.v1.json");
        for step in steps {
            let again = Step { door: step.door, flaws: step.flaws, ..first.clone() };
            world.mend();
            for flaw in &again.flaws {
                world.break_by(*flaw);
            }
            world.take(&again);
            prop_assert_eq!(world.trail().iter().filter(|[from, to]| from.0 != to.0).count(), 1);
        }
        world.mend();
        let canary = &om_model::json::parse(registry.as_bytes()).expect("JSON")["policy"]
            ["autonomous"]["rollout"]["canaryPercent"];
        prop_assert_eq!(&world.posture().0, canary);
    }
}

#[test]
fn every_flaw_by_itself_holds_the_promotion() {
    for flaw in FLAWS {
        for door in [Door::ByHand, Door::Orchestrate, Door::Controller] {
            let world = World::new();
            world.mend();
            world.break_by(flaw);
            let step = Step {
                flaws: vec![flaw],
                door,
                intent: "expand",
                key: Some(1),
            };
            let before = world.posture();
            world.take(&step);
            assert_eq!(world.posture(), before, "{flaw:?} {door:?}");
            assert_eq!(world.trail().len(), 0, "{flaw:?} {door:?}");
        }
    }
}
