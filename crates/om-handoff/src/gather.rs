//! Reading what a plan is made from (chapter 06 §2.2, §2.3).

use std::path::Path;

use om_model::Timestamp;
use om_model::fleet::handoff::{EvaluationIdentity, ExecutionMode, HandoffState};
use om_model::fleet::registry::PolicyMode;
use om_model::json::ParseError;
use om_registry::{Loaded, StageFailure};
use om_store::{digest, read_bytes};

use crate::error::HandoffError;
use crate::journal::Journal;
use crate::plan::{PlanContext, PlanInputs, plan};
use crate::policy_view::{PolicyView, PolicyViewError};
use crate::previous::Previous;
use crate::resolve;
use crate::run::{Action, Handoff, Progress};

/// Everything that a plan is made from.
pub(crate) struct Gathered {
    pub(crate) registry: Loaded,
    pub(crate) policy: PolicyView,
    pub(crate) evaluation: EvaluationIdentity,
    pub(crate) previous: Previous,
    /// For messages.
    policy_state_file: String,
}

impl Gathered {
    /// Reads and checks, in the order of §2.2.
    pub(crate) fn read(
        handoff: &Handoff,
        now: Timestamp,
        told: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, HandoffError> {
        let registry = handoff.registry.load(now).map_err(HandoffError::Registry)?;
        if !registry.diagnostics.is_empty() {
            told(Progress::RegistrySaid(&registry.diagnostics));
        }
        if registry.document.is_null() {
            return Err(HandoffError::Registry(silent_hook()));
        }
        let file = &handoff.files.policy_state;
        let bytes = read_bytes(Path::new(file))?;
        let bytes = bytes.ok_or_else(|| HandoffError::PolicyStateNotFound(file.clone()))?;
        let refused = |cause| HandoffError::PolicyState {
            file: file.clone(),
            cause,
        };
        // An empty policy state has no mode, and that is what it is told.
        let read = match PolicyView::parse(&bytes) {
            Ok(read) => Some(read),
            Err(PolicyViewError::Malformed(ParseError::Blank)) => None,
            Err(error) => return Err(refused(error.into())),
        };
        let previous = previous(&handoff.files.handoff_state)?;
        let (policy, unsupported) = read.unwrap_or_else(|| {
            let unsupported = Some(String::new());
            (PolicyView::default(), unsupported)
        });
        if let Some(mode) = unsupported {
            return Err(HandoffError::UnsupportedMode(mode));
        }
        let gathered = Self {
            evaluation: identity(&policy, &bytes),
            registry,
            policy,
            previous,
            policy_state_file: file.clone(),
        };
        gathered.check_autonomy(&handoff.action)?;
        Ok(gathered)
    }

    fn check_autonomy(&self, action: &Action) -> Result<(), HandoffError> {
        match action {
            Action::Execute(order) if order.mode == ExecutionMode::Autonomous => {}
            _ => return Ok(()),
        }
        if self.policy.mode != PolicyMode::GuardedAuto {
            return Err(HandoffError::NotGuardedAuto);
        }
        match &self.registry.review_lapsed {
            Some(review_by) => Err(HandoffError::ReviewExpired(review_by.clone())),
            None => Ok(()),
        }
    }

    /// Reads the previous state again, after it was changed.
    pub(crate) fn read_previous(&mut self, handoff: &Handoff) -> Result<(), HandoffError> {
        self.previous = previous(&handoff.files.handoff_state)?;
        Ok(())
    }

    /// Adds what the dispatch journal knows: the guards of dispatches that
    /// belong to no known run, and what is done in this evaluation.
    pub(crate) fn recall(&mut self, journal: &Journal<'_>) {
        for guard in journal.orphans().iter().filter_map(resolve::guard) {
            self.previous.guard.insert(guard.intent_id.clone(), guard);
        }
        self.previous.done = journal.executed(&self.evaluation);
    }

    pub(crate) fn plan(&self, context: &PlanContext) -> Result<HandoffState, HandoffError> {
        let inputs = PlanInputs {
            policy: &self.policy,
            evaluation: &self.evaluation,
            registry: &self.registry.registry,
            previous: &self.previous,
        };
        plan(&inputs, context).map_err(|error| HandoffError::PolicyState {
            file: self.policy_state_file.clone(),
            cause: error.into(),
        })
    }
}

fn previous(file: &str) -> Result<Previous, HandoffError> {
    let bytes = read_bytes(Path::new(file))?;
    let parsed = bytes.map(|bytes| Previous::parse(&bytes)).transpose();
    let parsed = parsed.map_err(|error| HandoffError::HandoffState {
        file: file.to_owned(),
        cause: error.into(),
    });
    Ok(parsed?.unwrap_or_default())
}

/// Decision D17.
fn identity(policy: &PolicyView, bytes: &[u8]) -> EvaluationIdentity {
    match (&policy.trace_id, &policy.updated_at) {
        (Some(trace_id), Some(updated_at)) => EvaluationIdentity {
            trace_id: Some(trace_id.clone()),
            updated_at: Some(updated_at.clone()),
            sha256: None,
        },
        _ => EvaluationIdentity {
            sha256: Some(digest(bytes).to_string()),
            ..EvaluationIdentity::default()
        },
    }
}

fn silent_hook() -> StageFailure {
    StageFailure {
        exit_code: 1,
        text: format!(
            "error: invalid fleet registry JSON: {} printed nothing",
            om_registry::HOOK_VARIABLE
        ),
    }
}
