//! The command line as the contract reads it.
//!
//! clap does the parsing; this module sets the contract's rules (a value may
//! start with `-`, the last occurrence wins, an empty value is no value) and
//! its messages (README "common rules").

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind as ParseErrorKind};
use clap::{ArgAction, ArgMatches, Args, Command};
use om_model::json;
use om_model::{LoopId, TraceId};

use crate::error::CliError;

/// What parsing a command line ends with, besides the arguments.
#[derive(Debug)]
pub enum Parsed<A> {
    /// Run with these.
    Run(A),
    /// Print this on stdout and exit 0.
    Print(String),
}

/// Usage first, as the scripts print it; then what the command is for.
const HELP_TEMPLATE: &str = "Usage:\n  {usage}\n\n{before-help}{all-args}{after-help}\n";

/// Sets the contract's rules on a command and everything below it.
pub fn contract_rules(command: Command) -> Command {
    let command = command
        .args_override_self(true)
        .help_template(HELP_TEMPLATE)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .mut_args(|arg| match arg.get_action() {
            // Behind a word without a flag, a flag is a flag.
            ArgAction::Set | ArgAction::Append if arg.is_positional() => {
                arg.value_parser(ValueParser::string())
            }
            ArgAction::Set | ArgAction::Append => arg
                .allow_hyphen_values(true)
                .value_parser(ValueParser::string()),
            _ => arg,
        });
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |all, name| {
        all.mut_subcommand(name, contract_rules)
    })
}

/// Parses the arguments of one command, which has them already; `argv[0]` is
/// included.
pub fn parse<A: Args>(
    command: Command,
    argv: impl IntoIterator<Item = OsString>,
) -> Result<Parsed<A>, CliError> {
    let mut command = contract_rules(command);
    let argv: Vec<OsString> = argv.into_iter().collect();
    let matches = match command.try_get_matches_from_mut(&argv) {
        Ok(matches) => matches,
        Err(error) => return refused(&error, &mut command),
    };
    if has_stray_terminator(&argv, &matches) {
        return Err(terminator_error(&command.render_usage().to_string()));
    }
    match A::from_arg_matches(&matches) {
        Ok(arguments) => Ok(Parsed::Run(arguments)),
        Err(error) => refused(&error, &mut command),
    }
}

/// `--` that is not the value of a flag: no command has arguments without a
/// flag that it could introduce.
pub fn has_stray_terminator(argv: &[OsString], matches: &ArgMatches) -> bool {
    let given = argv.iter().filter(|token| *token == "--").count();
    let values = values_of(matches).filter(|value| *value == "--").count();
    // A value that was overridden is not counted; it cannot be told apart.
    given > 0 && values == 0
}

/// The message for it.
pub fn terminator_error(usage: &str) -> CliError {
    let message = "unknown argument: --".to_owned();
    CliError {
        message,
        usage: Some(general_usage(usage)),
        exit_code: 1,
    }
}

fn values_of(matches: &ArgMatches) -> impl Iterator<Item = &OsStr> {
    let ids = matches
        .ids()
        .filter_map(|id| matches.try_get_raw(id.as_str()).ok().flatten());
    ids.flatten()
}

/// Help and version are answers; everything else is the contract's message.
pub fn refused<A>(error: &clap::Error, command: &mut Command) -> Result<Parsed<A>, CliError> {
    match error.kind() {
        ParseErrorKind::DisplayHelp
        | ParseErrorKind::DisplayVersion
        | ParseErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Ok(Parsed::Print(error.render().to_string()))
        }
        _ => {
            let usage = match error.get(ContextKind::Usage) {
                Some(ContextValue::StyledStr(usage)) => general_usage(&usage.to_string()),
                _ => command.render_usage().to_string(),
            };
            Err(CliError {
                message: message_of(error),
                usage: Some(usage),
                exit_code: 1,
            })
        }
    }
}

/// The usage of a command without the flags that happened to be given.
fn general_usage(usage: &str) -> String {
    let names: Vec<&str> = usage
        .split_ascii_whitespace()
        .take_while(|word| !word.starts_with(['-', '<', '[']))
        .collect();
    let rest = if usage.contains("<COMMAND>") {
        "<COMMAND>"
    } else {
        "[OPTIONS]"
    };
    format!("{} {rest}", names.join(" "))
}

