//! `ops-manager fleet`: a fleet, for people.
//!
//! One module per subcommand. A leaf is an argument struct with a `run` and
//! the [`Logging`](crate::command::Logging) that it flattens.

pub mod handoff;
pub mod init;
pub mod policy_set;
pub mod prune;
pub mod run;
pub mod status;

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use om_control::quote::quote;

use crate::args::{environment, given};
use crate::command::CommandLine;
use crate::error::CliError;

/// Arguments of `ops-manager fleet`.
#[derive(Args, Debug)]
pub struct Fleet {
    #[command(subcommand)]
    action: Action,
}

/// What can be done with a fleet.
#[derive(Subcommand, Debug)]
enum Action {
    /// Find the loops of a repository and write a registry to begin with
    #[command(before_help = init::ABOUT, after_help = init::DETAILS)]
    Init(init::Init),
    /// Observe, judge, plan, act on what is eligible, report: once or for ever
    #[command(before_help = run::ABOUT, after_help = run::DETAILS)]
    Run(run::Run),
    /// Plan what could be done, and execute what a person decided on
    #[command(before_help = handoff::ABOUT, after_help = handoff::DETAILS)]
    Handoff(handoff::Plan),
    /// The whole fleet on one page
    #[command(before_help = status::ABOUT, after_help = status::DETAILS)]
    Status(status::Status),
    /// Change what may happen by itself
    Policy(Policy),
    /// Move old rows of the journals to archives
    #[command(before_help = prune::ABOUT, after_help = prune::DETAILS)]
    Prune(prune::Prune),
}

/// Arguments of `ops-manager fleet policy`.
#[derive(Args, Debug)]
struct Policy {
    #[command(subcommand)]
    action: PolicyAction,
}

/// What can be done with the policy.
#[derive(Subcommand, Debug)]
enum PolicyAction {
    /// Turn one switch of the registry
    #[command(before_help = policy_set::ABOUT, after_help = policy_set::DETAILS)]
    Set(policy_set::PolicySet),
}

impl CommandLine for Fleet {
    const NAME: &'static str = "ops-manager-fleet";
    const SUMMARY: &'static str = "Run a fleet: set up, observe, decide, approve, tidy up";
    const ABOUT: &'static str = "A fleet of loops, for people: set it up, run the whole cycle, \
        see on one page what is wrong, approve what waits, and turn the switches that decide \
        what may happen by itself.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager fleet init --repo .
  ops-manager fleet run --interval 30s
  ops-manager fleet status --watch
  ops-manager fleet handoff approve nightly:health_critical:cancel
  ops-manager fleet policy set kill-switch on --repo .

Exit codes: 0 done, or nothing to do; 1 not done; others: see each --help.";

    fn log_filter(&self) -> Option<&str> {
        match &self.action {
            Action::Init(init) => init.logging.log.as_deref(),
            Action::Run(run) => run.logging.log.as_deref(),
            Action::Handoff(plan) => plan.log_filter(),
            Action::Prune(prune) => prune.logging.log.as_deref(),
            Action::Status(status) => status.log_filter(),
            Action::Policy(Policy {
                action: PolicyAction::Set(set),
            }) => set.log_filter(),
        }
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        match &self.action {
            Action::Init(init) => init.run(out),
            Action::Run(run) => run.run(out),
            Action::Handoff(plan) => plan.run(out),
            Action::Prune(prune) => prune.run(out),
            Action::Status(status) => status.run(out),
            Action::Policy(Policy {
                action: PolicyAction::Set(set),
            }) => set.run(out),
        }
    }
}

/// Who acts, if nobody said so.
fn somebody() -> String {
    environment("USER").unwrap_or_else(|| "unknown".to_owned())
}

/// The arguments of a command that is to see the same registry, as a shell
/// reads them.
fn registry_arguments(repo: &Path, registry_file: Option<&String>) -> String {
    let repo = format!("--repo {}", quote(repo.as_os_str()));
    match given(registry_file) {
        Some(file) => format!("{repo} --registry-file {}", quote(file.as_ref())),
        None => repo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_sees_the_same_registry() {
        let repo = Path::new("/srv/my app");
        assert_eq!(registry_arguments(repo, None), r"--repo /srv/my\ app");
        let file = "our fleet.json".to_owned();
        assert_eq!(
            registry_arguments(repo, Some(&file)),
            r"--repo /srv/my\ app --registry-file our\ fleet.json"
        );
    }
}
