//! The command `ops-manager-alert-dispatch`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::alert_dispatch::AlertDispatch>()
}
