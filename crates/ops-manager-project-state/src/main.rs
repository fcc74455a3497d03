//! The command `ops-manager-project-state`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::project_state::ProjectState>()
}
