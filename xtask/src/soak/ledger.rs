//! What may be dispatched, and what was: every row of the dispatch journal is
//! held against what was known before it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::journal::text;
use super::rules::{Execution, Rules};

/// All dispatches so far, and what follows from them.
#[derive(Default)]
pub(super) struct Ledger {
    /// In the order of their intent rows.
    pub(super) dispatches: Vec<Dispatch>,
    /// Intents that must not be dispatched by themselves (decision D16).
    guards: BTreeSet<String>,
    /// Evaluations and the intents that were executed in them (decision D17).
    executed: BTreeSet<(String, String)>,
    /// When each candidate was eligible last, in epoch seconds.
    eligible_at: BTreeMap<String, i64>,
}

/// One dispatch.
pub(super) struct Dispatch {
    pub(super) id: String,
    pub(super) run: String,
    pub(super) intent: String,
    pub(super) loop_id: String,
    pub(super) key: String,
    pub(super) trace: String,
    pub(super) is_autonomous: bool,
    evaluation: String,
    /// Its outcome row.
    pub(super) outcome: Option<Value>,
}

impl Dispatch {
    /// `executed`, `ambiguous` or `failed`; empty without an outcome.
    pub(super) fn status(&self) -> &str {
        self.outcome.as_ref().map_or("", |row| text(row, "status"))
    }
}

/// What was known when handoffs were started.
pub(super) struct Known {
    /// The registry.
    pub(super) rules: Rules,
    /// From when on the registry said something else: so many dispatch rows
    /// there were, and what it said.
    pub(super) turned: Option<(usize, Rules)>,
    /// `policy-state.json`.
    pub(super) policy: Value,
}

/// Rows that handoffs have added.
#[derive(Clone, Copy)]
pub(super) struct Added<'a> {
    /// Of the dispatch journal.
    pub(super) rows: &'a [Value],
    /// How many were before them.
    pub(super) before: usize,
    /// All rows of the handoff telemetry.
    pub(super) telemetry: &'a [Value],
}

impl Ledger {
    /// Takes in the rows that handoffs have added which knew this.
    pub(super) fn take(&mut self, known: &Known, added: Added<'_>) -> Vec<String> {
        let rows = added.rows;
        let mut findings = Vec::new();
        let mut after_turning = 0;
        for (place, row) in rows.iter().enumerate() {
            match text(row, "phase") {
                "intent" => {
                    let turned = known.turned.as_ref();
                    let turned = turned.filter(|(from, _)| added.before + place >= *from);
                    if let Some((_, rules)) = turned {
                        let against = Self::against_registry(rules, row);
                        after_turning += u64::from(against.is_some());
                        // One may be between its last look and its row.
                        if after_turning > 1 {
                            findings.extend(against);
                        }
                    }
                    findings.extend(self.begin(known, row));
                }
                "outcome" => findings.extend(self.end(row)),
                other => findings.push(format!("a dispatch row has phase {other:?}: {row}")),
            }
        }
        if rows
            .chunk_by(|one, next| run_of(one) == run_of(next))
            .count()
            > runs(rows).len()
        {
            findings.push(format!("two runs dispatched at once: {:?}", runs(rows)));
        }
        findings.extend(self.caps(known, rows));
        findings.extend(Self::pauses(known, added));
        findings
    }

