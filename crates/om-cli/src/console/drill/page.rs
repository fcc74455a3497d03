//! A drill's report, for people.

use std::fmt::Write as _;
use std::path::Path;

use textwrap::{Options, WordSplitter, fill};

use super::act::Check;
use super::{Outcome, Report, Step};
use crate::console::style::{Look, Tone, printable};

impl Report {
    /// As a page.
    pub fn page(&self, look: Look) -> String {
        let verdict = match self.status {
            Outcome::Pass => look.paint(Tone::Good, "passed"),
            _ => look.paint(Tone::Bad, "FAILED"),
        };
        let title = format!("Drill: {}", self.title);
        let title = fill(&title, Options::new(look.width).subsequent_indent("  "));
        let mut out = format!("{}\n", look.paint(Tone::Strong, &title));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {verdict}, {}\n", self.played_on());
        for (index, step) in self.steps.iter().enumerate() {
            out.push_str(&self.step(index + 1, step, look));
        }
        let _ = writeln!(out, "\nEverything is in {}", self.scratch);
        if let Some(file) = &self.recorded_in {
            let _ = writeln!(out, "Recorded in {file}");
        }
        out
    }

    fn played_on(&self) -> String {
        let fleet = &self.fleet;
        let loops = match fleet.loop_count {
            1 => "1 loop".to_owned(),
            count => format!("{count} loops"),
        };
        let name = printable(&fleet.fleet_id);
        match &fleet.from {
            Some(_) => format!("on a scratch copy of the fleet {name} ({loops})"),
            None => format!("on a made-up fleet ({loops}); --repo takes a copy of a real one"),
        }
    }

    fn step(&self, number: usize, step: &Step, look: Look) -> String {
        let (tone, mark) = match step.status {
            Outcome::Pass => (Tone::Good, look.mark(Tone::Good)),
            Outcome::Fail => (Tone::Bad, look.mark(Tone::Bad)),
            Outcome::NotRun => (Tone::Faint, "-"),
        };
        let inset = |text: &str| {
            let options = Options::new(look.width)
                .initial_indent("     ")
                .subsequent_indent("     ")
                .word_splitter(WordSplitter::NoHyphenation);
            fill(text, options) + "\n"
        };
        let mark = look.paint(tone, mark);
        let mut out = format!("{mark} {number}. {}\n", look.paint(Tone::Strong, step.name));
        out += &inset(&format!("{}.", step.expectation));
        if step.status == Outcome::NotRun {
            return out + &inset("not run");
        }
        if let Some(error) = &step.error {
            out += &look.paint(Tone::Bad, &inset(&printable(error)));
        }
        let failed = step.checks.iter().filter(|check| !check.passed);
        for check in failed {
            let Check {
                what,
                expected,
                found,
                ..
            } = check;
            let text = format!("{what}: expected {expected}, found {found}");
            out += &look.paint(Tone::Bad, &inset(&printable(&text)));
        }
        out + &look.paint(Tone::Faint, &inset(&self.proof(step)))
    }

    /// What was compared, and where it can be seen.
    fn proof(&self, step: &Step) -> String {
        let passed = step.checks.iter().filter(|check| check.passed).count();
        let count = step.checks.len();
        let root = Path::new(&self.scratch);
        let mut files = step.evidence.iter().map(|file| {
            let short = Path::new(file).strip_prefix(root);
            short.map_or_else(|_| file.clone(), |short| short.display().to_string())
        });
        // The last one shows the outcome.
        let last = files.next_back().unwrap_or_else(|| "nothing".to_owned());
        format!("{passed} of {count} comparisons hold; see {last}")
    }
}