fn message_of(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let flag = argument.split_whitespace().next().unwrap_or_default();
    match error.kind() {
        ParseErrorKind::UnknownArgument => format!("unknown argument: {argument}"),
        ParseErrorKind::InvalidSubcommand => {
            format!(
                "unknown command: {}",
                context(ContextKind::InvalidSubcommand).unwrap_or_default()
            )
        }
        ParseErrorKind::TooManyValues => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            format!("unknown argument: {flag}={value}")
        }
        ParseErrorKind::InvalidValue
        | ParseErrorKind::TooFewValues
        | ParseErrorKind::WrongNumberOfValues => {
            format!("{flag} requires a value")
        }
        ParseErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => error
            .to_string()
            .trim_start_matches("error: ")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// An optional text, path or id: empty is "not given".
pub fn given(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|text| !text.is_empty())
}

/// A required text, with the contract's message if it is missing.
pub fn required<'a>(flag: &str, value: Option<&'a String>) -> Result<&'a str, CliError> {
    given(value).ok_or_else(|| CliError::new(format!("{flag} is required")))
}

/// A non-negative integer flag: decimal, leading zeros allowed, saturating.
pub fn non_negative(flag: &str, value: Option<&String>, default: u64) -> Result<u64, CliError> {
    let Some(text) = value else {
        return Ok(default);
    };
    json::digits_text(text)
        .ok_or_else(|| CliError::new(format!("{flag} must be a non-negative integer")))
}

/// An integer flag of at least 1.
pub fn at_least_one(flag: &str, value: Option<&String>, default: u64) -> Result<u64, CliError> {
    let Some(text) = value else {
        return Ok(default);
    };
    json::digits_text(text)
        .filter(|n| *n >= 1)
        .ok_or_else(|| CliError::new(format!("{flag} must be an integer >= 1")))
}

/// A time between two of something: seconds, or a number with `s`, `m` or
/// `h`; at least a second, at most a day.
pub fn interval(flag: &str, text: &str) -> Result<Duration, CliError> {
    let refuse = || {
        CliError::new(format!(
            "{flag} {text}: use seconds, or a number with s, m or h, e.g. 30s"
        ))
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number = json::digits_text(number)
        .filter(|n| *n >= 1)
        .ok_or_else(refuse)?;
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(refuse()),
    };
    Ok(Duration::from_secs(
        number.saturating_mul(scale).min(86_400),
    ))
}

/// The repository and the loop that nearly every command names.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// Repository whose .superloop/ tree is read and written [required]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<String>,
    /// Loop id: one path component of 1 to 128 bytes [required]
    #[arg(long = "loop", value_name = "ID")]
    pub loop_id: Option<String>,
}

impl Target {
    /// Both are given; whether they are usable is checked later, in the
    /// order of the contract's tables.
    pub fn check_given(&self) -> Result<(), CliError> {
        required("--repo", self.repo.as_ref())?;
        required("--loop", self.loop_id.as_ref())?;
        Ok(())
    }

    /// The loop id (decision D4) and the absolute repository.
    pub fn resolve(&self) -> Result<(PathBuf, LoopId), CliError> {
        let loop_id = LoopId::new(required("--loop", self.loop_id.as_ref())?)?;
        let repo = resolve_repo(required("--repo", self.repo.as_ref())?)?;
        Ok((repo, loop_id))
    }
}

/// The absolute form of `--repo`: joined to the working directory and
/// cleaned lexically, symlinks kept. It must be a directory.
pub fn resolve_repo(repo: &str) -> Result<PathBuf, CliError> {
    let refuse = |cause: &str| CliError::new(format!("--repo {repo}: {cause}"));
    let path = if Path::new(repo).is_absolute() {
        clean(Path::new(repo))
    } else {
        let base = working_directory().map_err(|error| refuse(&error.to_string()))?;
        clean(&base.join(repo))
    };
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(refuse("No such file or directory (it is not a directory)")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(refuse("No such file or directory"));
        }
        Err(error) => return Err(refuse(&error.to_string())),
    }
    if path.to_str().is_none() {
        return Err(refuse("the path is not valid UTF-8, which artifacts need"));
    }
    Ok(path)
}

/// A path of the command line in its absolute form: joined to the working
/// directory, nothing else of it changed but doubled and trailing slashes.
pub fn absolute(path: &str) -> Result<PathBuf, CliError> {
    Ok(working_directory()?.join(path).components().collect())
}

/// `$PWD` if it names the working directory, else the real one.
fn working_directory() -> std::io::Result<PathBuf> {
    let logical = env::var_os("PWD")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    if let Some(logical) = logical
        && let (Ok(named), Ok(here)) = (std::fs::metadata(&logical), std::fs::metadata("."))
        && same_file(&named, &here)
    {
        return Ok(logical);
    }
    env::current_dir()
}

