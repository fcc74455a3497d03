//! Who allowed autonomy, and until when (chapter 05 §3.4 *Governance*).

use om_model::Timestamp;
use om_model::fleet::registry::PolicyMode;
use om_model::fleet::status::GovernanceStatus;
use om_model::json::present;
use serde_json::{Map, Value};

use super::FleetStatusError;
use super::policy::Policy;

/// Seconds before the deadline from which on a review is due.
const DUE_SOON_SECONDS: u64 = 7 * 24 * 60 * 60;

/// What makes a change authorised.
const AUTHORITY: [&str; 5] = ["actor", "approvalRef", "rationale", "changedAt", "reviewBy"];

const AUTHORITY_MISSING: &str = "autonomous_governance_authority_missing";
const DEADLINE_MISSING: &str = "autonomous_governance_review_deadline_missing";
const DUE_SOON: &str = "autonomous_governance_review_due_soon";
const EXPIRED: &str = "autonomous_governance_review_expired";

/// Governance as the policy state has it, judged now.
pub(super) struct Governance<'a> {
    members: Option<&'a Map<String, Value>>,
    guarded: bool,
    authority: bool,
    review: Review,
}

/// Where the review stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Review {
    /// There is no deadline.
    NoDeadline,
    /// The deadline has passed.
    Expired,
    /// It will soon.
    DueSoon,
    /// It is far away, or cannot be understood.
    Current,
}

impl<'a> Governance<'a> {
    pub(super) fn of(policy: &Policy<'a>, now: Timestamp) -> Result<Self, FleetStatusError> {
        let members = policy.state().object("autonomous.governance")?;
        Ok(Self {
            members,
            guarded: policy.mode()? == PolicyMode::GuardedAuto.as_str(),
            authority: authority(members),
            review: review(get(members, "reviewBy"), now),
        })
    }

    /// Distinct, sorted; only in guarded mode.
    pub(super) fn reason_codes(&self) -> Vec<String> {
        let codes = [
            (AUTHORITY_MISSING, !self.authority),
            (DEADLINE_MISSING, self.review == Review::NoDeadline),
            (DUE_SOON, self.review == Review::DueSoon),
            (EXPIRED, self.review == Review::Expired),
        ];
        let applies = codes.into_iter().filter(|(_, is)| self.guarded && *is);
        applies.map(|(code, _)| code.to_owned()).collect()
    }

    /// Whether it keeps autonomy from acting, as far as this report goes; a
    /// review that is merely due counts.
    pub(super) fn blocks(&self) -> bool {
        !self.reason_codes().is_empty()
    }

    pub(super) fn status(&self) -> GovernanceStatus {
        let copy = |member| get(self.members, member).cloned();
        GovernanceStatus {
            changed_by: copy("actor"),
            changed_at: copy("changedAt"),
            approval_ref: copy("approvalRef"),
            why: copy("rationale"),
            until: copy("reviewBy"),
            review_window_days: copy("reviewWindowDays"),
            authority_context_present: self.authority,
            posture: self.posture().to_owned(),
            reason_codes: self.reason_codes(),
            blocks_autonomous: self.blocks(),
        }
    }

    fn posture(&self) -> &'static str {
        match (self.guarded, self.authority, self.review) {
            (false, _, _) => "not_required",
            (true, false, _) => "authority_missing",
            (true, true, Review::NoDeadline) => "review_deadline_missing",
            (true, true, Review::Expired) => "review_expired",
            (true, true, Review::DueSoon) => "review_due_soon",
            (true, true, Review::Current) => "active",
        }
    }
}

/// As stated, else whether everything that it takes is there.
fn authority(members: Option<&Map<String, Value>>) -> bool {
    match members.and_then(|members| members.get("authorityContextPresent")) {
        Some(stated) => *stated == Value::Bool(true),
        None => AUTHORITY
            .iter()
            .all(|member| get(members, member).is_some()),
    }
}

fn review(review_by: Option<&Value>, now: Timestamp) -> Review {
    let Some(review_by) = review_by else {
        return Review::NoDeadline;
    };
    match review_by.as_str().and_then(Timestamp::parse) {
        Some(deadline) if deadline <= now => Review::Expired,
        Some(deadline) if deadline.seconds_since(now) <= DUE_SOON_SECONDS => Review::DueSoon,
        Some(_) | None => Review::Current,
    }
}

fn get<'a>(members: Option<&'a Map<String, Value>>, member: &str) -> Option<&'a Value> {
    present(members?.get(member))
}
