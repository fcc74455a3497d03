//! The command `ops-manager-horizon-bridge`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::horizon_bridge::HorizonBridge>()
}
