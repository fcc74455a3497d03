//! Trace ids, one per plane, and the two rules by which they agree
//! (chapter 03 §3.5.4, §3.5.5, §3.5.7).

use om_model::status::{TraceLinkage, TraceVisibility};
use serde_json::Value;

use super::StatusError;
use super::sources::{Sources, first_of};

/// Trace ids as far as known.
pub(super) struct Traces {
    pub(super) control: Option<Value>,
    pub(super) invocation: Option<Value>,
    pub(super) reconcile: Option<Value>,
    pub(super) heartbeat: Option<Value>,
    pub(super) sequence: Option<Value>,
    pub(super) alert: Option<Value>,
}

impl Traces {
    pub(super) fn gather(sources: &Sources<'_>) -> Result<Self, StatusError> {
        const MEMBER: &str = "traceId";
        Ok(Self {
            control: first_of(&[(&sources.intents, MEMBER), (&sources.control, MEMBER)])?,
            invocation: sources.invocation.get(MEMBER)?,
            reconcile: sources.reconcile.get(MEMBER)?,
            heartbeat: first_of(&[
                (&sources.heartbeat, MEMBER),
                (&sources.heartbeat_row, MEMBER),
            ])?,
            sequence: first_of(&[(&sources.sequence, MEMBER), (&sources.sequence_row, MEMBER)])?,
            alert: first_of(&[(&sources.alert, MEMBER), (&sources.alert_dispatch, MEMBER)])?,
        })
    }

    /// For `visibility.trace`: shared if all known ones but the invocation's
    /// are equal.
    pub(super) fn visibility(&self) -> TraceVisibility {
        let mut known = [
            &self.control,
            &self.reconcile,
            &self.alert,
            &self.heartbeat,
            &self.sequence,
        ]
        .into_iter()
        .flatten();
        let first = known.next();
        TraceVisibility {
            control_trace_id: self.control.clone(),
            control_invocation_trace_id: self.invocation.clone(),
            reconcile_trace_id: self.reconcile.clone(),
            heartbeat_trace_id: self.heartbeat.clone(),
            sequence_trace_id: self.sequence.clone(),
            alert_trace_id: self.alert.clone(),
            shared_trace_id: first
                .filter(|first| known.all(|other| other == *first))
                .cloned(),
        }
    }

    /// For `traceLinkage`: shared if pass and alert agree, and control with
    /// them if it is known.
    pub(super) fn linkage(&self) -> TraceLinkage {
        let control_agrees = self.control.is_none() || self.control == self.reconcile;
        let shared = self.reconcile == self.alert && control_agrees;
        TraceLinkage {
            control_trace_id: self.control.clone(),
            control_invocation_trace_id: self.invocation.clone(),
            reconcile_trace_id: self.reconcile.clone(),
            heartbeat_trace_id: self.heartbeat.clone(),
            sequence_trace_id: self.sequence.clone(),
            alert_trace_id: self.alert.clone(),
            shared_trace_id: self.reconcile.clone().filter(|_| shared),
        }
    }
}
