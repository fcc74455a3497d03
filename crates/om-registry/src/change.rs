//! The switches that people turn by command: what each of them edits, what it
//! needs, and whether it only takes autonomy away (decisions D14, D29).
//!
//! Everything here is pure: a text goes in, an edited text and its audit come
//! out. Turning something off or down works at any time, on a registry whose
//! review has lapsed too; whatever allows more needs somebody who answers for
//! it, until a date.

mod narrow;

use std::fmt;

use om_model::fleet::registry::{Category, EditGovernance, Policy, PolicyMode, Registry};
use om_model::{LoopId, Timestamp, json};
use serde_json::{Map, Value};

use crate::edit::{EditError, Text};
use crate::error::Rejection;
use crate::evaluate::evaluate;
use crate::member::MemberPath;
use crate::normalize::{Defaults, normalize};
use crate::spans::without_mark;

pub use narrow::narrows;

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing happens by itself any more, or again.
    KillSwitch(bool),
    /// The rollout is paused by hand, or goes on.
    Pause(bool),
    /// Executions until now do not count for the auto-pause (decision D18).
    ClearAutoPause,
    /// Nothing happens by itself on one loop any more, or again (D27).
    Freeze(LoopId, bool),
    /// Share of the loops in scope, 0 to 100.
    Canary(u8),
    /// Which loops autonomy is for; empty: all.
    Scope(Vec<LoopId>),
    /// Nobody wants to hear of a category any more, or again; of one loop, or
    /// (`None`) of all.
    Suppress(Option<LoopId>, Category, bool),
    /// Whether anything may happen by itself.
    Mode(PolicyMode),
}

/// Who answers for a change, as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// Who (`--by`).
    pub actor: Option<String>,
    /// On whose approval (`--approval-ref`).
    pub approval_ref: Option<String>,
    /// Why (`--rationale`).
    pub rationale: Option<String>,
    /// Until when (`--review-by`).
    pub review_by: Option<String>,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The file is not JSON, or would break rules.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A value on the way is of another type.
    #[error("fleet registry cannot be edited: {0}")]
    Edit(#[from] EditError),
    /// The registry has no such loop.
    #[error("there is no loop {id:?} in the fleet registry; it has: {known}")]
    NoSuchLoop {
        /// What was asked for.
        id: String,
        /// The loops there are.
        known: String,
    },
    /// Somebody has to answer for it.
    #[error("{flag} is required: {change} {why}")]
    Unapproved {
        /// The first flag that is missing.
        flag: &'static str,
        /// What was to change.
        change: String,
        /// Why it needs that.
        why: &'static str,
    },
    /// The review deadline cannot be read.
    #[error("--review-by must be an ISO-8601 timestamp")]
    ReviewUnreadable,
    /// The review deadline has passed.
    #[error("--review-by must be in the future")]
    ReviewPast,
}

/// A change, made.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The edited text.
    pub text: Text,
    /// The registry that it is now.
    pub registry: Registry,
    /// Whether it only takes autonomy away.
    pub narrowing: bool,
    /// Changed members by path → what was written; `null`: nothing. Empty:
    /// there was nothing to change.
    pub before: Map<String, Value>,
    /// Changed members by path → what is written now; `null`: nothing.
    pub after: Map<String, Value>,
    /// The review deadline that has passed, if it has.
    pub review_lapsed: Option<String>,
}

impl Changed {
    /// Whether there is anything to write.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }
}

impl fmt::Display for Change {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: bool| if on { "on" } else { "off" };
        match self {
            Self::KillSwitch(on) => write!(f, "kill-switch {}", switch(*on)),
            Self::Pause(on) => write!(f, "pause {}", switch(*on)),
            Self::ClearAutoPause => f.write_str("autopause clear"),
            Self::Freeze(id, on) => write!(f, "freeze {id} {}", switch(*on)),
            Self::Canary(percent) => write!(f, "canary {percent}"),
            Self::Scope(ids) if ids.is_empty() => f.write_str("scope all"),
            Self::Scope(ids) => {
                let ids: Vec<&str> = ids.iter().map(LoopId::as_str).collect();
                write!(f, "scope {}", ids.join(" "))
            }
            Self::Suppress(id, category, on) => {
                let (key, category) = (suppression_key(id.as_ref()), category.as_str());
                write!(f, "suppress {key} {category} {}", switch(*on))
            }
            Self::Mode(mode) => write!(f, "mode {}", mode.as_str()),
        }
    }
}

impl Approval {
    /// What the audit row says of it, besides the actor.
    pub fn recorded(&self) -> EditGovernance {
        EditGovernance {
            approval_ref: self.approval_ref.clone(),
            rationale: self.rationale.clone(),
            review_by: self.review_by.clone(),
        }
    }