    fn begin(&mut self, known: &Known, row: &Value) -> Vec<String> {
        let dispatch = Dispatch {
            id: text(row, "dispatchId").to_owned(),
            run: text(row, "handoffId").to_owned(),
            intent: text(row, "intentId").to_owned(),
            loop_id: text(row, "loopId").to_owned(),
            key: text(row, "idempotencyKey").to_owned(),
            trace: text(row, "traceId").to_owned(),
            is_autonomous: row["mode"] == "autonomous",
            evaluation: evaluation(&known.policy),
            outcome: None,
        };
        let mut findings = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                findings.push(format!("{what}: {row}"));
            }
        };
        let done = (dispatch.evaluation.clone(), dispatch.intent.clone());
        must(
            !self.executed.contains(&done),
            "dispatched what was done in this evaluation",
        );
        must(
            self.dispatches.iter().all(|one| one.id != dispatch.id),
            "a dispatch id was used twice",
        );
        if dispatch.is_autonomous {
            must(
                !self.guards.contains(&dispatch.intent),
                "dispatched what is guarded",
            );
            let candidate = candidate_of(&known.policy, &dispatch.intent);
            let is = |member: &Value, value: bool| *member == Value::Bool(value);
            must(candidate.is_some(), "dispatched what is no candidate");
            must(
                candidate.is_some_and(|one| is(&one["autonomous"]["eligible"], true)),
                "dispatched what is not eligible",
            );
            must(
                candidate.is_some_and(|one| is(&one["suppressed"], false)),
                "dispatched what is suppressed",
            );
            findings.extend(Self::against_registry(&known.rules, row));
        }
        self.dispatches.push(dispatch);
        findings
    }

    /// What the registry has against an autonomous dispatch.
    fn against_registry(rules: &Rules, row: &Value) -> Option<String> {
        if row["mode"] != "autonomous" {
            return None;
        }
        let category = category(text(row, "intentId"));
        let why = rules.forbids(text(row, "loopId"), category)?;
        Some(format!("dispatched although {why}: {row}"))
    }

    fn end(&mut self, row: &Value) -> Vec<String> {
        let id = text(row, "dispatchId");
        let Some(dispatch) = self.dispatches.iter_mut().rev().find(|one| one.id == id) else {
            return vec![format!("an outcome without its intent: {row}")];
        };
        let mut findings = Vec::new();
        if dispatch.outcome.is_some() {
            findings.push(format!("a second outcome: {row}"));
        }
        dispatch.outcome = Some(row.clone());
        let intent = dispatch.intent.clone();
        match dispatch.status() {
            "executed" => {
                self.executed
                    .insert((dispatch.evaluation.clone(), intent.clone()));
                if !dispatch.is_autonomous {
                    self.guards.remove(&intent);
                }
            }
            "ambiguous" | "failed" => {
                self.guards.insert(intent);
            }
            other => findings.push(format!("an outcome has status {other:?}: {row}")),
        }
        findings
    }

    /// No run dispatches more than its caps.
    fn caps(&self, known: &Known, rows: &[Value]) -> Vec<String> {
        let mut findings = Vec::new();
        for run in runs(rows) {
            let of_run = self
                .dispatches
                .iter()
                .filter(|one| one.run == run && one.is_autonomous);
            let mut per_loop: BTreeMap<&str, u64> = BTreeMap::new();
            for dispatch in of_run {
                *per_loop.entry(&dispatch.loop_id).or_default() += 1;
            }
            let total: u64 = per_loop.values().sum();
            let most = per_loop.values().max().copied().unwrap_or(0);
            let begun = rows
                .iter()
                .any(|row| row["phase"] == "intent" && text(row, "handoffId") == run);
            // Of an earlier run only outcomes are added; its caps were others.
            if begun && (total > known.rules.per_run || most > known.rules.per_loop) {
                findings.push(format!(
                    "run {run} dispatched {total}, {most} on one loop; the caps are {} and {}",
                    known.rules.per_run, known.rules.per_loop
                ));
            }
        }
        findings
    }

    /// Nothing is dispatched by itself after too many bad outcomes.
    fn pauses(known: &Known, added: Added<'_>) -> Vec<String> {
        let rows = added.rows;
        let mut findings = Vec::new();
        for run in runs(rows) {
            let acted = |row: &&Value| {
                row["phase"] == "intent"
                    && row["mode"] == "autonomous"
                    && text(row, "handoffId") == run
            };
            if !rows.iter().any(|row| acted(&row)) {
                continue;
            }
            let own = |row: &&Value| text(&row["execution"], "handoffId") != run;
            let before = added.telemetry.iter().take_while(own);
            let executions: Vec<Execution> = before.filter_map(Execution::read).collect();
            if known.rules.is_auto_paused(&executions) {
                findings.push(format!("run {run} dispatched although autonomy was paused"));
            }
        }
        findings
    }

    /// A plan drops the guards whose candidate is gone. One that was killed
    /// may have done so, or not.
    pub(super) fn planned(&mut self, policy: &Value) {
        self.guards
            .retain(|intent| candidate_of(policy, intent).is_some());
    }

    /// Compares with what handoff says of itself after a complete run.
    pub(super) fn compare(&self, state: &Value) -> Vec<String> {
        let guarded: BTreeSet<&str> = list(&state["retryGuard"])
            .iter()
            .map(|entry| text(entry, "intentId"))
            .collect();
        let forgotten = self
            .guards
            .iter()
            .filter(|intent| !guarded.contains(intent.as_str()));
        let mut findings: Vec<String> = forgotten
            .map(|intent| format!("the retry guard of {intent} is lost"))
            .collect();
        for intent in guarded {
            let mut of_intent = self
                .dispatches
                .iter()
                .rev()
                .filter(|one| one.intent == intent);
            if !of_intent.any(|one| matches!(one.status(), "ambiguous" | "failed")) {
                findings.push(format!("{intent} is guarded for nothing"));
            }
        }
        let open = self.dispatches.iter().filter(|one| one.outcome.is_none());
        findings.extend(open.map(|one| format!("dispatch {} has no outcome", one.id)));
        findings
    }

    /// Checks an evaluation that policy has just made.
    pub(super) fn judge(&mut self, policy: &Value, rules: &Rules, now: i64) -> Vec<String> {
        let mut findings = Vec::new();
        let mut per_loop: BTreeMap<&str, u64> = BTreeMap::new();
        for candidate in list(&policy["candidates"]) {
            let (loop_id, category) = (text(candidate, "loopId"), text(candidate, "category"));
            let autonomous = &candidate["autonomous"];
            let id = text(candidate, "candidateId");
            let is_eligible = autonomous["eligible"] == true;
            let wrong = if is_eligible {
                *per_loop.entry(loop_id).or_default() += 1;
                let last = self.eligible_at.insert(id.to_owned(), now);
                let hot = last.is_some_and(|last| now - last < rules.cooldown);
                let suppressed = rules.suppresses(loop_id, category);
                rules
                    .objection(loop_id, category)
                    .or(suppressed.then_some("it is suppressed"))
                    .or(hot.then_some("it was eligible a moment ago"))
            } else {
                list(&autonomous["reasons"])
                    .is_empty()
                    .then_some("no reason is given")
            };
            if let Some(wrong) = wrong {
                findings.push(format!(
                    "eligible is {is_eligible} although {wrong}: {candidate}"
                ));
            }
        }
        let total: u64 = per_loop.values().sum();
        let most = per_loop.values().max().copied().unwrap_or(0);
        if total > rules.per_run || most > rules.per_loop {
            findings.push(format!(
                "{total} candidates are eligible, {most} of one loop"
            ));
        }
        findings
    }

    /// Intents that a person should look at: guarded ones.
    pub(super) fn guards(&self) -> &BTreeSet<String> {
        &self.guards
    }
}

