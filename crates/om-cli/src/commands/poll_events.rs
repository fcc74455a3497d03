//! `ops-manager-poll-events` (chapter 01 §5).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::{TraceId, json};
use om_store::{DirLock, RUN_LOCK_WAIT, RepoLayout, read_artifact, replace_document};
use om_transport::{EventsRequest, LocalTransport, ObserveError, PollStart};

use crate::args::{Target, given, non_negative};
use crate::command::{CommandLine, Logging, now, output_error, print_document};
use crate::console::progress::LogProgress;
use crate::error::CliError;

/// Mode of a cursor file, whatever the umask.
const CURSOR_MODE: u32 = 0o600;

/// Arguments of `ops-manager-poll-events`.
#[derive(Args, Debug)]
pub struct PollEvents {
    #[command(flatten)]
    target: Target,
    /// Cursor [default: <repo>/.superloop/loops/<loop>/ops-manager.cursor.json]
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<String>,
    /// Start at the first event, whatever the cursor says
    #[arg(long)]
    from_start: bool,
    /// Most events to print, 0 for all
    #[arg(long, value_name = "N")]
    max_events: Option<String>,
    /// Trace id to carry in the envelopes [default: none]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for PollEvents {
    const NAME: &'static str = "ops-manager-poll-events";
    const SUMMARY: &'static str = "Print the events after a cursor";
    const ABOUT: &'static str = "Print every event after a stored cursor, one loop_run_event \
        envelope per line, then move the cursor.";
    const DETAILS: &'static str = "\
The cursor moves after the output is written: an interrupted poll repeats
events and never loses one. A last line without its newline is not there yet.

Examples:
  ops-manager-poll-events --repo . --loop nightly
  ops-manager-poll-events --repo . --loop nightly --from-start --max-events 100

Exit codes: 0 done, with or without events; 1 a broken line, cursor or file
(the events before a broken line are printed, the cursor stays).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let max_events = non_negative("--max-events", self.max_events.as_ref(), 0)?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let runtime = layout.runtime(&loop_id);
        let cursor_file =
            given(self.cursor_file.as_ref()).map_or_else(|| runtime.poll_cursor(), PathBuf::from);
        let folder = folder_of(&cursor_file);
        if runtime.dir().is_dir() {
            std::fs::create_dir_all(folder).map_err(|error| CliError::at(folder, error))?;
        }
        // Two polls of one cursor take turns, else both print the same events.
        let _turn = if folder.is_dir() {
            Some(DirLock::acquire(folder, RUN_LOCK_WAIT)?)
        } else {
            None
        };
        let request = EventsRequest {
            now: now(),
            trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
            start: self.start(&cursor_file)?,
            max_events,
        };
        let mut progress = LogProgress::default();
        let mut tell = |done, total| progress.update(done, total);
        let mut transport = LocalTransport::new(&layout, &loop_id).with_progress(&mut tell);
        let polled = transport.poll(&request, &mut |envelope| {
            print_document(out, envelope, false)
                .map_err(|error| std::io::Error::other(error.message))
        });
        // What was printed is printed, also when a later line is broken.
        out.flush().map_err(|error| output_error(&error))?;
        let cursor = polled.map_err(|failed| match failed.error {
            ObserveError::Output(cause) => output_error(&cause),
            other => CliError::from(other),
        })?;
        let text = json::pretty(&cursor) + "\n";
        replace_document(&cursor_file, text.as_bytes(), Some(CURSOR_MODE))?;
        Ok(0)
    }
}

impl PollEvents {
    fn start(&self, cursor_file: &Path) -> Result<PollStart, CliError> {
        if self.from_start {
            return Ok(PollStart::Beginning);
        }
        let artifact = read_artifact(cursor_file)?;
        Ok(PollStart::Cursor {
            artifact,
            path: cursor_file.to_owned(),
        })
    }
}

/// The folder of a file; the working directory for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
