//! What is wrong in a fleet (chapter 06 §1.4.1).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use om_model::Timestamp;
use om_model::alerts::Severity;
use om_model::control::Intent;
use om_model::drift::Confidence;
use om_model::fleet::policy::{Signal, TaxonomyEntry};
use om_model::fleet::registry::Category;
use om_model::json::WrongType;

use crate::fleet::ResultView;

/// One thing that can be wrong, how it shows, and what to do about it.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What is wrong.
    pub category: Category,
    /// What shows it.
    pub signal: Signal,
    /// How bad.
    pub severity: Severity,
    /// How certain.
    pub confidence: Confidence,
    /// In words.
    pub rationale: &'static str,
    /// What to do about it.
    pub intent: Option<Intent>,
    /// Whether a result shows it.
    shows: fn(&ResultView) -> bool,
}

/// Everything that can be wrong, in the order of the document.
pub const TAXONOMY: [Kind; 3] = [
    Kind {
        category: Category::ReconcileFailed,
        signal: Signal::StatusFailed,
        severity: Severity::Critical,
        confidence: Confidence::High,
        rationale: "Loop reconcile failed in fleet fan-out",
        intent: Some(Intent::Cancel),
        shows: |result| result.failed,
    },
    Kind {
        category: Category::HealthCritical,
        signal: Signal::HealthCritical,
        severity: Severity::Critical,
        confidence: Confidence::High,
        rationale: "Loop health is critical",
        intent: Some(Intent::Cancel),
        shows: |result| result.health_status == "critical",
    },
    Kind {
        category: Category::HealthDegraded,
        signal: Signal::HealthDegraded,
        severity: Severity::Warning,
        confidence: Confidence::Medium,
        rationale: "Loop health is degraded",
        intent: Some(Intent::Cancel),
        shows: |result| result.health_status == "degraded",
    },
];

impl Kind {
    /// The kind of `category`.
    pub fn of(category: Category) -> &'static Self {
        let [failed, critical, degraded] = const { &TAXONOMY };
        match category {
            Category::ReconcileFailed => failed,
            Category::HealthCritical => critical,
            Category::HealthDegraded => degraded,
        }
    }

    /// Its entry in the document.
    pub fn entry(&self) -> TaxonomyEntry {
        TaxonomyEntry {
            category: self.category,
            severity: self.severity,
            confidence: self.confidence,
        }
    }
}

/// Something wrong with a loop, before anything is decided about it.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// The loop.
    pub loop_id: &'a str,
    /// What is wrong.
    pub kind: &'static Kind,
    /// The loop's result.
    pub result: &'a ResultView,
}

impl Finding<'_> {
    /// `<loopId>:<category>`
    pub fn candidate_id(&self) -> String {
        format!("{}:{}", self.loop_id, self.kind.category.as_str())
    }
}

/// All findings, by loop id and category. If a loop stands in `results`
/// twice, the first finding of a category is kept.
pub fn derive(results: &[ResultView]) -> Result<Vec<Finding<'_>>, WrongType> {
    let mut findings = BTreeMap::new();
    for result in results {
        for kind in TAXONOMY.iter().filter(|kind| (kind.shows)(result)) {
            let loop_id = result.named()?;
            if let Entry::Vacant(place) = findings.entry((loop_id, kind.category)) {
                place.insert(Finding {
                    loop_id,
                    kind,
                    result,
                });
            }
        }
    }
    Ok(findings.into_values().collect())
}

/// Each finding's rank, 1 being the first to look at: the most severe, then
/// the most certain, then the one seen last (old evidence is worth less; none
/// with a time comes last), then by loop id (decision D30).
pub fn ranks(findings: &[Finding<'_>]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..findings.len()).collect();
    // Stable: findings are in the order of loop id and category.
    order.sort_by_key(|at| {
        let finding = &findings[*at];
        let seen: Option<Timestamp> = finding.result.timestamp;
        Reverse((finding.kind.severity, finding.kind.confidence, seen))
    });
    let mut ranks = vec![0; findings.len()];
    for (rank, at) in (1..).zip(order) {
        ranks[at] = rank;
    }
    ranks
}
