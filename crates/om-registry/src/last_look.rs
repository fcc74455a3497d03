//! What the registry forbids just before an action (decision D15).
//!
//! An intent was found eligible when the policy was evaluated. Before it is
//! carried out the registry is read again, *as written*: members that are
//! absent there change nothing, and nothing that is written can allow more
//! than the evaluation did.

use om_model::control::Intent;
use om_model::fleet::registry::{
    AutoPause, Autonomous, Category, Confidence, PolicyMode, Severity, cohort_bucket,
};
use om_model::json::present;
use om_model::{LoopId, Timestamp, json};
use serde_json::Value;

use crate::evaluate::judge;
use crate::normalize::{Part, auto_pause};
use crate::spans::without_mark;

/// The registry as written, or that there is none to be had.
#[derive(Clone, Debug, PartialEq)]
pub struct Written(Option<Value>);

impl Written {
    /// From the bytes of the file, if it could be read. A registry that
    /// breaks a rule other than that of the review deadline counts as none.
    pub fn from_file(bytes: Option<&[u8]>, now: Timestamp) -> Self {
        let document = bytes.and_then(|bytes| json::parse(without_mark(bytes)).ok());
        let usable = |document: &Value| judge(document, "", now).registry.is_some();
        Self(document.filter(usable))
    }

    /// From what the hook printed, if it succeeded.
    pub fn from_hook(document: Option<Value>) -> Self {
        Self(document.filter(Value::is_object))
    }
}

/// The action that is about to happen.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// On which loop.
    pub loop_id: &'a LoopId,
    /// Why.
    pub category: Category,
    /// What.
    pub intent: Intent,
    /// How bad it is.
    pub severity: Severity,
    /// How sure that is.
    pub confidence: Confidence,
}

/// Why an action is withheld, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// The registry cannot be read, or breaks a rule.
    RegistryUnavailable,
    /// It does not know the loop any more.
    LoopNotInRegistry,
    /// The loop was disabled.
    LoopDisabled,
    /// The mode was set to advisory.
    NotGuardedAuto,
    /// The review deadline has passed.
    ReviewExpired,
    /// The kill switch was turned on.
    KillSwitch,
    /// Somebody paused the rollout.
    ManualPause,
    /// The loop was frozen (decision D27).
    Frozen,
    /// The loop is out of scope.
    ScopeExcluded,
    /// The loop is not chosen by the canary share.
    CanaryExcluded,
    /// The category is not allowed.
    CategoryNotAllowed,
    /// The intent is not allowed.
    IntentNotAllowed,
    /// It is not bad enough.
    SeverityBelow,
    /// It is not sure enough.
    ConfidenceBelow,
    /// Somebody suppressed the category.
    Suppressed,
}

impl Withheld {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: [Self; 15] = [
        Self::RegistryUnavailable,
        Self::LoopNotInRegistry,
        Self::LoopDisabled,
        Self::NotGuardedAuto,
        Self::ReviewExpired,
        Self::KillSwitch,
        Self::ManualPause,
        Self::Frozen,
        Self::ScopeExcluded,
        Self::CanaryExcluded,
        Self::CategoryNotAllowed,
        Self::IntentNotAllowed,
        Self::SeverityBelow,
        Self::ConfidenceBelow,
        Self::Suppressed,
    ];

    /// The reason code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegistryUnavailable => "registry_unavailable",
            Self::LoopNotInRegistry => "loop_not_in_registry",
            Self::LoopDisabled => "loop_disabled",
            Self::NotGuardedAuto => "policy_mode_not_guarded_auto",
            Self::ReviewExpired => "autonomous_governance_review_expired",
            Self::KillSwitch => "autonomous_kill_switch_enabled",
            Self::ManualPause => "autonomous_rollout_paused_manual",
            Self::Frozen => "autonomous_loop_frozen",
            Self::ScopeExcluded => "autonomous_rollout_scope_excluded",
            Self::CanaryExcluded => "autonomous_rollout_canary_excluded",
            Self::CategoryNotAllowed => "category_not_allowlisted",
            Self::IntentNotAllowed => "intent_not_allowlisted",
            Self::SeverityBelow => "severity_below_threshold",
            Self::ConfidenceBelow => "confidence_below_threshold",
            Self::Suppressed => "candidate_suppressed",
        }
    }
}

/// What is left to be decided with telemetry and counters.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Settings of the auto-pause, one or two: if it would pause under any of
    /// them, it pauses.
    pub auto_pause: Vec<AutoPause>,
    /// Most actions of this run.
    pub max_actions_per_run: u64,
    /// Most actions of this run on one loop.
    pub max_actions_per_loop: u64,
}

/// Looks once more: the first reason to withhold the action, else what the
/// auto-pause and the caps have to be judged by.
///
/// `evaluated` are the normalised values that the policy was evaluated with.
pub fn last_look(
    written: &Written,
    evaluated: &Autonomous,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Result<Limits, Withheld> {
    let Some(document) = &written.0 else {
        return Err(Withheld::RegistryUnavailable);
    };
    let look = Look {
        root: Part(document),
        evaluated,
        subject,
        now,
    };
    match CHECKS.iter().find(|(_, forbids)| forbids(&look)) {
        Some((reason, _)) => Err(*reason),
        None => Ok(look.limits()),
    }
}

struct Look<'a> {
    root: Part<'a>,
    evaluated: &'a Autonomous,
    subject: &'a Subject<'a>,
    now: Timestamp,
}

