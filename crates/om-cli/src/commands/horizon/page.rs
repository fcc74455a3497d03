//! What a person sees of the queue.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use om_control::quote::quote;
use om_horizon::decide::Desk;
use om_horizon::decision::{Entry, Wanted};
use om_horizon::merge::{entry_key, queue_summary};
use om_model::Timestamp;
use om_model::health::TransportMode;
use om_model::horizon::{EntryStatus, OperatorRow};
use om_model::json::Lookup;
use serde_json::Value;

use crate::console::style::{Look, Tone, printable};
use crate::console::words;

/// The entries, and what to do about them.
pub(super) fn list(
    queue: &Value,
    shown: &[Value],
    repo: &Path,
    now: Timestamp,
    look: Look,
) -> String {
    let all = queue.get("intents").and_then(Value::as_array);
    let waiting = all.map_or(0, |all| queue_summary(all).0.pending_confirmation_count);
    let heading = match waiting {
        0 => "No envelope waits for a person".to_owned(),
        1 => "1 envelope waits for a person".to_owned(),
        many => format!("{many} envelopes wait for a person"),
    };
    let mut out = look.paint(Tone::Strong, &heading) + "\n";
    if shown.is_empty() {
        return out;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{}", table(shown, now, look).trim_fmt());
    if waiting > 0 {
        let repo = quote(repo.as_os_str());
        let _ = writeln!(
            out,
            "\nDecide about one of them\n  \
             ops-manager horizon queue approve <entry> --repo {repo} --loop <loop> \
             --intent cancel|approve|reject\n  \
             ops-manager horizon queue reject <entry> --repo {repo} --note <why>"
        );
    }
    out
}

fn table(shown: &[Value], now: Timestamp, look: Look) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(look.width).unwrap_or(80))
        .set_header(["entry", "for", "status", "age", "refs", "wants"])
        .set_constraints(vec![ColumnConstraint::ContentWidth; 5]);
    for entry in shown {
        table.add_row([
            printable(&entry_key(entry)),
            recipient(entry),
            status_word(&text(entry, "status")),
            age(entry, now),
            references(entry),
            printable(&text(entry, "intent")),
        ]);
    }
    table
}

fn text(entry: &Value, path: &str) -> String {
    let found = Lookup::new(entry).text(path);
    found.ok().flatten().unwrap_or_default()
}

fn recipient(entry: &Value) -> String {
    let part = |path| printable(&text(entry, path));
    format!("{} {}", part("recipient.type"), part("recipient.id"))
}

fn age(entry: &Value, now: Timestamp) -> String {
    let created = Timestamp::parse(&text(entry, "createdAt"));
    created.map_or_else(String::new, |at| words::duration(now.seconds_since(at)))
}

fn references(entry: &Value) -> String {
    let references = entry.get("evidenceRefs").and_then(Value::as_array);
    references.map_or(0, Vec::len).to_string()
}

/// A status in words; another tool's as it is.
fn status_word(status: &str) -> String {
    match EntryStatus::parse(status) {
        Some(EntryStatus::PendingOperatorConfirmation) => "waits".to_owned(),
        Some(EntryStatus::Executed) => "executed".to_owned(),
        Some(EntryStatus::ExecutionAmbiguous) => "ambiguous".to_owned(),
        Some(EntryStatus::ExecutionFailed) => "failed".to_owned(),
        Some(EntryStatus::RejectedByOperator) => "rejected".to_owned(),
        None => printable(status),
    }
}

/// What will run, before a person says yes.
pub(super) fn question(queue: &Value, entry: &Entry, todo: &Wanted, look: Look) -> String {
    let entries = queue.get("intents").and_then(Value::as_array);
    let mut entries = entries.into_iter().flatten();
    let found = entries.find(|found| entry_key(found) == entry.key);
    let found = found.cloned().unwrap_or_default();
    let mut out = look.paint(Tone::Strong, &printable(&entry.key)) + "\n";
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<10} {text}");
    };
    line("for", &recipient(&found));
    line("wants", &printable(&text(&found, "intent")));
    line("refs", &references(&found));
    let transport = match todo.transport {
        TransportMode::Local => "on this machine",
        TransportMode::SpriteService => "over its service",
    };
    let action = format!("{} loop {} {transport}", todo.intent.as_str(), todo.loop_id);
    line("executes", &action);
    out + "Execute this?"
}

/// How a decision ended, and where the proof is.
pub(super) fn decided(row: &OperatorRow, desk: &Desk, look: Look) -> String {
    let (tone, what) = match row.status {
        EntryStatus::Executed => (Tone::Good, "executed"),
        EntryStatus::ExecutionAmbiguous => {
            (Tone::Warning, "ambiguous: look at the loop before --again")
        }
        EntryStatus::RejectedByOperator => (Tone::Good, "rejected"),
        EntryStatus::ExecutionFailed | EntryStatus::PendingOperatorConfirmation => {
            (Tone::Bad, "failed")
        }
    };
    let key = format!("{}::{}", row.packet_id, row.envelope_trace_id);
    let sentence = format!("{} {} is {what}", look.mark(tone), printable(&key));
    let mut out = look.paint(tone, &sentence) + "\n";
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<10} {text}");
    };
    if let Some(control) = &row.control {
        let action = format!("{} loop {}", control.intent.as_str(), control.loop_id);
        line("did", &action);
        let status = control
            .status
            .as_ref()
            .map(om_model::control::ControlStatus::as_str);
        line("control", &printable(status.unwrap_or("unknown")));
        line("key", &printable(&control.idempotency_key));
    }
    line("trace", &printable(row.trace_id.as_str()));
    line("recorded", &desk.telemetry_file.display().to_string());
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue() -> Value {
        json!({"intents": [
            {
                "packetId": "pk-77", "traceId": "run-5", "status": "pending_operator_confirmation",
                "recipient": {"type": "team", "id": "sre"}, "intent": "Rotate keys",
                "createdAt": "2031-05-06T07:00:00Z", "evidenceRefs": ["a", "b"],
            },
            {
                "packetId": "pk-78", "traceId": "\u{1b}[2J", "status": "on hold",
                "recipient": {"type": "team", "id": "web"}, "intent": "Ship it",
                "createdAt": "2031-05-05T07:08:09Z", "evidenceRefs": [],
            },
        ]})
    }

    fn now() -> Timestamp {
        Timestamp::parse("2031-05-06T07:08:09Z").expect("a time")
    }

    #[test]
    fn the_queue_is_a_table_with_what_to_do_next() {
        let queue = queue();
        let entries = queue["intents"].as_array().expect("a list");
        let page = list(
            &queue,
            entries,
            Path::new("/srv/my app"),
            now(),
            Look::PLAIN,
        );
        insta::assert_snapshot!("horizon_queue", page);
    }

    #[test]
    fn an_empty_queue_is_one_sentence() {
        let page = list(&Value::Null, &[], Path::new("/r"), now(), Look::PLAIN);
        assert_eq!(page, "No envelope waits for a person\n");
    }

    #[test]
    fn the_question_says_what_will_run() {
        let queue = queue();
        let entry = Entry::read(&queue["intents"][0]).expect("an entry");
        let todo = Wanted {
            loop_id: om_model::LoopId::new("nightly").expect("an id"),
            intent: om_model::control::Intent::Cancel,
            transport: TransportMode::Local,
        };
        insta::assert_snapshot!(
            "horizon_question",
            question(&queue, &entry, &todo, Look::PLAIN)
        );
    }
}
