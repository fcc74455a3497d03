//! Stages by executable: three scripts of one folder (chapter 03 §3.4.6).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_control::service;
use om_http::Secrets;
use om_model::service::{ControlResponse, ServiceErrorCode};
use om_model::{LoopId, TraceId, json};
use om_stage::{FAILURE_TAIL_LINES, Hook, RunOptions, StageOutput};
use serde_json::{Value, json};

use crate::app::App;
use crate::control::Order;
use crate::reply::Refusal;
use crate::seen::EventsAfter;

/// Names of the scripts.
const SNAPSHOT: &str = "ops-manager-loop-run-snapshot.sh";
const EVENTS: &str = "ops-manager-poll-events.sh";
const CONTROL: &str = "ops-manager-control.sh";

/// What their errors call the place where they come from.
const ORIGIN: &str = "--scripts-dir";

/// A script is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("required script not found: {}", .0.display())]
pub struct ScriptsError(PathBuf);

/// Executables that replace the stages of a service.
#[derive(Clone, Debug)]
pub struct Scripts {
    snapshot: Hook,
    events: Hook,
    control: Hook,
}

impl Scripts {
    /// The three scripts of `dir`, all of which have to be there.
    pub fn in_dir(dir: &Path) -> Result<Self, ScriptsError> {
        let script = |name| {
            let path = dir.join(name);
            if path.is_file() {
                // With a slash it is run as it is, never searched for.
                let path = std::path::absolute(&path).unwrap_or(path);
                Ok(Hook::exact(ORIGIN, path))
            } else {
                Err(ScriptsError(path))
            }
        };
        Ok(Self {
            snapshot: script(SNAPSHOT)?,
            events: script(EVENTS)?,
            control: script(CONTROL)?,
        })
    }

    /// The document that the snapshot script prints.
    pub(crate) fn snapshot(
        &self,
        app: &App,
        loop_id: &LoopId,
        trace_id: Option<&TraceId>,
    ) -> Result<String, Refusal> {
        let repo = app.layout.repo().to_string_lossy();
        let mut arguments = vec!["--repo", &repo, "--loop", loop_id.as_str()];
        if let Some(trace_id) = trace_id {
            arguments.extend(["--trace-id", trace_id.as_str()]);
        }
        let output = self.snapshot.run(&arguments, &RunOptions::default());
        succeeded(&output, "snapshot command failed", &app.secrets)?;
        let mut document = json::parse(&output.stdout)
            .map_err(|_| runtime_error("snapshot output was not valid JSON"))?;
        app.secrets.redact_document(&mut document);
        if let (Some(trace_id), Value::Object(members)) = (trace_id, &mut document) {
            members
                .entry("traceId")
                .or_insert_with(|| trace_id.as_str().into());
        }
        Ok(json::compact(&document))
    }

    /// The answer from what the poll script prints.
    pub(crate) fn events(
        &self,
        app: &App,
        loop_id: &LoopId,
        after: &EventsAfter,
    ) -> Result<String, Refusal> {
        let repo = app.layout.repo().to_string_lossy();
        let cursor = CursorFile::new(&repo, loop_id, after.cursor)?;
        let (path, max_events) = (cursor.path(), after.max_events.to_string());
        let mut arguments = vec!["--repo", &repo, "--loop", loop_id.as_str()];
        arguments.extend(["--cursor-file", &path]);
        if let Some(trace_id) = &after.trace_id {
            arguments.extend(["--trace-id", trace_id.as_str()]);
        }
        if after.max_events > 0 {
            arguments.extend(["--max-events", &max_events]);
        }
        let output = self.events.run(&arguments, &RunOptions::default());
        succeeded(&output, "event poll command failed", &app.secrets)?;
        let mut answer = json!({"ok": true, "schemaVersion": "v1"});
        if let Some(trace_id) = &after.trace_id {
            answer["traceId"] = trace_id.as_str().into();
        }
        answer["source"] = json!({"repoPath": repo, "loopId": loop_id});
        let mut events = Value::from(printed_events(&output.stdout)?);
        app.secrets.redact_document(&mut events);
        answer["events"] = events;
        answer["cursor"] = cursor.read(after.cursor);
        Ok(json::compact(&answer))
    }

