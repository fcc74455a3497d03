//! The table, and the page that keeps it.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use om_model::Timestamp;

/// One line of the table.
pub(super) struct Row {
    /// What was measured.
    pub(super) what: &'static str,
    /// What it must not exceed.
    pub(super) limit: String,
    /// What it is.
    pub(super) measured: String,
    /// The bare loop, measured in the same run.
    pub(super) floor: String,
    /// Whether it is within the limit.
    pub(super) met: bool,
}

/// The table as Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table =
        "| what | limit | measured | floor | verdict |\n|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let verdict = if row.met { "met" } else { "**missed**" };
        let cells = [row.what, &row.limit, &row.measured, &row.floor, verdict];
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// The page as Markdown.
pub(super) fn page(command: &str, machine: &[(&'static str, String)], table: &str) -> String {
    let machine: Vec<String> = machine
        .iter()
        .map(|(name, value)| format!("- {name}: {value}"))
        .collect();
    let machine = machine.join("\n");
    format!(
        "# Benchmarks\n\n\
         Written by `{command}` on {date}. Medians of optimised builds on a warm page cache.\n\n\
         The *floor* is measured in the same run, in turns with the figure beside it: a bare loop \
         that writes the same bytes to the same number of files with the same durability (one \
         `fdatasync` of a log per commit, rows appended, documents by temporary file and \
         rename, or for a fleet by an exchange with the temporary file, as the store does it), or that reads the same bytes where a command only reads, or a server that \
         answers with the same bytes from memory.\n\n\
         {table}\n\
         ## Machine\n\n{machine}\n",
        date = today()
    )
}

/// The day in UTC.
fn today() -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let now = Timestamp::from_epoch_seconds(seconds).to_string();
    now[..10].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_limit_stands_out() {
        let row = |met| Row {
            what: "status",
            limit: "≤ 20 ms".to_owned(),
            measured: "3.0 ms".to_owned(),
            floor: "0.1 ms".to_owned(),
            met,
        };
        let table = table(&[row(true), row(false)]);
        assert!(table.contains("| status | ≤ 20 ms | 3.0 ms | 0.1 ms | met |\n"));
        assert!(table.ends_with("| **missed** |\n"));
    }
}