    fn missing(&self) -> Option<&'static str> {
        let flags = [
            ("--by", &self.actor),
            ("--approval-ref", &self.approval_ref),
            ("--rationale", &self.rationale),
            ("--review-by", &self.review_by),
        ];
        let mut missing = flags.into_iter().filter(|(_, value)| value.is_none());
        missing.next().map(|(flag, _)| flag)
    }

    fn check(&self, now: Timestamp) -> Result<(), ChangeError> {
        let Some(text) = &self.review_by else {
            return Ok(());
        };
        match Timestamp::parse(text) {
            None => Err(ChangeError::ReviewUnreadable),
            Some(deadline) if deadline <= now => Err(ChangeError::ReviewPast),
            Some(_) => Ok(()),
        }
    }
}

/// Makes `change` in `text`, the registry file `name`.
pub fn change(
    text: &Text,
    name: &str,
    change: &Change,
    approval: &Approval,
    now: Timestamp,
) -> Result<Changed, ChangeError> {
    approval.check(now)?;
    check_loops(text, change)?;
    let before = policy_of(text, name, now);
    let mut editor = Editor::new(text);
    editor.turn(change, now)?;
    let after = policy_of(&editor.text, name, now);
    let narrowing = takes_away(before.as_ref(), after.as_ref());
    if before == after && !renews(change) {
        // What it says is what it meant before.
        editor = Editor::new(text);
    } else {
        approve(
            &mut editor,
            change,
            approval,
            narrowing,
            after.as_ref(),
            now,
        )?;
    }
    // The approval that was written may be a longer one.
    let written = policy_of(&editor.text, name, now);
    let narrowing = narrowing && takes_away(before.as_ref(), written.as_ref());
    editor.finish(name, narrowing, now)
}

/// Whether a policy only takes autonomy away; unknown if there is none.
fn takes_away(before: Option<&Policy>, after: Option<&Policy>) -> bool {
    before
        .zip(after)
        .is_some_and(|(before, after)| narrows(before, after))
}

/// Whether a change that says what is said already renews its approval.
fn renews(change: &Change) -> bool {
    matches!(
        change,
        Change::Mode(PolicyMode::GuardedAuto) | Change::Suppress(_, _, true)
    )
}

/// Sees that somebody answers for the change, and writes down who.
fn approve(
    editor: &mut Editor,
    change: &Change,
    approval: &Approval,
    narrowing: bool,
    after: Option<&Policy>,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let guarded = matches!(change, Change::Mode(PolicyMode::GuardedAuto));
    let suppression = matches!(change, Change::Suppress(..));
    let why = match () {
        () if guarded => "lets actions happen by themselves",
        () if suppression => "changes what people hear of",
        () if !narrowing => "allows more to happen by itself",
        () => return Ok(()),
    };
    if let Some(flag) = approval.missing() {
        let change = change.to_string();
        return Err(ChangeError::Unapproved { flag, change, why });
    }
    let is_guarded = after.is_some_and(|policy| policy.mode == PolicyMode::GuardedAuto);
    if guarded || (!narrowing && is_guarded) {
        editor.govern(approval, now)?;
    }
    if let Change::Suppress(id, _, _) = change {
        editor.govern_suppression(suppression_key(id.as_ref()), approval)?;
    }
    Ok(())
}

/// Every loop that the change names is there.
fn check_loops(text: &Text, change: &Change) -> Result<(), ChangeError> {
    let named: Vec<&LoopId> = match change {
        Change::Freeze(id, true) | Change::Suppress(Some(id), _, true) => vec![id],
        Change::Scope(ids) => ids.iter().collect(),
        _ => return Ok(()),
    };
    let loops = text.value(&MemberPath::dotted("loops"));
    let loops = loops.as_ref().and_then(Value::as_array);
    let known = loops.into_iter().flatten();
    let known: Vec<&str> = known
        .filter_map(|entry| entry.get("loopId")?.as_str())
        .collect();
    match named.into_iter().find(|id| !known.contains(&id.as_str())) {
        None => Ok(()),
        Some(id) => Err(ChangeError::NoSuchLoop {
            id: id.to_string(),
            known: known.join(", "),
        }),
    }
}

/// What a text means, if it means anything; validity is judged at the end.
fn policy_of(text: &Text, name: &str, now: Timestamp) -> Option<Policy> {
    let document = json::parse(without_mark(text.bytes())).ok()?;
    let registry = normalize(&document, name, now, Defaults::Registry).ok()?;
    Some(registry.policy)
}

fn suppression_key(id: Option<&LoopId>) -> &str {
    id.map_or("*", LoopId::as_str)
}

/// A text that is being edited, and what it said before.
struct Editor<'a> {
    found: &'a Text,
    text: Text,
    edited: Vec<MemberPath>,
}

const SUPPRESSIONS: &str = "policy.suppressions";
const SUPPRESSION_GOVERNANCE: &str = "policy.suppressionGovernance";
const GOVERNANCE: &str = "policy.autonomous.governance";
const ROLLOUT: &str = "policy.autonomous.rollout";

