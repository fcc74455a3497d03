//! From files and what is known to queue, state and rows. Pure (§2.4 steps
//! 5–8, §2.5).

use std::collections::BTreeSet;

use om_model::envelope::SchemaVersion;
use om_model::horizon::{
    BridgeReason, BridgeRow, BridgeState, BridgeStatus, BridgeSummary, Contract, ContractCode,
    Dedupe, EntryAutonomy, EntryStatus, FileCategory, FileRow, FileStatus, FileSummary,
    HorizonQueue, InvalidLine, QueueEntry, QueueSource, RowFiles, RunCategory, RunRow, StateFiles,
    StateSource, WatchedClaim,
};
use om_model::{Timestamp, TraceId, json};

use crate::envelope::{Envelope, LineContent, LineFault, read_line};
use crate::merge::{merged, queue_summary};
use crate::previous::{PreviousQueue, PreviousState};

/// `source` of every entry.
const ENTRY_SOURCE: &str = "horizon_outbox_contract_v1";

/// Most invalid lines of one file that are named.
const NAMED_LINES: usize = 100;

/// What a run is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// The queue before.
    pub queue: PreviousQueue,
    /// The state before; its `watched` are those that are still there.
    pub state: PreviousState,
    /// What is taken, in order.
    pub claims: Vec<Claim>,
    /// What is left for later, relative to the outbox.
    pub deferred: Vec<String>,
    /// Where everything is.
    pub places: Places,
}

/// Where everything is: absolute paths, as they are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where files come from.
    pub outbox_dir: String,
    /// Where they go.
    pub claims_dir: String,
    /// The queue.
    pub queue_file: String,
    /// The state.
    pub state_file: String,
    /// The journal.
    pub telemetry_file: String,
}

/// A file that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `<rel>.claim.<ns>.<pid>`.
    pub name: String,
    /// All of it that counts.
    pub bytes: Vec<u8>,
    /// Whether a line that can be no envelope stops the run; otherwise it
    /// breaks the contract.
    pub faults_stop: bool,
    /// Whether somebody may still have the file open, wherever it goes.
    pub is_watched: bool,
}

/// Time and identity of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Start of the run.
    pub now: Timestamp,
    /// Links what the run records.
    pub trace_id: TraceId,
}

/// What a run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// To be written.
    pub queue: HorizonQueue,
    /// To be written, and printed.
    pub state: BridgeState,
    /// To be appended.
    pub rows: Vec<BridgeRow>,
    /// What becomes of each claim, in order.
    pub verdicts: Vec<FileStatus>,
}

impl Evaluation {
    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self.state.status {
            BridgeStatus::Ok => 0,
            BridgeStatus::FailedContractValidation => 2,
        }
    }
}

/// A claim with a line that stops the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Position in [`Inputs::claims`].
    pub claim: usize,
    /// The first such line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: LineFault,
}

/// Evaluates a run; if a line stops it, the first one of every file with such
/// lines.
pub fn evaluate(inputs: &Inputs, context: &Context) -> Result<Evaluation, Vec<Fault>> {
    let mut known: BTreeSet<String> = &inputs.state.keys | &inputs.queue.keys;
    let mut faults = Vec::new();
    let mut files = Vec::with_capacity(inputs.claims.len());
    for (position, claim) in inputs.claims.iter().enumerate() {
        match read_claim(claim, &known) {
            Ok(file) => {
                if file.status() == FileStatus::Processed {
                    known.extend(file.new.iter().map(Envelope::key));
                }
                files.push(file);
            }
            Err((line, what)) => faults.push(Fault {
                claim: position,
                line,
                what,
            }),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let run = Run {
        inputs,
        context,
        files,
        known,
    };
    Ok(run.evaluation())
}

/// One file, read.
struct File<'a> {
    name: &'a str,
    summary: FileSummary,
    /// Of the last invalid line.
    code: Option<ContractCode>,
    invalid: Vec<InvalidLine>,
    new: Vec<Envelope>,
}

impl File<'_> {
    fn status(&self) -> FileStatus {
        match self.code {
            None => FileStatus::Processed,
            Some(_) => FileStatus::RejectedContract,
        }
    }

    /// Where it goes, relative to the claims folder.
    fn target(&self) -> String {
        claim_target(self.status(), self.name)
    }
}

