//! What happened, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How often things happened, by name.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// It happened once more.
    pub(super) fn one(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// It happened so many times more.
    pub(super) fn add(&mut self, what: &str, count: u64) {
        *self.0.entry(what.to_owned()).or_default() += count;
    }
}

/// One line for each, sorted by name.
pub(super) fn table(tally: &Tally, seed: u64, took: Duration) -> String {
    let mut table = format!("soak: seed {seed}, {:.1} s\n", took.as_secs_f64());
    let widest = tally.0.keys().map(|name| name.chars().count()).max();
    let widest = widest.unwrap_or(0);
    for (name, count) in &tally.0 {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "  {name:<widest$}  {count:>6}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_thing_that_happened() {
        let mut tally = Tally::default();
        tally.one("kills: policy");
        tally.add("cycles", 12);
        let table = table(&tally, 7, Duration::from_millis(1_500));
        let expected = "soak: seed 7, 1.5 s\n  cycles             12\n  kills: policy       1\n";
        assert_eq!(table, expected);
    }
}
