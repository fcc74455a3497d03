//! The client as an executable (chapter 02 §2.7, chapter 03 §3.1.4 B.2).

use std::io::{self, Write};
use std::time::Duration;

use om_stage::{FAILURE_TAIL_LINES, Hook, RunOptions, StageOutput, Streams, last_lines};
use tempfile::NamedTempFile;

use super::{Answer, Call, ServiceError, ServiceSettings};

/// Runs the hook once per request; retrying is its own business.
#[derive(Clone, Debug)]
pub(super) struct HookClient {
    hook: Hook,
}

impl HookClient {
    pub(super) fn new(hook: Hook) -> Self {
        Self { hook }
    }

    pub(super) async fn send(
        &self,
        settings: &ServiceSettings,
        call: Call<'_>,
    ) -> Result<Answer, ServiceError> {
        let body_file = match call.body {
            None => None,
            Some((body, _)) => {
                Some(written(body).map_err(|error| ServiceError::BodyFile(error.to_string()))?)
            }
        };
        let body_path = body_file.as_ref().map(|file| file.path().display());
        let arguments = arguments(settings, call, body_path.map(|path| path.to_string()));
        let merged = call.body.is_none();
        let output = self.run(arguments, merged, settings.hook_timeout).await;
        drop(body_file);
        answer(output, merged, settings)
    }

    /// Runs the child without holding up other requests of this thread.
    async fn run(
        &self,
        arguments: Vec<String>,
        merged: bool,
        time_limit: Option<Duration>,
    ) -> StageOutput {
        let hook = self.hook.clone();
        let options = RunOptions {
            streams: if merged {
                Streams::Merged
            } else {
                Streams::Separate
            },
            output_cap: super::MAX_RESPONSE_BYTES,
            time_limit,
            ..RunOptions::default()
        };
        let child = tokio::task::spawn_blocking(move || hook.run(&arguments, &options));
        child.await.unwrap_or_else(|error| StageOutput {
            exit_code: 1,
            stderr: format!("the service client hook was not waited for: {error}").into_bytes(),
            ..StageOutput::default()
        })
    }
}

/// The argv, in the contract's order. The token is in it: that is how the
/// hook is told, and why the built-in client is not a process.
fn arguments(settings: &ServiceSettings, call: Call<'_>, body_file: Option<String>) -> Vec<String> {
    let token = settings.token().map_or("", |token| token.expose());
    let trace_id = call.trace_id.map_or("", |trace_id| trace_id.as_str());
    let mut arguments: Vec<String> = Vec::new();
    let mut push = |flag: &str, value: &str| {
        arguments.extend([flag.to_owned(), value.to_owned()]);
    };
    push("--method", call.method());
    push("--base-url", settings.base_url.expose());
    push("--path", call.path);
    push("--token", token);
    push("--trace-id", trace_id);
    if let Some(file) = body_file {
        push("--body-file", &file);
    }
    let as_typed = |typed: &Option<String>, number: u64| {
        let typed = typed.clone();
        typed.unwrap_or_else(|| number.to_string())
    };
    let (retry, typed) = (settings.retry, &settings.typed);
    push(
        "--retry-attempts",
        &as_typed(&typed.attempts, retry.attempts),
    );
    push(
        "--retry-backoff-seconds",
        &as_typed(&typed.seconds, retry.seconds),
    );
    arguments
}

/// The body as a file that only this user can read; removed afterwards.
fn written(body: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(body)?;
    file.flush()?;
    Ok(file)
}

/// What is used of the child's output. A child that could not be started
/// reports on stderr even when the streams are merged.
fn answer(
    output: StageOutput,
    merged: bool,
    settings: &ServiceSettings,
) -> Result<Answer, ServiceError> {
    let exit_code = output.exit_code;
    let (body, diagnostics) = if merged {
        ([output.stdout, output.stderr].concat(), Vec::new())
    } else {
        (output.stdout, output.stderr)
    };
    if exit_code == 0 {
        return Ok(Answer { body, diagnostics });
    }
    let said = if merged { body } else { diagnostics };
    // It was told the token, and some print their own command line.
    let said = settings.secrets().clean(&said);
    Err(ServiceError::Hook {
        exit_code,
        output: last_lines(said.as_bytes(), FAILURE_TAIL_LINES),
    })
}
