//! Members that nobody reads (decision D5): a misspelt safety switch must not
//! pass silently.

use om_model::Timestamp;
use serde_json::Value;

use crate::evaluate::Warning;
use crate::member::MemberPath;
use crate::normalize::is_ahead;
use crate::rules::{LOOP_RULES, POLICY_RULES, Rule, When};

/// How far a name may be from a known one to be taken for it.
const CLOSE: usize = 2;

const CLEARED_AT: &str = "policy.autonomous.rollout.autoPause.clearedAt";

/// What is known: the container, then its members. `[]` stands for every item
/// and `*` for every member.
const KNOWN: [(&str, &[&str]); 17] = [
    (
        "",
        &[
            "schemaVersion",
            "fleetId",
            "loops",
            "policy",
            "sourceFile",
            "loopCount",
        ],
    ),
    (
        "loops[]",
        &[
            "loopId",
            "enabled",
            "transport",
            "sprite",
            "service",
            "metadata",
        ],
    ),
    ("loops[].sprite", &["id", "assignment", "serviceBaseUrl"]),
    (
        "loops[].service",
        &[
            "baseUrl",
            "tokenEnv",
            "retryAttempts",
            "retryBackoffSeconds",
        ],
    ),
    (
        "policy",
        &[
            "mode",
            "suppressions",
            "noiseControls",
            "autonomous",
            "suppressionGovernance",
        ],
    ),
    ("policy.noiseControls", &["dedupeWindowSeconds"]),
    (
        "policy.suppressionGovernance.*",
        &["actor", "ref", "rationale", "reviewBy"],
    ),
    (
        "policy.autonomous",
        &[
            "enabled",
            "allow",
            "thresholds",
            "safety",
            "governance",
            "rollout",
        ],
    ),
    ("policy.autonomous.allow", &["categories", "intents"]),
    (
        "policy.autonomous.thresholds",
        &["minSeverity", "minConfidence"],
    ),
    (
        "policy.autonomous.safety",
        &[
            "maxActionsPerRun",
            "maxActionsPerLoop",
            "cooldownSeconds",
            "killSwitch",
        ],
    ),
    (
        "policy.autonomous.governance",
        &[
            "actor",
            "approvalRef",
            "rationale",
            "changedAt",
            "reviewBy",
            "reviewWindowDays",
        ],
    ),
    (
        "policy.autonomous.rollout",
        &[
            "canaryPercent",
            "scope",
            "selector",
            "pause",
            "autoPause",
            "frozenLoopIds",
        ],
    ),
    ("policy.autonomous.rollout.scope", &["loopIds"]),
    ("policy.autonomous.rollout.selector", &["salt"]),
    ("policy.autonomous.rollout.pause", &["manual"]),
    (
        "policy.autonomous.rollout.autoPause",
        &[
            "enabled",
            "lookbackExecutions",
            "minSampleSize",
            "ambiguityRateThreshold",
            "failureRateThreshold",
            "clearedAt",
        ],
    ),
];

/// Everything that is probably not meant, container by container.
pub(crate) fn warnings(document: &Value, now: Timestamp) -> Vec<Warning> {
    let mut found = Vec::new();
    for (container, known) in KNOWN {
        visit(
            document,
            container,
            MemberPath::default(),
            &mut |here, value| {
                found.extend(unknown_members(here, value, known));
            },
        );
    }
    found.extend(false_values(document));
    found.extend(cleared_ahead(document, now));
    found
}

/// Calls `each` for every container that `pattern` stands for.
fn visit(at: &Value, pattern: &str, here: MemberPath, each: &mut dyn FnMut(&MemberPath, &Value)) {
    let (step, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
    match step.strip_suffix("[]").map(|name| (name, at.get(name))) {
        _ if step.is_empty() => each(&here, at),
        Some((name, items)) => {
            let items = items.and_then(Value::as_array).into_iter().flatten();
            for (index, item) in items.enumerate() {
                visit(item, rest, here.clone().member(name).item(index), each);
            }
        }
        None if step == "*" => {
            for (name, value) in at.as_object().into_iter().flatten() {
                visit(value, rest, here.clone().member(name), each);
            }
        }
        None => {
            if let Some(value) = at.get(step) {
                visit(value, rest, here.member(step), each);
            }
        }
    }
}

fn unknown_members(here: &MemberPath, value: &Value, known: &[&str]) -> Vec<Warning> {
    let members = value.as_object().into_iter().flatten();
    let names = members.map(|(name, _)| name.as_str());
    let unknown = names.filter(|name| !known.contains(name));
    unknown
        .map(|name| {
            let member = here.clone().member(name);
            let hint = closest(name, known)
                .map(|close| format!("; did you mean {close}?"))
                .unwrap_or_default();
            let message = format!("unknown member {member} has no effect{hint}");
            Warning {
                member,
                message,
                line: None,
            }
        })
        .collect()
}

/// The known member that somebody probably meant.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let folded = fold(name);
    let distance = |known: &&'a str| (strsim::damerau_levenshtein(&folded, &fold(known)), *known);
    let (distance, close) = known.iter().map(distance).min()?;
    // Short names are close to anything.
    (distance <= CLOSE && distance * 3 <= close.len()).then_some(close)
}

/// Without case and separators: `kill_switch` is `killSwitch`.
fn fold(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.flat_map(char::to_lowercase).collect()
}

/// `false` where a value is expected is taken for "not there" (chapter 05
/// §1.4); somebody who wrote it may have meant "none".
fn false_values(document: &Value) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut tell = |member: MemberPath| {
        if member.of(document) == Some(&Value::Bool(false)) {
            found.push(Warning {
                message: format!("{member} is false, which means its default"),
                member,
                line: None,
            });
        }
    };
    tell(MemberPath::dotted("fleetId"));
    let loops = document
        .get("loops")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    for index in 0..loops {
        for rule in LOOP_RULES.iter().filter(|rule| replaces_false(rule)) {
            tell(MemberPath::dotted("loops").item(index).then(rule.member));
        }
    }
    for rule in POLICY_RULES.iter().filter(|rule| replaces_false(rule)) {
        tell(MemberPath::dotted(rule.member));
    }
    found
}

/// Whether the rule's member may be `false` and then means its default.
fn replaces_false(rule: &Rule) -> bool {
    rule.when == When::Present && rule.member != "loopId"
}

/// Executions that are still to come cannot be put aside.
fn cleared_ahead(document: &Value, now: Timestamp) -> Option<Warning> {
    let member = MemberPath::dotted(CLEARED_AT);
    let cleared = Timestamp::parse(member.of(document)?.as_str()?)?;
    is_ahead(cleared, now).then(|| Warning {
        message: format!("{member} is in the future and has no effect yet"),
        member,
        line: None,
    })
}
