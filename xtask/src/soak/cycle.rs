//! One cycle of the fleet, and the settling at the end: the real commands,
//! one after the other, and what is checked after each.

use std::collections::BTreeMap;
use std::path::Path;

use om_model::{Timestamp, json};
use serde_json::Value;

use super::accounts;
use super::faults::{Cycle, Handoff, Kill, Manner, Meanwhile, Runtime, ServiceFault, Switch};
use super::journal::{Journal, complete_lines, document, text};
use super::ledger::{Added, Known, Ledger, list};
use super::registry::{FAR, open_settings};
use super::rules::Rules;
use super::step::{Action, Ended, Running, Steps};
use super::summary::Tally;
use super::world::{LOOPS, SERVICES, World};
use crate::error::Error;

/// Seconds that a pass over one loop may take.
const LOOP_SECONDS: &str = "2";
/// The same when nothing is to go wrong.
const PATIENT_SECONDS: &str = "60";

/// A soak on its way.
pub(super) struct Soak {
    world: World,
    steps: Steps,
    ledger: Ledger,
    dispatches: Journal,
    telemetry: Journal,
    findings: Vec<String>,
    tally: Tally,
    cycles: u64,
    /// What the handoffs of each cycle knew, by who asked for them.
    known: BTreeMap<String, Known>,
}

/// What a handoff is asked for.
struct Asked<'a> {
    kind: Handoff,
    kill: Option<Kill>,
    meanwhile: Option<Meanwhile>,
    flags: Vec<&'a str>,
}

/// What somebody has turned while a handoff ran: the registry before and
/// after, and how many rows the dispatch journal had then.
type Turned = ([Value; 2], usize);

impl Soak {
    /// A fleet below `root` in which everything may happen by itself.
    pub(super) fn create(root: &Path, binary: &Path) -> Result<Self, Error> {
        let world = World::create(root, binary)?;
        world.write_registry(&open_settings())?;
        Ok(Self {
            dispatches: Journal::new(world.fleet("handoff-dispatch.jsonl")),
            telemetry: Journal::new(world.fleet("telemetry/handoff.jsonl")),
            world,
            steps: Steps::default(),
            ledger: Ledger::default(),
            findings: Vec::new(),
            tally: Tally::default(),
            cycles: 0,
            known: BTreeMap::new(),
        })
    }

    /// What is wrong, so far.
    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    /// What happened, so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Cycles begun.
    pub(super) fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Runs one cycle.
    pub(super) fn cycle(&mut self, cycle: &Cycle) -> Result<(), Error> {
        self.cycles += 1;
        self.tally.one("cycles");
        self.world.loops(&cycle.loops)?;
        let died = self.world.services(&cycle.services)?;
        self.tally.add("services killed", died);
        self.world.runtimes(&cycle.runtimes)?;
        if let Some(settings) = &cycle.registry {
            self.world.write_registry(settings)?;
            self.tally.one("registry: rewritten by hand");
        }
        if let Some((switch, kill)) = cycle.switch {
            self.switch(switch, kill)?;
        }
        self.reconcile(cycle.reconcile, LOOP_SECONDS)?;
        self.world.go_on()?;
        self.policy(cycle.policy)?;
        if let Some(switch) = cycle.late {
            self.world.turn(switch)?;
            self.tally.one("registry: switched before a handoff");
        }
        if let Some(index) = cycle.new_run {
            self.world.new_run(index)?;
        }
        let own_trace = format!("--trace-id=soak-{}", self.cycles);
        let mut flags = Vec::new();
        if !cycle.confirms {
            flags.push("--no-runtime-confirm");
        }
        if cycle.own_trace {
            flags.push(&own_trace);
        }
        self.handoff(&Asked {
            kind: cycle.handoff,
            kill: cycle.end,
            meanwhile: cycle.meanwhile,
            flags,
        })?;
        self.status()
    }

