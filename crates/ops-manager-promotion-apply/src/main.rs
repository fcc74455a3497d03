//! The command `ops-manager-promotion-apply`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::promotion_apply::PromotionApply>()
}