impl<'a> Editor<'a> {
    fn new(found: &'a Text) -> Self {
        Self {
            found,
            text: found.clone(),
            edited: Vec::new(),
        }
    }

    fn turn(&mut self, change: &Change, now: Timestamp) -> Result<(), EditError> {
        let rollout = |member: &str| MemberPath::dotted(ROLLOUT).then(member);
        match change {
            Change::KillSwitch(on) => {
                let path = MemberPath::dotted("policy.autonomous.safety.killSwitch");
                self.put(path, *on)
            }
            Change::Pause(on) => self.put(rollout("pause.manual"), *on),
            Change::ClearAutoPause => self.put(rollout("autoPause.clearedAt"), now.to_string()),
            Change::Freeze(id, on) => self.list(rollout("frozenLoopIds"), id.as_str(), *on),
            Change::Canary(percent) => self.put(rollout("canaryPercent"), *percent),
            Change::Scope(ids) => {
                let ids: Vec<Value> = ids.iter().map(|id| id.as_str().into()).collect();
                self.put(rollout("scope.loopIds"), ids)
            }
            Change::Suppress(id, category, on) => {
                let key = suppression_key(id.as_ref());
                let path = MemberPath::dotted(SUPPRESSIONS).member(key);
                self.list(path.clone(), category.as_str(), *on)?;
                // A list that says nothing is no suppression.
                let is_empty = self.text.value(&path) == Some(Value::Array(Vec::new()));
                if is_empty && !on {
                    self.drop(path)?;
                }
                Ok(())
            }
            Change::Mode(mode) => self.put(MemberPath::dotted("policy.mode"), mode.as_str()),
        }
    }

    /// Who answers for what may happen by itself.
    fn govern(&mut self, approval: &Approval, now: Timestamp) -> Result<(), EditError> {
        let now = now.to_string();
        for (name, value) in [
            ("actor", approval.actor.as_deref()),
            ("approvalRef", approval.approval_ref.as_deref()),
            ("rationale", approval.rationale.as_deref()),
            ("changedAt", Some(now.as_str())),
            ("reviewBy", approval.review_by.as_deref()),
        ] {
            let path = MemberPath::dotted(GOVERNANCE).member(name);
            self.put(path, value.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Who answers for what nobody hears of; nobody once there is nothing.
    fn govern_suppression(&mut self, key: &str, approval: &Approval) -> Result<(), EditError> {
        let here = MemberPath::dotted(SUPPRESSION_GOVERNANCE).member(key);
        let suppressed = MemberPath::dotted(SUPPRESSIONS).member(key);
        if self.text.value(&suppressed).is_none() {
            return self.drop(here);
        }
        for (name, value) in [
            ("actor", &approval.actor),
            ("ref", &approval.approval_ref),
            ("rationale", &approval.rationale),
            ("reviewBy", &approval.review_by),
        ] {
            let value = value.clone().unwrap_or_default();
            self.put(here.clone().member(name), value)?;
        }
        Ok(())
    }

    /// Adds `item` to a list, or takes it out.
    fn list(&mut self, path: MemberPath, item: &str, there: bool) -> Result<(), EditError> {
        let position = |text: &Text| {
            let value = text.value(&path)?;
            value
                .as_array()?
                .iter()
                .position(|found| found.as_str() == Some(item))
        };
        if there && position(&self.text).is_none() {
            self.text.push(&path, &item.into())?;
        }
        while let Some(index) = position(&self.text).filter(|_| !there) {
            self.text.remove(&path.clone().item(index))?;
        }
        self.edited.push(path);
        Ok(())
    }

    fn put(&mut self, path: MemberPath, value: impl Into<Value>) -> Result<(), EditError> {
        let value = value.into();
        if self.text.value(&path).as_ref() != Some(&value) {
            self.text.set(&path, &value)?;
            self.edited.push(path);
        }
        Ok(())
    }

    fn drop(&mut self, path: MemberPath) -> Result<(), EditError> {
        if self.text.remove(&path)? {
            self.edited.push(path);
        }
        Ok(())
    }

    /// Judges the result: a lapsed review is fine for what only narrows.
    fn finish(self, name: &str, narrowing: bool, now: Timestamp) -> Result<Changed, ChangeError> {
        let evaluation = evaluate(self.text.bytes(), name, now)?;
        let review_lapsed = evaluation.review_lapsed.clone();
        let registry = if narrowing {
            evaluation.accepted()?
        } else {
            evaluation.valid()?
        };
        let (mut before, mut after) = (Map::new(), Map::new());
        for path in &self.edited {
            let said = self.found.value(path).unwrap_or_default();
            let says = self.text.value(path).unwrap_or_default();
            if said != says {
                before.insert(path.to_string(), said);
                after.insert(path.to_string(), says);
            }
        }
        Ok(Changed {
            text: self.text,
            registry,
            narrowing,
            before,
            after,
            review_lapsed,
        })
    }
}

#[cfg(test)]
mod tests;
