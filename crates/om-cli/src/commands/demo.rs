//! `ops-manager demo`: a whole fleet and one cycle over it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::args::given;
use crate::command::{CommandLine, Logging, output_error};
use crate::console::demo;
use crate::console::style::Look;
use crate::error::CliError;

/// Arguments of `ops-manager demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Folder to build the scratch fleet in; must not exist yet
    /// [default: a new folder in the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    into: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Demo {
    const NAME: &'static str = "ops-manager demo";
    const SUMMARY: &'static str = "Show the ops manager at work on a fleet of a dozen loops";
    const ABOUT: &'static str = "Show the ops manager at work: build a fleet of a dozen loops, \
        half of them behind sprite services, take it through one cycle, turn the kill switch, \
        and show what an operator sees and hears.";
    const DETAILS: &'static str = "\
Nothing outside the scratch folder is touched, no hook or configured path is
used, nothing leaves this machine: services and alerts are on loopback, the
runtime is a stand-in. The folder is kept, so that you can look around; the
services end with the demo.

Examples:
  ops-manager demo
  ops-manager demo --into /tmp/ops-manager-demo";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let root = match given(self.into.as_ref()) {
            Some(path) => create(PathBuf::from(path))?,
            None => tempfile::Builder::new()
                .prefix("ops-manager-demo-")
                .tempdir()?
                .keep(),
        };
        let text = demo::run(&root, Look::stdout())?;
        out.write_all(text.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }
}

/// A new folder: a demo never mixes with something that is already there.
fn create(path: PathBuf) -> Result<PathBuf, CliError> {
    std::fs::create_dir(&path).map_err(|error| CliError::at(&path, error))?;
    Ok(std::path::absolute(path)?)
}
