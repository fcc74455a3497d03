//! The command `ops-manager-poll-events`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::poll_events::PollEvents>()
}
