//! The command `ops-manager-promotion-controller`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::promotion_controller::PromotionController>()
}