/// Where a claim goes, relative to the claims folder.
pub(crate) fn claim_target(status: FileStatus, name: &str) -> String {
    match status {
        FileStatus::Processed => format!("processed/{name}"),
        FileStatus::RejectedContract => format!("rejected/{name}"),
    }
}

fn read_claim<'a>(
    claim: &'a Claim,
    known: &BTreeSet<String>,
) -> Result<File<'a>, (u64, LineFault)> {
    let mut file = File {
        name: &claim.name,
        summary: FileSummary::default(),
        code: None,
        invalid: Vec::new(),
        new: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    for line in lines(&claim.bytes) {
        file.summary.line_count += 1;
        let code = match read_line(line) {
            LineContent::Blank => continue,
            LineContent::Envelope(envelope) => {
                let key = envelope.key();
                if known.contains(&key) || !seen.insert(key) {
                    file.summary.duplicate_count += 1;
                } else {
                    file.summary.queued_count += 1;
                    file.new.push(envelope);
                }
                continue;
            }
            LineContent::Invalid(code) => code,
            LineContent::Fault(what) if claim.faults_stop => {
                return Err((file.summary.line_count, what));
            }
            LineContent::Fault(LineFault::Several) => ContractCode::InvalidJson,
            LineContent::Fault(LineFault::NoObject { .. }) => ContractCode::RequiredFieldMissing,
        };
        file.summary.invalid_count += 1;
        file.code = Some(code);
        if file.invalid.len() < NAMED_LINES {
            file.invalid.push(InvalidLine {
                line: file.summary.line_count,
                reason_code: code,
            });
        }
    }
    Ok(file)
}

/// Lines without their newlines; the last one needs none.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let count = if bytes.is_empty() { 0 } else { usize::MAX };
    whole.split(|byte| *byte == b'\n').take(count)
}

struct Run<'a> {
    inputs: &'a Inputs,
    context: &'a Context,
    files: Vec<File<'a>>,
    known: BTreeSet<String>,
}