fn same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Removes `.`, `..` and doubled or trailing slashes without looking at the
/// file system.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The trace id: flag, else `OPS_MANAGER_TRACE_ID`, else a random UUID.
pub fn trace_id(flag: Option<&String>) -> TraceId {
    let text = given(flag)
        .map(str::to_owned)
        .or_else(|| environment("OPS_MANAGER_TRACE_ID"))
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    // Neither source is empty.
    TraceId::new(text).unwrap_or_else(|| unreachable!("a trace id is never empty"))
}

/// An environment variable; empty is unset.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Args, Debug, PartialEq)]
    struct Sample {
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        count: Option<String>,
        #[arg(long)]
        pretty: bool,
    }

    fn sample(argv: &[&str]) -> Result<Parsed<Sample>, CliError> {
        let argv = std::iter::once("sample")
            .chain(argv.iter().copied())
            .map(OsString::from);
        parse(
            Sample::augment_args(Command::new("sample")).about("Does nothing"),
            argv,
        )
    }

    fn parsed(argv: &[&str]) -> Sample {
        match sample(argv) {
            Ok(Parsed::Run(arguments)) => arguments,
            other => panic!("{argv:?}: {other:?}"),
        }
    }

    #[test]
    fn flags_take_both_forms_and_the_last_one_wins() {
        let arguments = parsed(&["--name", "a", "--name=b", "--pretty", "--pretty"]);
        assert_eq!(arguments.name.as_deref(), Some("b"));
        assert!(arguments.pretty);
    }

    #[test]
    fn a_value_may_look_like_a_flag() {
        assert_eq!(
            parsed(&["--name", "--count"]).name.as_deref(),
            Some("--count")
        );
        assert_eq!(parsed(&["--name", "-x"]).name.as_deref(), Some("-x"));
        assert_eq!(parsed(&["--name", "--"]).name.as_deref(), Some("--"));
        assert_eq!(parsed(&["--name="]).name.as_deref(), Some(""));
    }

    #[test]
    fn the_contracts_messages_replace_the_parsers() {
        for (argv, message) in [
            (&["--bogus"][..], "unknown argument: --bogus"),
            (&["--bogus=1"], "unknown argument: --bogus"),
            (&["stray"], "unknown argument: stray"),
            (&["-z"], "unknown argument: -z"),
            (&["--"], "unknown argument: --"),
            (&["--pretty", "--"], "unknown argument: --"),
            (&["--nam", "x"], "unknown argument: --nam"),
            (&["--name"], "--name requires a value"),
            (&["--pretty=yes"], "unknown argument: --pretty=yes"),
        ] {
            let error = sample(argv).expect_err("is refused");
            assert_eq!(error.message, message, "{argv:?}");
            assert!(error.usage.is_some(), "{argv:?} shows the usage");
        }
    }

    #[test]
    fn tokens_are_read_from_left_to_right() {
        assert!(matches!(
            sample(&["--help", "--bogus"]),
            Ok(Parsed::Print(_))
        ));
        assert!(sample(&["--bogus", "--help"]).is_err());
        let Ok(Parsed::Print(help)) = sample(&["-h"]) else {
            panic!("-h prints help")
        };
        assert!(help.starts_with("Usage:\n"), "{help}");
    }

    #[test]
    fn paths_are_cleaned_without_following_links() {
        for (path, cleaned) in [("/a/./b//c/", "/a/b/c"), ("/a/../b", "/b"), ("/../x", "/x")] {
            assert_eq!(clean(Path::new(path)), Path::new(cleaned));
        }
    }

    #[test]
    fn intervals_have_a_unit() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3_600), ("7", 7)] {
            assert_eq!(interval("--n", text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "0s", "x", "3d", "-1s", "1.5s"] {
            assert!(interval("--n", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn integers_are_decimal_and_saturate() {
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(non_negative("--n", text("08").as_ref(), 1), Ok(8));
        assert_eq!(non_negative("--n", None, 1), Ok(1));
        let huge = non_negative("--n", text("99999999999999999999").as_ref(), 1);
        assert_eq!(huge, Ok(json::MAX_INTEGER));
        for bad in ["", "-1", "1.5", "x"] {
            let error = non_negative("--n", text(bad).as_ref(), 1).expect_err("is refused");
            assert_eq!(error.message, "--n must be a non-negative integer");
        }
        let error = at_least_one("--n", text("000").as_ref(), 1).expect_err("is refused");
        assert_eq!(error.message, "--n must be an integer >= 1");
    }
}
