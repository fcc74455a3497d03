//! `ops-manager fleet status`: the fleet on one page.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use om_model::Artifact;
use serde_json::Value;

use crate::args::{given, interval};
use crate::command::{CommandLine, output_error, print_document};
use crate::commands::fleet_status::{FleetStatus, Seen};
use crate::console::fleet::page::{self, PageInputs};
use crate::console::style::{Look, Tone, printable, stdout_is_terminal};
use crate::error::CliError;
use crate::stop::StopRequest;

/// What it is for.
pub(super) const ABOUT: &str = "The whole fleet on one page: what is wrong, worst first, why, and \
the command to type next; what autonomy may do; what waits for a person.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
On a terminal: a page for people. With --json or --pretty, or into a pipe or
file: the report of ops-manager-fleet-status as JSON. With --watch the page
fills the screen and is drawn again every SECONDS; INT ends it. Into a pipe
--watch prints one report per line.

Examples:
  ops-manager fleet status
  ops-manager fleet status --watch 5
  ops-manager fleet status --json | jq .exceptions

Exit codes: 0 reported; 1 the fleet was never reconciled, or a document is
broken (error: line on stderr); a registry hook's own code.";

/// Default of `--watch`.
const REFRESH: &str = "5";
/// How often it is looked whether somebody has had enough.
const LOOK: Duration = Duration::from_millis(50);

/// Arguments of `ops-manager fleet status`.
#[derive(Args, Debug)]
pub struct Status {
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    /// List everything, however long the lists are
    #[arg(long)]
    all: bool,
    /// Show it again every SECONDS [default: 5]
    #[arg(long)]
    watch: bool,
    /// See --watch
    #[arg(value_name = "SECONDS", requires = "watch")]
    seconds: Option<String>,
    #[command(flatten)]
    report: FleetStatus,
}

impl Status {
    pub(super) fn log_filter(&self) -> Option<&str> {
        self.report.log_filter()
    }

    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let mut status = self.report.clone();
        let repo = given(self.report.repo.as_ref()).unwrap_or(".");
        status.repo = Some(repo.to_owned());
        let as_json = self.json || self.report.pretty || !stdout_is_terminal();
        if !self.watch {
            return if as_json {
                status.run(out)
            } else {
                show(out, &self.page(&status)?)
            };
        }
        let pause = interval("--watch", self.seconds.as_deref().unwrap_or(REFRESH))?;
        let stop = StopRequest::listen()?;
        if as_json {
            return self.refresh(&status, out, pause, &stop).map(|()| 0);
        }
        show(out, ENTER)?;
        let ended = self.refresh(&status, out, pause, &stop);
        show(out, LEAVE)?;
        ended.map(|()| 0)
    }

    /// Shows it again and again until somebody has had enough.
    fn refresh(
        &self,
        status: &FleetStatus,
        out: &mut dyn Write,
        pause: Duration,
        stop: &StopRequest,
    ) -> Result<(), CliError> {
        let as_json = self.json || self.report.pretty || !stdout_is_terminal();
        while !stop.is_made() {
            if as_json {
                print_document(out, &status.report()?, self.report.pretty)?;
                out.flush().map_err(|error| output_error(&error))?;
            } else {
                let page = self.page(status).unwrap_or_else(|error| failure(&error));
                let size = terminal_size::terminal_size();
                let rows = size.map_or(24, |(_, rows)| usize::from(rows.0));
                show(out, &format!("{CLEAR}{}", fitting(&page, rows)))?;
            }
            let until = Instant::now() + pause;
            while Instant::now() < until && !stop.is_made() {
                thread::sleep(LOOK.min(pause));
            }
        }
        Ok(())
    }

    fn page(&self, status: &FleetStatus) -> Result<String, CliError> {
        let Seen {
            report,
            handoff,
            registry,
        } = status.seen()?;
        let handoff = match handoff {
            Artifact::Document(document) => document,
            _ => Value::Null,
        };
        let inputs = PageInputs {
            report,
            handoff,
            registry,
        };
        Ok(page::render(&inputs, self.all, Look::stdout()))
    }
}

/// What keeps the page from being drawn, in its place: the next look may find
/// it mended.
fn failure(error: &CliError) -> String {
    let text = error.usage.as_deref().filter(|_| error.message.is_empty());
    let lines = text.unwrap_or(&error.message).lines().map(printable);
    let text = lines.collect::<Vec<_>>().join("\n");
    Look::stdout().paint(Tone::Bad, &text) + "\n"
}

fn show(out: &mut dyn Write, text: &str) -> Result<u8, CliError> {
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map(|()| 0).map_err(|error| output_error(&error))
}

/// The alternate screen of a terminal without its cursor; leaving it brings
/// back what was there.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const CLEAR: &str = "\x1b[H\x1b[2J";

/// As much of `page` as fits on a terminal of `rows` rows.
fn fitting(page: &str, rows: usize) -> String {
    let lines: Vec<&str> = page.lines().collect();
    if lines.len() < rows {
        return lines.join("\n");
    }
    let kept = rows.saturating_sub(2);
    let hidden = lines.len() - kept;
    format!("{}\n({hidden} more lines)", lines[..kept].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_to_the_terminal() {
        let page = "1\n2\n3\n4\n";
        assert_eq!(fitting(page, 5), "1\n2\n3\n4");
        assert_eq!(fitting(page, 4), "1\n2\n(2 more lines)");
        assert_eq!(fitting(page, 1), "\n(4 more lines)");
    }
}