/// Whether the registry forbids the action for one reason.
type Forbids = fn(&Look<'_>) -> bool;

/// What forbids the action, in order. (A registry that is not to be had comes
/// before all.)
const CHECKS: [(Withheld, Forbids); 14] = [
    (Withheld::LoopNotInRegistry, |look| look.entry().is_none()),
    (Withheld::LoopDisabled, |look| {
        look.entry()
            .is_some_and(|entry| is_off(entry.get("enabled")))
    }),
    (Withheld::NotGuardedAuto, |look| {
        let mode = look.root.part("policy").present("mode");
        mode.is_some_and(|mode| mode.as_str() != Some(PolicyMode::GuardedAuto.as_str()))
    }),
    (Withheld::ReviewExpired, |look| look.review_expired()),
    (Withheld::KillSwitch, |look| {
        is_on(look.autonomous().part("safety").0.get("killSwitch"))
    }),
    (Withheld::ManualPause, |look| {
        is_on(look.rollout().part("pause").0.get("manual"))
    }),
    (Withheld::Frozen, |look| {
        let frozen = look.rollout().texts("frozenLoopIds");
        frozen.is_some_and(|ids| look.is_among(&ids))
    }),
    (Withheld::ScopeExcluded, |look| {
        let ids = look.rollout().part("scope").texts("loopIds");
        ids.is_some_and(|ids| !ids.is_empty() && !look.is_among(&ids))
    }),
    (Withheld::CanaryExcluded, |look| look.canary_excludes()),
    (Withheld::CategoryNotAllowed, |look| {
        look.is_not_allowed("categories", look.subject.category.as_str())
    }),
    (Withheld::IntentNotAllowed, |look| {
        look.is_not_allowed("intents", look.subject.intent.as_str())
    }),
    (Withheld::SeverityBelow, |look| {
        let least = look.threshold("minSeverity", Severity::parse);
        least.is_some_and(|least| look.subject.severity < least)
    }),
    (Withheld::ConfidenceBelow, |look| {
        let least = look.threshold("minConfidence", Confidence::parse);
        least.is_some_and(|least| look.subject.confidence < least)
    }),
    (Withheld::Suppressed, |look| look.is_suppressed()),
];

impl<'a> Look<'a> {
    fn autonomous(&self) -> Part<'a> {
        self.root.part("policy").part("autonomous")
    }

    fn rollout(&self) -> Part<'a> {
        self.autonomous().part("rollout")
    }

    /// The loop as written.
    fn entry(&self) -> Option<&'a Value> {
        let id = self.subject.loop_id.as_str();
        let mut loops = self.root.0.get("loops")?.as_array()?.iter();
        loops.find(|entry| entry.get("loopId").and_then(Value::as_str) == Some(id))
    }

    fn is_among(&self, ids: &[String]) -> bool {
        ids.iter().any(|id| id == self.subject.loop_id.as_str())
    }

    /// Time passes even where nothing is written.
    fn review_expired(&self) -> bool {
        let written = self.autonomous().part("governance").present("reviewBy");
        let deadline = match written {
            Some(value) => value.as_str().and_then(Timestamp::parse),
            None => self.evaluated.governance.review_deadline(),
        };
        deadline.is_some_and(|deadline| deadline <= self.now)
    }

    fn canary_excludes(&self) -> bool {
        let (percent, salt) = (
            self.rollout().present("canaryPercent"),
            self.rollout().part("selector").present("salt"),
        );
        if percent.is_none() && salt.is_none() {
            return false;
        }
        let before = &self.evaluated.rollout;
        let percent = self
            .rollout()
            .whole("canaryPercent", u64::from(before.canary_percent));
        let salt = salt
            .and_then(Value::as_str)
            .unwrap_or(&before.selector.salt);
        let bucket = cohort_bucket(self.subject.loop_id.as_str(), salt);
        u64::from(bucket) >= percent
    }

    fn is_not_allowed(&self, list: &str, name: &str) -> bool {
        let allowed = self.autonomous().part("allow").texts(list);
        allowed.is_some_and(|names| !names.iter().any(|allowed| allowed == name))
    }

    fn threshold<T>(&self, name: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        self.autonomous().part("thresholds").read(name, parse)
    }

    fn is_suppressed(&self) -> bool {
        let suppressions = self.root.part("policy").part("suppressions");
        [self.subject.loop_id.as_str(), "*"].into_iter().any(|key| {
            let names = suppressions.texts(key).unwrap_or_default();
            names
                .iter()
                .any(|name| name == self.subject.category.as_str())
        })
    }

    fn limits(&self) -> Limits {
        let (safety, before) = (self.autonomous().part("safety"), &self.evaluated.safety);
        let cap = |name: &str, before: u64| before.min(safety.whole(name, before));
        let evaluated = &self.evaluated.rollout.auto_pause;
        let written = auto_pause(self.rollout().part("autoPause"), self.now, evaluated);
        let mut auto_pause = vec![evaluated.clone()];
        auto_pause.extend((written != *evaluated).then_some(written));
        Limits {
            auto_pause,
            max_actions_per_run: cap("maxActionsPerRun", before.max_actions_per_run),
            max_actions_per_loop: cap("maxActionsPerLoop", before.max_actions_per_loop),
        }
    }
}

/// A switch that is written and not off: whatever is not `false` is on.
fn is_on(value: Option<&Value>) -> bool {
    present(value).is_some()
}

/// A switch that is written and not on.
fn is_off(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(true)))
}

#[cfg(test)]
mod tests;
