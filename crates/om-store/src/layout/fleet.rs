//! Where the files of a fleet are (chapters 05 to 08).

use std::path::{Path, PathBuf};

/// The fleet's files: `F` = `.superloop/ops-manager/fleet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetLayout {
    scope_dir: PathBuf,
}

/// Declares [`FleetFile`] with its paths, so that no file is forgotten.
macro_rules! fleet_files {
    ($($(#[doc = $doc:literal])+ $name:ident => $path:literal,)+) => {
        /// Every file that the ops manager keeps for a fleet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FleetFile {
            $($(#[doc = $doc])+ $name,)+
        }

        impl FleetFile {
            /// Every file, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The path relative to the fleet's scope directory.
            pub fn relative(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)+
                }
            }
        }
    };
}

fleet_files! {
    /// Which loops there are, and the policy for them; written by people.
    Registry => "registry.v1.json",
    /// Result of the last fan-out.
    State => "state.json",
    /// Latest policy evaluation.
    PolicyState => "policy-state.json",
    /// Latest handoff plan and execution.
    HandoffState => "handoff-state.json",
    /// Dispatches, before and after each.
    HandoffDispatch => "handoff-dispatch.jsonl",
    /// A handoff that has begun to act and is not recorded yet.
    HandoffPending => "handoff-pending.json",
    /// Telemetry: fan-outs.
    ReconcileRows => "telemetry/reconcile.jsonl",
    /// Telemetry: policy evaluations.
    PolicyRows => "telemetry/policy.jsonl",
    /// Telemetry: every candidate of every evaluation.
    PolicyHistory => "telemetry/policy-history.jsonl",
    /// Telemetry: who changed the policy, and why.
    PolicyGovernance => "telemetry/policy-governance.jsonl",
    /// Telemetry: handoff plans and executions.
    HandoffRows => "telemetry/handoff.jsonl",
    /// Incident drills that people ran.
    DrillEvidence => "drills/promotion.v1.json",
    /// Latest promotion decision.
    PromotionState => "promotion-state.json",
    /// Telemetry: promotion decisions.
    PromotionRows => "telemetry/promotion.jsonl",
    /// Result of the promotion gates as run by CI.
    PromotionCiResult => "promotion-ci-result.json",
    /// Latest change of the rollout.
    PromotionApplyState => "promotion-apply-state.json",
    /// Telemetry: changes of the rollout.
    PromotionApplyRows => "telemetry/promotion-apply.jsonl",
    /// Result of the last orchestrated promotion.
    PromotionOrchestrateResult => "promotion-orchestrate-result.json",
    /// Times in which nothing is promoted; written by people.
    PromotionFreezeWindows => "promotion-freeze-windows.json",
    /// Latest decision of the promotion controller.
    PromotionControllerState => "promotion-controller-state.json",
    /// A controller run that has begun to apply (decision D19).
    PromotionControllerPending => "promotion-controller-pending.json",
    /// What the controller's preview printed.
    PromotionControllerPreviewResult => "promotion-controller-preview-result.json",
    /// What the controller's gates printed.
    PromotionControllerCiResult => "promotion-controller-ci-result.json",
    /// What the controller's apply printed.
    PromotionControllerApplyResult => "promotion-controller-apply-result.json",
    /// What the controller's verification printed.
    PromotionControllerVerifyCiResult => "promotion-controller-verify-ci-result.json",
    /// What the controller's rollback printed.
    PromotionControllerRollbackResult => "promotion-controller-rollback-result.json",
    /// Telemetry: decisions of the controller.
    PromotionControllerRows => "telemetry/promotion-controller.jsonl",
    /// Envelopes that wait for a person.
    HorizonQueue => "horizon-bridge-queue.json",
    /// Position and seen envelopes of the Horizon bridge.
    HorizonState => "horizon-bridge-state.json",
    /// Telemetry: runs of the Horizon bridge, and what people decided.
    HorizonRows => "telemetry/horizon-bridge.jsonl",
}

impl FleetLayout {
    /// The fleet's files below `scope_dir`.
    pub(super) fn new(scope_dir: PathBuf) -> Self {
        Self { scope_dir }
    }

    /// `F`: the scope of the fleet's commits.
    pub fn scope_dir(&self) -> &Path {
        &self.scope_dir
    }

    /// The path of one file.
    pub fn path(&self, file: FleetFile) -> PathBuf {
        self.scope_dir.join(file.relative())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_a_fleet_has_a_place_of_its_own() {
        let files = FleetLayout::new(PathBuf::from("/r/.superloop/ops-manager/fleet"));
        let paths: BTreeSet<_> = FleetFile::ALL.iter().map(|f| files.path(*f)).collect();
        assert_eq!(paths.len(), FleetFile::ALL.len());
        assert!(paths.iter().all(|p| p.starts_with(files.scope_dir())));
    }
}
