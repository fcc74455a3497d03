use super::*;
use om_model::fleet::policy::AutonomyReason;

fn report() -> CycleReport {
    let at = Timestamp::parse("2031-05-02T08:00:00Z").expect("a time");
    CycleReport {
        schema_version: SchemaVersion::V1,
        cycle: 7,
        started_at: at,
        completed_at: at,
        duration_milliseconds: 1_234,
        fleet_id: Some("north".to_owned()),
        trace_id: TraceId::new("tr-1").expect("not empty"),
        steps: Steps::default(),
        mode: None,
        loops: None,
        worst: Vec::new(),
        candidates: None,
        dispatch: None,
        pending: None,
        interrupted: None,
    }
}

fn id(text: &str) -> LoopId {
    LoopId::new(text).expect("an id")
}

#[test]
fn a_whole_cycle_is_one_line() {
    let done = Step::done();
    let report = CycleReport {
        steps: Steps {
            reconcile: done.clone(),
            policy: done.clone(),
            handoff: done.clone(),
            dispatch: done.clone(),
            status: done,
        },
        mode: Some(PolicyMode::GuardedAuto),
        loops: Some(Loops {
            total: 3,
            success: 1,
            failed: 1,
            skipped: 1,
        }),
        worst: vec![
            WorstLoop {
                loop_id: id("b"),
                status: LoopStatus::Failed,
                health_status: "critical".to_owned(),
                reason_code: Some("transport_unreachable".to_owned()),
            },
            WorstLoop {
                loop_id: id("c"),
                status: LoopStatus::Success,
                health_status: "degraded".to_owned(),
                reason_code: None,
            },
        ],
        candidates: Some(Candidates {
            total: 3,
            unsuppressed: 2,
            eligible: 2,
        }),
        dispatch: Some(Dispatched {
            attempted: 1,
            executed: 1,
            withheld: vec![Withheld {
                intent_id: "c:health_critical:cancel".to_owned(),
                loop_id: "c".to_owned(),
                reason_code: AutonomyReason::KillSwitchEnabled,
            }],
            ..Dispatched::default()
        }),
        pending: Some(Pending {
            confirmation: 1,
            manual_only: 1,
        }),
        ..report()
    };
    insta::assert_snapshot!(line(&report), @"2031-05-02T08:00:00Z cycle 7: 3 loops: 1 ok, 1 failed, 1 skipped; worst: b failed (transport_unreachable), c degraded; 3 candidates (1 suppressed), 2 eligible; 1 dispatched (1 executed, 0 ambiguous, 0 failed), 1 withheld (autonomous_kill_switch_enabled); 1 pending (1 for people only); 1.2 s; trace tr-1");
}

#[test]
fn a_failed_step_and_what_it_leaves_undone_are_named() {
    let mut report = report();
    let error = CliError::verbatim("error: fleet registry rejected:\n  - loops: none\n", 1);
    report.steps.reconcile = Step::failed(&error);
    report.steps.status = Step::done();
    assert!(report.steps.has_failed());
    insta::assert_snapshot!(line(&report), @"2031-05-02T08:00:00Z cycle 7: nothing dispatched; reconcile FAILED: fleet registry rejected:; - loops: none; not done: policy, handoff, dispatch; 1.2 s; trace tr-1");
}

#[test]
fn a_cut_cycle_says_what_was_not_done() {
    let mut report = report();
    report.steps.reconcile = Step::interrupted();
    report.interrupted = Some(Interruption {
        signal: "SIGINT".to_owned(),
        not_passed: vec![id("b")],
        not_done: report.steps.not_done(),
    });
    insta::assert_snapshot!(line(&report), @"2031-05-02T08:00:00Z cycle 7: nothing dispatched; cut by SIGINT: not done: reconcile, policy, handoff, dispatch, status; 1 loop not passed; 1.2 s; trace tr-1");
}

#[test]
fn guardrails_that_are_closed_are_told() {
    let mut report = report();
    report.steps.dispatch = Step::not_needed("governance review expired");
    assert!(line(&report).contains(": nothing dispatched: governance review expired; "));
    assert!(!report.steps.has_failed());
}
