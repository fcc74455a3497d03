//! How every command is started, logs and ends.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Command};
use om_model::{Timestamp, json};
use serde::Serialize;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{self, Parsed};
use crate::error::CliError;

/// Exit code of a process whose reader went away (128 + SIGPIPE).
const BROKEN_PIPE: u8 = 141;

/// One command: its arguments, its help, and what it does.
pub trait CommandLine: Args {
    /// The binary's name, e.g. `ops-manager-health`.
    const NAME: &'static str;
    /// One line for lists of commands.
    const SUMMARY: &'static str;
    /// One or two sentences for `--help`.
    const ABOUT: &'static str;
    /// Examples, files and exit codes for the end of `--help`.
    const DETAILS: &'static str;

    /// The tracing filter of `--log`.
    fn log_filter(&self) -> Option<&str>;

    /// Does the work; results go to `out`. Returns the exit code.
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError>;
}

/// Tracing, the same for every command.
#[allow(clippy::doc_markdown, reason = "printed as help")]
#[derive(Args, Clone, Debug, Default)]
pub struct Logging {
    /// Trace to stderr, e.g. debug or om_store=trace; RUST_LOG does the same
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The clap command of `C` under the name that the user types.
pub fn describe<C: CommandLine>(name: &'static str) -> Command {
    C::augment_args(Command::new(name))
        .version(env!("CARGO_PKG_VERSION"))
        .about(C::SUMMARY)
        .long_about(None)
        .before_help(C::ABOUT)
        .after_help(C::DETAILS.trim_end())
}

/// The whole `main` of a per-command binary.
pub fn main<C: CommandLine>() -> ExitCode {
    main_with::<C>(std::env::args_os())
}

/// [`main`] with an explicit argument vector, `argv[0]` included.
pub fn main_with<C: CommandLine>(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    match args::parse::<C>(describe::<C>(C::NAME), argv) {
        Ok(Parsed::Run(command)) => finish(execute(&command)),
        Ok(Parsed::Print(text)) => finish(print(&text)),
        Err(error) => finish(Err(error)),
    }
}

/// Runs a parsed command with logging set up and stdout buffered.
pub fn execute<C: CommandLine>(command: &C) -> Result<u8, CliError> {
    start_logging(command.log_filter())?;
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let code = command.run(&mut out)?;
    out.flush().map_err(|error| output_error(&error))?;
    Ok(code)
}

/// Prints a text as it is.
pub fn print(text: &str) -> Result<u8, CliError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map(|()| 0).map_err(|error| output_error(&error))
}

/// Turns a result into the process's end: one `error:` line if it failed.
pub fn finish(result: Result<u8, CliError>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if !error.message.is_empty() {
                // Nobody is left to tell if stderr is gone too.
                let _ = writeln!(io::stderr(), "error: {}", one_line(&error.message));
            }
            if let Some(usage) = &error.usage {
                let _ = writeln!(io::stderr(), "{}", usage.trim_end());
            }
            ExitCode::from(error.exit_code)
        }
    }
}

/// An `error:` line is one line, whatever a cause's text contains.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A failed write to stdout. A reader that went away is not worth a message.
pub fn output_error(error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return CliError {
            message: String::new(),
            usage: None,
            exit_code: BROKEN_PIPE,
        };
    }
    CliError::new(format!("cannot write to standard output: {error}"))
}

/// Prints one document: compact, or indented with `pretty`.
pub fn print_document<T: Serialize + ?Sized>(
    out: &mut dyn Write,
    document: &T,
    pretty: bool,
) -> Result<(), CliError> {
    let text = if pretty {
        json::pretty(document)
    } else {
        json::compact(document)
    };
    writeln!(out, "{text}").map_err(|error| output_error(&error))
}

/// Silent unless asked: `--log`, else `RUST_LOG`.
fn start_logging(filter: Option<&str>) -> Result<(), CliError> {
    let filter = filter
        .map(str::to_owned)
        .or_else(|| args::environment("RUST_LOG"));
    let Some(filter) = filter else { return Ok(()) };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| CliError::new(format!("--log {filter:?} is not a filter: {error}")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second initialisation in one process keeps the first one's settings.
    let _ = subscriber.try_init();
    Ok(())
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_epoch_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Drives a future to its end on this thread, which keeps its runtime for the
/// next one.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|kept| {
        if kept.get().is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // Only this thread could have set it, and it did not.
            let _ = kept.set(runtime);
        }
        let runtime = kept.get().ok_or_else(|| CliError::new("no runtime"))?;
        Ok(runtime.block_on(future))
    })
}
