//! The command `ops-manager-loop-run-snapshot`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::loop_run_snapshot::LoopRunSnapshot>()
}