impl Run<'_> {
    fn evaluation(self) -> Evaluation {
        let queue = self.queue();
        let summary = self.summary(&queue);
        let state = self.state(summary);
        let mut rows: Vec<BridgeRow> = self.files.iter().map(|file| self.file_row(file)).collect();
        rows.push(self.run_row(&state));
        Evaluation {
            queue,
            state,
            rows,
            verdicts: self.files.iter().map(File::status).collect(),
        }
    }

    fn processed(&self) -> impl Iterator<Item = &File<'_>> {
        let files = self.files.iter();
        files.filter(|file| file.status() == FileStatus::Processed)
    }

    fn names(&self, status: FileStatus) -> Vec<String> {
        let files = self.files.iter().filter(|file| file.status() == status);
        files.map(|file| file.name.to_owned()).collect()
    }

    fn source(&self) -> StateSource {
        StateSource {
            outbox_dir: self.inputs.places.outbox_dir.clone(),
            claims_dir: self.inputs.places.claims_dir.clone(),
        }
    }

    fn queue(&self) -> HorizonQueue {
        let new = self.processed().flat_map(|file| {
            let entry = |envelope| json::to_value(&self.entry(envelope, file.name));
            file.new.iter().map(entry)
        });
        let entries = self.inputs.queue.entries.iter().cloned();
        let intents = merged(entries.chain(new));
        let (summary, reason) = queue_summary(&intents);
        HorizonQueue {
            schema_version: SchemaVersion::V1,
            generated_at: self.context.now,
            updated_at: self.context.now,
            trace_id: self.context.trace_id.clone(),
            source: QueueSource {
                folders: self.source(),
                contract: Contract::V1,
            },
            intents,
            summary,
            reason_codes: [reason],
        }
    }

    fn entry(&self, envelope: &Envelope, claim: &str) -> QueueEntry {
        QueueEntry {
            intent_id: envelope.intent_id(),
            packet_id: envelope.packet_id.clone(),
            trace_id: envelope.trace_id.clone(),
            recipient: envelope.recipient.clone(),
            intent: envelope.intent.clone(),
            status: EntryStatus::PendingOperatorConfirmation.as_str().to_owned(),
            requires_operator_confirmation: true,
            autonomous: EntryAutonomy::default(),
            source: ENTRY_SOURCE.to_owned(),
            source_file: claim.to_owned(),
            evidence_refs: envelope.evidence_refs.clone(),
            created_at: self.context.now,
            updated_at: self.context.now,
            execution: None,
        }
    }

    fn summary(&self, queue: &HorizonQueue) -> BridgeSummary {
        let claimed = self.files.len() as u64;
        let processed = self.processed().count() as u64;
        let sum = |count: fn(&FileSummary) -> u64| {
            let counts = self.processed().map(|file| count(&file.summary));
            counts.sum()
        };
        BridgeSummary {
            claimed_file_count: claimed,
            processed_file_count: processed,
            rejected_file_count: claimed - processed,
            queued_envelope_count: sum(|file| file.queued_count),
            duplicate_envelope_count: sum(|file| file.duplicate_count),
            invalid_envelope_count: self
                .files
                .iter()
                .map(|file| file.summary.invalid_count)
                .sum(),
            pending_confirmation_count: queue.summary.pending_confirmation_count,
        }
    }

    fn state(&self, summary: BridgeSummary) -> BridgeState {
        let keys: Vec<String> = self.known.iter().cloned().collect();
        let places = &self.inputs.places;
        BridgeState {
            schema_version: SchemaVersion::V1,
            generated_at: self.context.now,
            updated_at: self.context.now,
            trace_id: self.context.trace_id.clone(),
            status: if summary.rejected_file_count == 0 {
                BridgeStatus::Ok
            } else {
                BridgeStatus::FailedContractValidation
            },
            contract: Contract::V1,
            source: self.source(),
            files: StateFiles {
                queue_file: places.queue_file.clone(),
                state_file: places.state_file.clone(),
                telemetry_file: places.telemetry_file.clone(),
                claimed: self.files.iter().map(|file| file.name.to_owned()).collect(),
                processed: self.names(FileStatus::Processed),
                rejected: self.names(FileStatus::RejectedContract),
                deferred: self.inputs.deferred.clone(),
            },
            summary,
            dedupe: Dedupe {
                key_count: keys.len() as u64,
                keys,
            },
            reason_codes: reasons(&summary),
            observed: self.inputs.state.observed.clone(),
            watched: self.watched(),
        }
    }

    /// Files that are looked at again by the next runs.
    fn watched(&self) -> Vec<WatchedClaim> {
        let claims = self.inputs.claims.iter().zip(&self.files);
        let new = claims
            .filter(|(claim, _)| claim.is_watched)
            .map(|(claim, file)| WatchedClaim {
                file: file.target(),
                bytes: claim.bytes.len() as u64,
                since: self.context.now,
            });
        self.inputs
            .state
            .watched
            .iter()
            .cloned()
            .chain(new)
            .collect()
    }

    fn file_row(&self, file: &File<'_>) -> BridgeRow {
        BridgeRow::File(FileRow {
            timestamp: self.context.now,
            category: FileCategory::Only,
            trace_id: self.context.trace_id.clone(),
            status: file.status(),
            source_file: file.name.to_owned(),
            claim_target: file.target(),
            summary: file.summary,
            reason_codes: file.code.into_iter().collect(),
            invalid_lines: file.invalid.clone(),
        })
    }

    fn run_row(&self, state: &BridgeState) -> BridgeRow {
        BridgeRow::Run(RunRow {
            timestamp: self.context.now,
            category: RunCategory::Only,
            trace_id: self.context.trace_id.clone(),
            status: state.status,
            contract: Contract::V1,
            files: RowFiles {
                state_file: state.files.state_file.clone(),
                queue_file: state.files.queue_file.clone(),
                telemetry_file: state.files.telemetry_file.clone(),
            },
            summary: state.summary,
            reason_codes: state.reason_codes.clone(),
        })
    }
}

/// §2.7, sorted.
fn reasons(summary: &BridgeSummary) -> Vec<BridgeReason> {
    let mut reasons: Vec<BridgeReason> = [
        (summary.claimed_file_count > 0, BridgeReason::ClaimedFiles),
        (
            summary.rejected_file_count > 0,
            BridgeReason::ContractValidationFailed,
        ),
        (
            summary.duplicate_envelope_count > 0,
            BridgeReason::DuplicatesSkipped,
        ),
        (summary.claimed_file_count == 0, BridgeReason::NoOutboxFiles),
        (
            summary.queued_envelope_count > 0,
            BridgeReason::QueueUpdated,
        ),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| holds.then_some(reason))
    .collect();
    reasons.sort_unstable();
    reasons
}
