//! Rules 6.x: one loop. The messages get `loops[i]: ` before them.

use om_model::json::present;
use serde_json::Value;

use super::values::{
    below_one, below_zero, no_transport, not_a_text, not_an_object, not_boolean, unsafe_loop_id,
};
use super::{Facts, Rule, When};
use crate::evaluate::Violation;
use crate::member::MemberPath;

const fn rule(
    member: &'static str,
    when: When,
    cases: &'static [(super::Breaks, &'static str)],
) -> Rule {
    Rule {
        member,
        when,
        cases,
        review: false,
    }
}

/// 6.2 to 6.12; 6.1 is about the entry itself.
pub(crate) const LOOP_RULES: [Rule; 12] = [
    rule(
        "loopId",
        When::Always,
        &[(not_a_text, "loopId must be a non-empty string")],
    ),
    // Decision D4.
    rule(
        "loopId",
        When::Present,
        &[(unsafe_loop_id, "loopId must be a safe path component")],
    ),
    rule(
        "enabled",
        When::NotNull,
        &[(not_boolean, "enabled must be boolean when present")],
    ),
    rule(
        "transport",
        When::Present,
        &[(no_transport, "transport must be local or sprite_service")],
    ),
    rule(
        "sprite",
        When::NotNull,
        &[(not_an_object, "sprite must be an object when present")],
    ),
    rule(
        "sprite.id",
        When::Present,
        &[(
            not_a_text,
            "sprite.id must be a non-empty string when present",
        )],
    ),
    rule(
        "service",
        When::NotNull,
        &[(not_an_object, "service must be an object when present")],
    ),
    rule(
        "service.tokenEnv",
        When::Present,
        &[(
            not_a_text,
            "service.tokenEnv must be a non-empty string when present",
        )],
    ),
    rule(
        "service.retryAttempts",
        When::Present,
        &[(below_one, "service.retryAttempts must be >= 1 when present")],
    ),
    rule(
        "service.retryBackoffSeconds",
        When::Present,
        &[(
            below_zero,
            "service.retryBackoffSeconds must be >= 0 when present",
        )],
    ),
    rule(
        "service.baseUrl",
        When::Always,
        &[(
            no_base_url,
            "sprite_service loops require service.baseUrl or sprite.serviceBaseUrl",
        )],
    ),
    rule(
        "metadata",
        When::Present,
        &[(not_an_object, "metadata must be an object when present")],
    ),
];

/// A present `service.baseUrl` is not replaced by the sprite's, even if it
/// cannot be used.
fn no_base_url(_: &Value, facts: &Facts<'_>) -> bool {
    let service = present(facts.at("service.baseUrl"));
    let url = service.or_else(|| present(facts.at("sprite.serviceBaseUrl")));
    let usable = url
        .and_then(Value::as_str)
        .is_some_and(|url| !url.is_empty());
    facts.at("transport").and_then(Value::as_str) == Some("sprite_service") && !usable
}

/// The violations of loop `index`, which is the base of `facts`.
pub(super) fn check(index: usize, facts: &Facts<'_>) -> Vec<Violation> {
    let here = || MemberPath::dotted("loops").item(index);
    let told = |message: &str, member: MemberPath| {
        Violation::new(format!("loops[{index}]: {message}"), member)
    };
    let mut found = Vec::new();
    if !facts.base.is_object() {
        found.push(told("entry must be an object", here()));
    }
    for rule in &LOOP_RULES {
        let message = rule.broken(facts);
        found.extend(message.map(|message| told(message, here().then(rule.member))));
    }
    found
}
