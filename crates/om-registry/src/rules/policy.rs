//! Rules 7 to 45, then those of our additive members.

use serde_json::Value;

use super::When::{Always, Guarded, NotNull, Present};
use super::values::{
    empty_string, entries_empty, entries_no_categories, entries_no_strings,
    entries_other_than_cancel, entries_twice, entries_undeclared, missing, no_confidence, no_mode,
    no_percent, no_rate, no_severity, no_whole_from_one, no_whole_from_zero, not_a_string,
    not_a_text, not_a_timestamp, not_an_array, not_an_object, not_boolean, timestamp,
};
use super::{Breaks, Facts, Rule, When};

/// Rule 46 comes before the rule at this position.
pub(super) const BEFORE_ADDITIVE: usize = 46;

const fn rule(member: &'static str, when: When, cases: &'static [(Breaks, &'static str)]) -> Rule {
    Rule {
        member,
        when,
        cases,
        review: false,
    }
}

/// Rule 30.8.
const fn review_rule(
    member: &'static str,
    when: When,
    cases: &'static [(Breaks, &'static str)],
) -> Rule {
    Rule {
        member,
        when,
        cases,
        review: true,
    }
}

/// In the chapter's order; the row is named before each.
#[rustfmt::skip]
pub(crate) const POLICY_RULES: [Rule; 49] = [
    // 7
    rule("policy", NotNull, &[(not_an_object, "policy must be an object when present")]),
    // 8
    rule("policy.mode", Present, &[(no_mode, "policy.mode must be advisory or guarded_auto")]),
    // 9
    rule("policy.noiseControls", NotNull, &[(not_an_object, "policy.noiseControls must be an object when present")]),
    // 10
    rule("policy.noiseControls.dedupeWindowSeconds", Present, &[(no_whole_from_zero, "policy.noiseControls.dedupeWindowSeconds must be an integer >= 0 when present")]),
    // 11
    rule("policy.autonomous", NotNull, &[(not_an_object, "policy.autonomous must be an object when present")]),
    // 12
    rule("policy.autonomous.allow", NotNull, &[(not_an_object, "policy.autonomous.allow must be an object when present")]),
    // 13
    rule("policy.autonomous.allow.categories", Present, &[(not_an_array, "policy.autonomous.allow.categories must be an array when present"), (entries_no_strings, "policy.autonomous.allow.categories entries must be strings"), (entries_no_categories, "policy.autonomous.allow.categories contains unsupported categories")]),
    // 14
    rule("policy.autonomous.allow.intents", Present, &[(not_an_array, "policy.autonomous.allow.intents must be an array when present"), (entries_no_strings, "policy.autonomous.allow.intents entries must be strings"), (entries_other_than_cancel, "policy.autonomous.allow.intents contains unsupported intents")]),
    // 15
    rule("policy.autonomous.thresholds", NotNull, &[(not_an_object, "policy.autonomous.thresholds must be an object when present")]),
    // 16
    rule("policy.autonomous.thresholds.minSeverity", Present, &[(not_a_string, "policy.autonomous.thresholds.minSeverity must be a string when present"), (no_severity, "policy.autonomous.thresholds.minSeverity must be one of critical, warning, info")]),
    // 17
    rule("policy.autonomous.thresholds.minConfidence", Present, &[(not_a_string, "policy.autonomous.thresholds.minConfidence must be a string when present"), (no_confidence, "policy.autonomous.thresholds.minConfidence must be one of high, medium, low")]),
    // 18
    rule("policy.autonomous.safety", NotNull, &[(not_an_object, "policy.autonomous.safety must be an object when present")]),
    // 19
    rule("policy.autonomous.safety.maxActionsPerRun", Present, &[(no_whole_from_zero, "policy.autonomous.safety.maxActionsPerRun must be an integer >= 0 when present")]),
    // 20
    rule("policy.autonomous.safety.maxActionsPerLoop", Present, &[(no_whole_from_zero, "policy.autonomous.safety.maxActionsPerLoop must be an integer >= 0 when present")]),
    // 21
    rule("policy.autonomous.safety.cooldownSeconds", Present, &[(no_whole_from_zero, "policy.autonomous.safety.cooldownSeconds must be an integer >= 0 when present")]),
    // 22
    rule("policy.autonomous.safety.killSwitch", NotNull, &[(not_boolean, "policy.autonomous.safety.killSwitch must be boolean when present")]),
    // 23
    rule("policy.autonomous.governance", NotNull, &[(not_an_object, "policy.autonomous.governance must be an object when present")]),
    // 24
    rule("policy.autonomous.governance.actor", Present, &[(not_a_text, "policy.autonomous.governance.actor must be a non-empty string when present")]),
    // 25
    rule("policy.autonomous.governance.approvalRef", Present, &[(not_a_text, "policy.autonomous.governance.approvalRef must be a non-empty string when present")]),
    // 26
    rule("policy.autonomous.governance.rationale", Present, &[(not_a_text, "policy.autonomous.governance.rationale must be a non-empty string when present")]),
    // 27
    rule("policy.autonomous.governance.changedAt", Present, &[(not_a_timestamp, "policy.autonomous.governance.changedAt must be an ISO-8601 timestamp when present")]),
    // 28
    rule("policy.autonomous.governance.reviewBy", Present, &[(not_a_timestamp, "policy.autonomous.governance.reviewBy must be an ISO-8601 timestamp when present")]),
    // 29
    rule("policy.autonomous.governance.reviewBy", Always, &[(review_before_change, "policy.autonomous.governance.reviewBy must be after policy.autonomous.governance.changedAt")]),
    // 30.1
    rule("policy.autonomous.governance", Guarded, &[(missing, "policy.autonomous.governance is required when policy.mode is guarded_auto")]),
    // 30.2
    rule("policy.autonomous.governance.actor", Guarded, &[(not_a_text, "policy.autonomous.governance.actor is required when policy.mode is guarded_auto")]),
    // 30.3
    rule("policy.autonomous.governance.approvalRef", Guarded, &[(not_a_text, "policy.autonomous.governance.approvalRef is required when policy.mode is guarded_auto")]),
    // 30.4
    rule("policy.autonomous.governance.rationale", Guarded, &[(not_a_text, "policy.autonomous.governance.rationale is required when policy.mode is guarded_auto")]),
    // 30.5
    rule("policy.autonomous.governance.changedAt", Guarded, &[(not_a_timestamp, "policy.autonomous.governance.changedAt must be an ISO-8601 timestamp when policy.mode is guarded_auto")]),
    // 30.6
    rule("policy.autonomous.governance.reviewBy", Guarded, &[(not_a_timestamp, "policy.autonomous.governance.reviewBy must be an ISO-8601 timestamp when policy.mode is guarded_auto")]),
    // 30.7
    rule("policy.autonomous.governance.reviewBy", Guarded, &[(review_before_change, "policy.autonomous.governance.reviewBy must be after policy.autonomous.governance.changedAt when policy.mode is guarded_auto")]),
    // 30.8
    review_rule("policy.autonomous.governance.reviewBy", Guarded, &[(review_lapsed, "policy.autonomous.governance.reviewBy must be in the future when policy.mode is guarded_auto")]),
    // 31
    rule("policy.autonomous.rollout", NotNull, &[(not_an_object, "policy.autonomous.rollout must be an object when present")]),
    // 32
    rule("policy.autonomous.rollout.canaryPercent", Present, &[(no_percent, "policy.autonomous.rollout.canaryPercent must be an integer between 0 and 100 when present")]),
    // 33
    rule("policy.autonomous.rollout.scope", NotNull, &[(not_an_object, "policy.autonomous.rollout.scope must be an object when present")]),
    // 34
    rule("policy.autonomous.rollout.scope.loopIds", Present, &[(not_an_array, "policy.autonomous.rollout.scope.loopIds must be an array when present"), (entries_no_strings, "policy.autonomous.rollout.scope.loopIds entries must be strings"), (entries_empty, "policy.autonomous.rollout.scope.loopIds entries must be non-empty strings"), (entries_twice, "policy.autonomous.rollout.scope.loopIds entries must be unique"), (entries_undeclared, "policy.autonomous.rollout.scope.loopIds entries must reference declared loopIds")]),
    // 35
    rule("policy.autonomous.rollout.selector", NotNull, &[(not_an_object, "policy.autonomous.rollout.selector must be an object when present")]),
    // 36
    rule("policy.autonomous.rollout.selector.salt", Present, &[(not_a_string, "policy.autonomous.rollout.selector.salt must be a string when present"), (empty_string, "policy.autonomous.rollout.selector.salt must be non-empty when present")]),
    // 37
    rule("policy.autonomous.rollout.pause", NotNull, &[(not_an_object, "policy.autonomous.rollout.pause must be an object when present")]),
    // 38
    rule("policy.autonomous.rollout.pause.manual", NotNull, &[(not_boolean, "policy.autonomous.rollout.pause.manual must be boolean when present")]),
    // 39
    rule("policy.autonomous.rollout.autoPause", NotNull, &[(not_an_object, "policy.autonomous.rollout.autoPause must be an object when present")]),
    // 40
    rule("policy.autonomous.rollout.autoPause.enabled", NotNull, &[(not_boolean, "policy.autonomous.rollout.autoPause.enabled must be boolean when present")]),
    // 41
    rule("policy.autonomous.rollout.autoPause.lookbackExecutions", Present, &[(no_whole_from_one, "policy.autonomous.rollout.autoPause.lookbackExecutions must be an integer >= 1 when present")]),
    // 42
    rule("policy.autonomous.rollout.autoPause.minSampleSize", Present, &[(no_whole_from_one, "policy.autonomous.rollout.autoPause.minSampleSize must be an integer >= 1 when present")]),
    // 43
    rule("policy.autonomous.rollout.autoPause.ambiguityRateThreshold", Present, &[(no_rate, "policy.autonomous.rollout.autoPause.ambiguityRateThreshold must be a number between 0 and 1 when present")]),
    // 44
    rule("policy.autonomous.rollout.autoPause.failureRateThreshold", Present, &[(no_rate, "policy.autonomous.rollout.autoPause.failureRateThreshold must be a number between 0 and 1 when present")]),
    // 45
    rule("policy.suppressions", Present, &[(not_an_object, "policy.suppressions must be an object mapping loopId to category arrays")]),
    // D27
    rule("policy.autonomous.rollout.frozenLoopIds", Present, &[(not_an_array, "policy.autonomous.rollout.frozenLoopIds must be an array when present"), (entries_no_strings, "policy.autonomous.rollout.frozenLoopIds entries must be strings"), (entries_empty, "policy.autonomous.rollout.frozenLoopIds entries must be non-empty strings"), (entries_twice, "policy.autonomous.rollout.frozenLoopIds entries must be unique"), (entries_undeclared, "policy.autonomous.rollout.frozenLoopIds entries must reference declared loopIds")]),
    // D18
    rule("policy.autonomous.rollout.autoPause.clearedAt", Present, &[(not_a_timestamp, "policy.autonomous.rollout.autoPause.clearedAt must be an ISO-8601 timestamp when present")]),
    // D29
    rule("policy.suppressionGovernance", NotNull, &[(not_an_object, "policy.suppressionGovernance must be an object when present")]),
];

/// Both timestamps can be read and the deadline is not after the change.
fn review_before_change(review_by: &Value, facts: &Facts<'_>) -> bool {
    let changed_at = timestamp(facts.at("policy.autonomous.governance.changedAt"));
    let review_by = timestamp(Some(review_by));
    matches!((changed_at, review_by), (Some(changed), Some(review)) if review <= changed)
}

/// The deadline can be read and has passed.
fn review_lapsed(review_by: &Value, facts: &Facts<'_>) -> bool {
    timestamp(Some(review_by)).is_some_and(|review| review <= facts.now)
}
