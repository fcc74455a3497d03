//! The command `ops-manager-sprite-service`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::sprite_service::SpriteService>()
}
