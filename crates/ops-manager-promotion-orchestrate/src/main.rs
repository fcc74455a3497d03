//! The command `ops-manager-promotion-orchestrate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::promotion_orchestrate::PromotionOrchestrate>()
}