/// The runs of these rows, each once.
fn runs(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter().map(run_of).collect()
}

fn run_of(row: &Value) -> &str {
    text(row, "handoffId")
}

/// What makes an evaluation the same one (decision D17).
fn evaluation(policy: &Value) -> String {
    format!("{} {}", text(policy, "traceId"), text(policy, "updatedAt"))
}

/// The candidate that `<loop>:<category>:<intent>` is about.
fn candidate_of<'a>(policy: &'a Value, intent: &str) -> Option<&'a Value> {
    let (candidate, _) = intent.rsplit_once(':')?;
    list(&policy["candidates"])
        .iter()
        .find(|one| text(one, "candidateId") == candidate)
}

/// The category of an intent id.
fn category(intent: &str) -> &str {
    intent.rsplit(':').nth(1).unwrap_or_default()
}

/// The items of a list; none if it is none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn registry() -> Value {
        json!({
            "loops": [{"loopId": "a"}],
            "policy": {
                "mode": "guarded_auto",
                "autonomous": {
                    "allow": {"categories": ["health_critical"]},
                    "safety": {"maxActionsPerRun": 1, "maxActionsPerLoop": 1},
                    "rollout": {"canaryPercent": 100},
                },
            },
        })
    }

    fn policy() -> Value {
        json!({"traceId": "t", "updatedAt": "now", "candidates": [{
            "candidateId": "a:health_critical", "suppressed": false,
            "autonomous": {"eligible": true},
        }]})
    }

    fn row(id: &str, phase: &str, mode: &str, status: &str) -> Value {
        json!({
            "dispatchId": id, "handoffId": format!("run of {id}"), "phase": phase, "mode": mode,
            "intentId": "a:health_critical:cancel", "loopId": "a", "status": status,
        })
    }

    fn taken(ledger: &mut Ledger, registry: &Value, rows: &[Value]) -> usize {
        let known = Known {
            rules: Rules::read(registry),
            turned: None,
            policy: policy(),
        };
        let added = Added {
            rows,
            before: 0,
            telemetry: &[],
        };
        ledger.take(&known, added).len()
    }

    #[test]
    fn what_went_wrong_is_guarded_until_a_person_has_done_it() {
        let mut ledger = Ledger::default();
        let autonomous = |id, status| {
            [
                row(id, "intent", "autonomous", ""),
                row(id, "outcome", "autonomous", status),
            ]
        };
        assert_eq!(
            taken(&mut ledger, &registry(), &autonomous("1", "ambiguous")),
            0
        );
        assert_eq!(
            taken(&mut ledger, &registry(), &autonomous("2", "failed")),
            1
        );
        let manual = [
            row("3", "intent", "manual", ""),
            row("3", "outcome", "manual", "executed"),
        ];
        assert_eq!(taken(&mut ledger, &registry(), &manual), 0);
        assert!(ledger.guards().is_empty());
        let repeated = taken(&mut ledger, &registry(), &autonomous("4", "executed"));
        assert_eq!(repeated, 1, "it is done in this evaluation");
    }

    #[test]
    fn nothing_is_dispatched_that_the_registry_forbids() {
        let mut killed = registry();
        killed["policy"]["autonomous"]["safety"]["killSwitch"] = json!(true);
        let rows = [row("1", "intent", "autonomous", "")];
        assert_eq!(taken(&mut Ledger::default(), &killed, &rows), 1);
        let manual = [row("1", "intent", "manual", "")];
        assert_eq!(taken(&mut Ledger::default(), &killed, &manual), 0);
    }

    #[test]
    fn every_dispatch_has_one_outcome() {
        let mut ledger = Ledger::default();
        let outcome = row("1", "outcome", "manual", "executed");
        assert_eq!(
            taken(&mut ledger, &registry(), std::slice::from_ref(&outcome)),
            1
        );
        taken(
            &mut ledger,
            &registry(),
            &[row("1", "intent", "manual", "")],
        );
        assert_eq!(ledger.compare(&json!({})).len(), 1);
        assert_eq!(
            taken(&mut ledger, &registry(), &[outcome.clone(), outcome]),
            1
        );
        assert_eq!(ledger.compare(&json!({})).len(), 0);
    }
}
