//! One loop's stage: built in, or the hook that replaces it (chapter 05
//! §2.6).

mod built_in;
mod hook;

use om_http::{Secret, Secrets, credentials};
use om_model::fleet::registry::FleetLoop;
use om_model::{LoopId, TraceId, json};
use om_reconcile::runner::PassPlan;
use om_store::RepoLayout;
use om_transport::SpriteServiceTransport;

use crate::outcome::StageEnd;

pub(crate) use built_in::{Progress, prepare, too_late};
pub use hook::{HOOK_VARIABLE, HookStage};

/// One loop that is to be passed.
#[derive(Clone, Debug)]
pub struct LoopJob {
    /// The loop, as the registry has it.
    pub entry: FleetLoop,
    /// The trace of its pass.
    pub trace_id: TraceId,
    /// The token of its service, from the variable that the registry names.
    pub token: Option<Secret>,
}

impl LoopJob {
    /// What must not be repeated from the output of a stage.
    pub(crate) fn secrets(&self) -> Secrets {
        let base_url = json::non_empty_text(self.entry.service.base_url.as_ref());
        let in_url = base_url.as_deref().map(credentials).unwrap_or_default();
        Secrets::new(self.token.iter().cloned().chain(in_url))
    }
}

/// The stage, with everything that is the same for all loops.
pub enum Stage<B> {
    /// A pass in this process.
    BuiltIn(B),
    /// `OPS_MANAGER_RECONCILE_SCRIPT`.
    Hook(HookStage),
}

/// Makes passes as `ops-manager-reconcile` would with the same flags and
/// environment.
pub trait BuiltIn: Send + Sync + 'static {
    /// The pass for `job`; else how that command would have ended.
    fn pass(&self, job: &LoopJob) -> Result<BuiltInPass, StageEnd>;
}

/// A pass, ready to be run.
#[derive(Debug)]
pub struct BuiltInPass {
    /// Everything that it needs to know.
    pub plan: PassPlan,
    /// How the loop is reached.
    pub way: Way,
}

/// How a loop is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// Its runtime's files, on this machine.
    Local(RepoLayout, LoopId),
    /// The service beside its runtime.
    SpriteService(Box<SpriteServiceTransport>),
}
