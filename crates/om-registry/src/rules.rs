//! The rules of chapter 05 §1.4, as tables in the chapter's order.
//!
//! | rows | table |
//! |---|---|
//! | 1 to 5 | [`shape`] |
//! | 6.x, once per loop | [`LOOP_RULES`] |
//! | 7 to 45, then those of our additive members | [`POLICY_RULES`] |
//! | 46, once per key | [`keyed`] |
//!
//! A container of the wrong type is reported as such and its members count as
//! absent (decision D2).

mod keyed;
mod loops;
mod policy;
mod shape;
mod values;

use std::collections::HashSet;

use om_model::Timestamp;
use om_model::json::present;
use serde_json::Value;

use crate::evaluate::Violation;
use crate::member::MemberPath;

pub(crate) use loops::LOOP_RULES;
pub(crate) use policy::POLICY_RULES;

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The value is there: neither missing nor `null` nor `false`.
    Present,
    /// The value is neither missing nor `null`; containers and switches.
    NotNull,
    /// Always, even about a missing value.
    Always,
    /// Always, if the mode is `guarded_auto`.
    Guarded,
}

/// Whether a value breaks a rule; `Null` stands for a missing one.
pub(crate) type Breaks = fn(&Value, &Facts<'_>) -> bool;

/// One row of the chapter's table, or a group of rows marked ▸.
pub(crate) struct Rule {
    /// Whom it is about: a dotted path from the root, or from the loop.
    pub(crate) member: &'static str,
    /// When it is asked.
    pub(crate) when: When,
    /// What breaks it and the message for that; only the first one is told.
    pub(crate) cases: &'static [(Breaks, &'static str)],
    /// Whether this is rule 30.8.
    pub(crate) review: bool,
}

/// What rules need to know besides the value.
pub(crate) struct Facts<'a> {
    /// The object that the rule's path begins at: the root, or the loop.
    pub(crate) base: &'a Value,
    /// The ids that `loops` declares.
    pub(crate) declared: &'a HashSet<&'a str>,
    /// Now.
    pub(crate) now: Timestamp,
}

impl<'a> Facts<'a> {
    /// The value at a dotted path; nothing below a value of another type.
    pub(crate) fn at(&self, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(self.base, |at, name| at.as_object()?.get(name))
    }
}

impl Rule {
    /// The message that this rule has for `facts`, if it is broken.
    fn broken(&self, facts: &Facts<'_>) -> Option<&'static str> {
        let found = facts.at(self.member).unwrap_or(&Value::Null);
        let asked = match self.when {
            When::Present => present(Some(found)).is_some(),
            When::NotNull => !found.is_null(),
            When::Always => true,
            When::Guarded => is_guarded(facts),
        };
        let mut cases = self.cases.iter().filter(|_| asked);
        cases
            .find(|(breaks, _)| breaks(found, facts))
            .map(|(_, message)| *message)
    }
}

/// Every violation of `document`, in the order of the rules.
pub(crate) fn check(document: &Value, now: Timestamp) -> Vec<Violation> {
    let declared = shape::declared(document);
    let mut found = shape::check(document);
    for (index, entry) in shape::entries(document).iter().enumerate() {
        let facts = Facts {
            base: entry,
            declared: &declared,
            now,
        };
        found.extend(loops::check(index, &facts));
    }
    let facts = Facts {
        base: document,
        declared: &declared,
        now,
    };
    for (index, rule) in POLICY_RULES.iter().enumerate() {
        if index == policy::BEFORE_ADDITIVE {
            found.extend(keyed::suppressions(&facts));
        }
        found.extend(rule.broken(&facts).map(|message| Violation {
            review_lapsed: rule.review,
            ..Violation::new(message, MemberPath::dotted(rule.member))
        }));
    }
    found.extend(keyed::suppression_governance(&facts));
    found
}

fn is_guarded(facts: &Facts<'_>) -> bool {
    facts.at("policy.mode").and_then(Value::as_str) == Some("guarded_auto")
}

#[cfg(test)]
mod tests;