    /// Lets everything come to rest, and accounts for all that was done.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        self.cycles += 1;
        let works = Runtime {
            manner: Manner::Works,
            milliseconds: 0,
        };
        self.world.go_on()?;
        self.world.services(&[ServiceFault::Runs; SERVICES])?;
        self.world.runtimes(&[works; SERVICES + 1])?;
        self.world.mend()?;
        if !self.world.wait_for_runtimes() {
            self.findings.push("a runtime does not end".to_owned());
        }
        // What the last command left unfinished is finished before the
        // registry is written.
        self.status()?;
        self.world.write_registry(&open_settings())?;
        let plan = Asked {
            kind: Handoff::Plan,
            kill: None,
            meanwhile: None,
            flags: Vec::new(),
        };
        let done = [
            self.reconcile(None, PATIENT_SECONDS)?,
            self.policy(None)?,
            self.handoff(&plan)?,
            self.reconcile(None, PATIENT_SECONDS)?,
        ];
        if done.contains(&false) {
            let what = format!("the fleet does not come to rest: {done:?}");
            self.findings.push(what);
        }
        self.status()?;
        let telemetry = &self.telemetry.rows;
        let accounts = accounts::check(&self.world, &self.ledger, telemetry, &mut self.tally);
        self.findings.extend(accounts);
        Ok(())
    }

    fn switch(&mut self, switch: Switch, kill: Option<Kill>) -> Result<(), Error> {
        let repo = self.repo();
        let mut words = ["fleet", "policy", "set"].map(str::to_owned).to_vec();
        words.extend(self.world.with_fleet(|fleet| fleet.words(switch)));
        let governed = [
            "--repo",
            &repo,
            "--yes",
            "--by",
            "soak",
            "--approval-ref",
            "SOAK-2",
            "--rationale",
            "a test",
            "--review-by",
            FAR,
        ];
        words.extend(governed.map(str::to_owned));
        let ended = self.run("switch", &words, kill)?;
        if ended.is_refused() {
            self.tally.one("registry: switch refused");
        }
        Ok(())
    }

    /// Whether it is done.
    fn reconcile(&mut self, kill: Option<Kill>, seconds: &str) -> Result<bool, Error> {
        let repo = self.repo();
        let words = [
            "fleet-reconcile",
            "--repo",
            &repo,
            "--max-parallel",
            "8",
            "--loop-timeout-seconds",
            seconds,
        ];
        let ended = self.run("reconcile", &words, kill)?;
        if !ended.is_done() {
            return Ok(false);
        }
        let state = self.printed("reconcile", &ended);
        let results = list(&state["results"]);
        if results.len() != LOOPS {
            let found = results.len();
            self.findings
                .push(format!("{found} loops of {LOOPS} have a result"));
        }
        for result in results {
            self.tally
                .one(&format!("loop results: {}", text(result, "reasonCode")));
        }
        Ok(true)
    }

    /// Whether it is done.
    fn policy(&mut self, kill: Option<Kill>) -> Result<bool, Error> {
        let repo = self.repo();
        let ended = self.run("policy", &["fleet-policy", "--repo", &repo], kill)?;
        if !ended.is_done() {
            if ended.is_refused() && self.world.fleet("state.json").exists() {
                self.findings
                    .push(format!("policy was refused: {}", ended.stderr));
            }
            return Ok(false);
        }
        let state = self.printed("policy", &ended);
        let at = Timestamp::parse(text(&state, "updatedAt"));
        let at = at.map_or(0, Timestamp::epoch_seconds);
        let rules = Rules::read(&self.document("registry.v1.json"));
        let findings = self.ledger.judge(&state, &rules, at);
        self.findings.extend(findings);
        let eligible = state["autoEligibleCount"].as_u64().unwrap_or(0);
        self.tally
            .add("candidates", state["candidateCount"].as_u64().unwrap_or(0));
        self.tally.add("candidates: eligible", eligible);
        Ok(true)
    }

    /// Whether it is done.
    fn handoff(&mut self, asked: &Asked<'_>) -> Result<bool, Error> {
        let rows_before = self.dispatches.rows.len();
        let (ended, turned) = self.handoffs(asked)?;
        let journals = [self.dispatches.refresh(), self.telemetry.refresh()];
        self.findings
            .extend(journals.into_iter().filter_map(Result::err));
        let policy = self.document("policy-state.json");
        let (rules, turned) = match turned {
            Some(([before, after], rows)) => {
                (Rules::read(&before), Some((rows, Rules::read(&after))))
            }
            None => (Rules::read(&self.document("registry.v1.json")), None),
        };
        let known = Known {
            rules,
            turned,
            policy,
        };
        self.known.insert(self.who(), known);
        self.take(rows_before);
        if ended.iter().any(|one| !one.is_refused())
            && let Some(known) = self.known.get(&self.who())
        {
            self.ledger.planned(&known.policy);
        }
        let new_rows = &self.dispatches.rows[rows_before..];
        let refused = ended.iter().all(Ended::is_refused);
        if refused && new_rows.iter().any(|row| row["phase"] == "intent") {
            self.findings
                .push("a handoff that was refused dispatched something".to_owned());
        }
        if refused {
            self.tally.one("handoffs refused");
            self.refused(&ended);
            return Ok(false);
        }
        if ended.iter().any(|one| one.is_cut() || one.is_refused()) {
            return Ok(false);
        }
        let state = self.document("handoff-state.json");
        self.findings.extend(self.ledger.compare(&state));
        for withheld in list(&state["execution"]["withheld"]) {
            self.tally
                .one(&format!("withheld: {}", text(withheld, "reasonCode")));
        }
        if self.world.fleet("handoff-pending.json").exists() {
            self.findings
                .push("handoff-pending.json outlives its handoff".to_owned());
        }
        Ok(true)
    }

    /// Holds the rows of the dispatch journal from `before` on against what
    /// their handoffs knew: those of a handoff that was killed may turn up
    /// only now.
    fn take(&mut self, before: usize) {
        let mut before = before;
        let by = |row: &Value| text(row, "requestedBy").to_owned();
        for rows in self.dispatches.rows[before..].chunk_by(|one, next| by(one) == by(next)) {
            let added = Added {
                rows,
                before,
                telemetry: &self.telemetry.rows,
            };
            let who = by(&rows[0]);
            let found = match self.known.get(&who) {
                Some(known) => self.ledger.take(known, added),
                None => vec![format!("nobody is {who:?}: {}", rows[0])],
            };
            self.findings.extend(found);
            before += rows.len();
        }
    }

    /// Who asks for the handoffs of this cycle.
    fn who(&self) -> String {
        format!("soak-{}", self.cycles)
    }

    /// Refusals that there are.
    fn refused(&mut self, ended: &[Ended]) {
        let known = [
            "policy state file not found",
            "governance review expired",
            "--autonomous-execute requires policy mode guarded_auto",
            // What a person asks for may be done or gone by now.
            "intent already executed in this policy evaluation",
            "not found in manual execution intents",
        ];
        for one in ended {
            if !known.iter().any(|why| one.stderr.contains(why)) {
                self.findings
                    .push(format!("a handoff was refused: {}", one.stderr));
            }
        }
    }

    /// Runs the handoffs that are asked for.
    fn handoffs(&mut self, asked: &Asked<'_>) -> Result<(Vec<Ended>, Option<Turned>), Error> {
        let repo = self.repo();
        let mut words = vec!["fleet-handoff".to_owned(), "--repo".to_owned(), repo];
        words.push(format!("--by={}", self.who()));
        let quick = ["--timeout-seconds", "0", "--interval-seconds", "0"];
        words.extend(quick.map(str::to_owned));
        words.extend(asked.flags.iter().map(|flag| (*flag).to_owned()));
        words.extend(self.mode(asked.kind));
        let name = match asked.kind {
            Handoff::Plan => "handoff plan",
            Handoff::Autonomous | Handoff::Twice => "handoff",
            Handoff::Manual(_) => "handoff by hand",
        };
        let start = |world: &World, output: &str| {
            let output = world.own(output).display().to_string();
            Running::start(name, world.command(&words), &output)
        };
        let first = start(&self.world, "first")?;
        let second = match asked.kind {
            Handoff::Twice => Some(start(&self.world, "second")?),
            _ => None,
        };
        let mut turned = None;
        let mut died = false;
        let journal = self.world.fleet("handoff-dispatch.jsonl");
        let world = &mut self.world;
        let mut act = || -> Result<(), Error> {
            match asked.meanwhile {
                Some(Meanwhile::Turned(switch, _)) => {
                    turned = Some((world.turn(switch)?, complete_lines(&journal)));
                }
                Some(Meanwhile::ServiceDies(index, _)) => died = world.kill_service(index),
                None => {}
            }
            Ok(())
        };
        let meanwhile: Option<Action<'_>> = match asked.meanwhile {
            Some(Meanwhile::Turned(_, at) | Meanwhile::ServiceDies(_, at)) => Some((at, &mut act)),
            None => None,
        };
        let mut ended = vec![self.steps.wait(first, asked.kill, meanwhile)?];
        if let Some(second) = second {
            ended.push(self.steps.wait(second, None, None)?);
        }
        self.tally.add("services killed", u64::from(died));
        self.tally.add(
            "registry: switched during a handoff",
            u64::from(turned.is_some()),
        );
        for one in &ended {
            self.ended(name, one)?;
        }
        Ok((ended, turned))
    }

    /// Flags of what is to be done.
    fn mode(&self, kind: Handoff) -> Vec<String> {
        match kind {
            Handoff::Plan => Vec::new(),
            Handoff::Autonomous | Handoff::Twice => vec!["--autonomous-execute".to_owned()],
            Handoff::Manual(count) => {
                let chosen = self.chosen(count);
                let flags = chosen.iter().map(|intent| format!("--intent-id={intent}"));
                let confirmed = ["--execute", "--confirm"].map(str::to_owned);
                let all: Vec<String> = confirmed.into_iter().chain(flags).collect();
                if chosen.is_empty() { Vec::new() } else { all }
            }
        }
    }

    /// What a person executes: what is guarded first, then what else there is.
    fn chosen(&self, count: usize) -> Vec<String> {
        let policy = document(&self.world.fleet("policy-state.json")).unwrap_or_default();
        let mut intents: Vec<String> = list(&policy["candidates"])
            .iter()
            .filter(|candidate| candidate["suppressed"] == false)
            .map(|candidate| format!("{}:cancel", text(candidate, "candidateId")))
            .collect();
        intents.sort_by_key(|intent| !self.ledger.guards().contains(intent));
        intents.truncate(count);
        intents
    }

    /// The fleet can be read at any time.
    fn status(&mut self) -> Result<(), Error> {
        let repo = self.repo();
        let words = ["fleet-status", "--repo", &repo];
        let output = self.world.own("status").display().to_string();
        let running = Running::start("status", self.world.command(&words), &output)?;
        let ended = self.steps.wait(running, None, None)?;
        self.findings.extend(ended.finding("status"));
        if ended.is_done() {
            self.printed("status", &ended);
        } else if self.world.fleet("state.json").exists() {
            self.findings
                .push(format!("there is no status: {}", ended.stderr));
        }
        for file in [
            "state.json",
            "policy-state.json",
            "handoff-state.json",
            "registry.v1.json",
        ] {
            self.document(file);
        }
        Ok(())
    }

    /// Runs a step, and looks at the fleet if it was killed.
    fn run<S: AsRef<str>>(
        &mut self,
        name: &'static str,
        words: &[S],
        kill: Option<Kill>,
    ) -> Result<Ended, Error> {
        let output = self.world.own(name).display().to_string();
        let running = Running::start(name, self.world.command(words), &output)?;
        let ended = self.steps.wait(running, kill, None)?;
        self.ended(name, &ended)?;
        Ok(ended)
    }

    fn ended(&mut self, name: &str, ended: &Ended) -> Result<(), Error> {
        self.tally.one(&format!("steps: {name}"));
        self.findings.extend(ended.finding(name));
        if ended.sent.is_some() {
            self.tally.one(&format!("steps killed: {name}"));
            self.status()?;
        }
        Ok(())
    }

    fn printed(&mut self, name: &str, ended: &Ended) -> Value {
        json::parse(&ended.stdout).unwrap_or_else(|error| {
            self.findings
                .push(format!("{name} printed no document: {error}"));
            Value::Null
        })
    }

    fn document(&mut self, file: &str) -> Value {
        document(&self.world.fleet(file)).unwrap_or_else(|error| {
            self.findings.push(error);
            Value::Null
        })
    }

    fn repo(&self) -> String {
        self.world.repo().display().to_string()
    }
}
