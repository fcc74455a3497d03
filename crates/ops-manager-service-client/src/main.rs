//! The command `ops-manager-service-client`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::service_client::ServiceClientCommand>()
}