    /// The answer from what the control script prints, and how it ends.
    pub(crate) fn control(&self, app: &App, order: &Order) -> ControlResponse {
        let repo = app.layout.repo().to_string_lossy();
        let body = &order.body;
        let mut arguments = vec!["--repo", &repo, "--loop", body.loop_id.as_str()];
        arguments.extend(["--intent", body.intent.as_str(), "--by", &order.by]);
        if let Some(note) = &body.note {
            arguments.extend(["--note", note]);
        }
        if body.no_confirm {
            arguments.push("--no-confirm");
        }
        if let Some(trace_id) = &body.trace_id {
            arguments.extend(["--trace-id", trace_id.as_str()]);
        }
        let options = RunOptions {
            time_limit: service::total_limit(&order.settings).map(Duration::from_secs),
            ..RunOptions::default()
        };
        let (output, signal) = self.control.run_to_its_end(&arguments, &options);
        let mut result = last_object(&output.stdout);
        if let Some(row) = &mut result {
            app.secrets.redact_document(row);
        }
        let traced = result.as_ref().and_then(|row| row.get("traceId"));
        let traced = json::non_empty_text(traced).and_then(TraceId::new);
        ControlResponse {
            ok: output.success(),
            exit_code: i64::from(signal.map_or(output.exit_code, |signal| -signal)),
            result,
            stderr: Some(diagnostics(&output, &app.secrets)).filter(|text| !text.is_empty()),
            replayed: false,
            trace_id: body.trace_id.clone().or(traced),
        }
    }
}

/// A cursor that lives for one poll.
struct CursorFile(tempfile::NamedTempFile);

impl CursorFile {
    fn new(repo: &str, loop_id: &LoopId, cursor: u64) -> Result<Self, Refusal> {
        let document = json!({
            "schemaVersion": "v1",
            "repoPath": repo,
            "loopId": loop_id,
            "eventsFile": format!(".superloop/loops/{loop_id}/events.jsonl"),
            "eventLineOffset": cursor,
            "eventLineCount": cursor,
            "updatedAt": "",
        });
        let text = json::compact(&document) + "\n";
        let written = tempfile::NamedTempFile::new().and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(Self(file))
        });
        written
            .map_err(|error| Refusal::internal(format!("cannot write a temporary cursor: {error}")))
    }

    fn path(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }

    /// What the script made of it; what it left alone says where it began.
    fn read(&self, cursor: u64) -> Value {
        let document = std::fs::read(self.0.path()).ok();
        let document = document.and_then(|bytes| json::parse(&bytes).ok());
        let member = |name| document.as_ref().and_then(|document| document.get(name));
        let count = |name| member(name).and_then(json::digits).unwrap_or(cursor);
        // As it stands there: a script has its own idea of time.
        let updated_at = member("updatedAt").filter(|at| at.is_string());
        json!({
            "eventLineOffset": count("eventLineOffset"),
            "eventLineCount": count("eventLineCount"),
            "updatedAt": updated_at,
        })
    }
}

/// The objects among the lines of `output`; a line that is no JSON is an
/// error.
fn printed_events(output: &[u8]) -> Result<Vec<Value>, Refusal> {
    let lines = output.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    let documents: Result<Vec<Value>, _> = lines.map(json::parse).collect();
    let mut documents = documents.map_err(|_| runtime_error("event poll emitted invalid JSON"))?;
    documents.retain(Value::is_object);
    Ok(documents)
}

/// The last line of `output` that is a JSON object.
fn last_object(output: &[u8]) -> Option<Value> {
    let lines = output.rsplit(|byte| *byte == b'\n');
    let mut documents = lines.filter_map(|line| json::parse(line).ok());
    documents.find(Value::is_object)
}

fn succeeded(output: &StageOutput, otherwise: &str, secrets: &Secrets) -> Result<(), Refusal> {
    if output.success() {
        return Ok(());
    }
    let said = diagnostics(output, secrets);
    Err(runtime_error(if said.is_empty() {
        otherwise
    } else {
        &said
    }))
}

/// The last lines of stderr that are not blank, without `secrets`.
fn diagnostics(output: &StageOutput, secrets: &Secrets) -> String {
    let text = secrets.clean(&output.stderr);
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(FAILURE_TAIL_LINES)..].join("\n")
}

fn runtime_error(message: &str) -> Refusal {
    Refusal::new(ServiceErrorCode::RuntimeError, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_the_last_object_that_was_printed() {
        for (output, row) in [
            (&b"{\"a\":1}\n{\"b\":2}\n"[..], Some(json!({"b": 2}))),
            (b"{\"a\":1}\ntext\n[]\n7\n", Some(json!({"a": 1}))),
            (b"text\n", None),
            (b"", None),
        ] {
            assert_eq!(last_object(output), row);
        }
    }

    #[test]
    fn events_are_objects_and_every_line_is_json() {
        let events = printed_events(b"{\"a\":1}\n\n 7 \n{\"b\":2}").expect("are read");
        assert_eq!(events, [json!({"a": 1}), json!({"b": 2})]);
        assert!(printed_events(b"{\"a\":1}\nnope\n").is_err());
    }

    #[test]
    fn diagnostics_are_the_last_lines_with_something_on_them() {
        let lines: Vec<String> = (1..=50).map(|n| format!("line {n}\r\n\n")).collect();
        let output = StageOutput {
            stderr: lines.concat().into_bytes(),
            ..StageOutput::default()
        };
        let said = diagnostics(&output, &Secrets::default());
        assert!(said.starts_with("line 11\nline 12\n") && said.ends_with("line 50"));
    }
}
