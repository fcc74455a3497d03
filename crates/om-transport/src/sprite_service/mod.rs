//! One observation of one loop through its sprite service (chapter 02 §2.4
//! step 2, decision D25).

mod events;

use std::fmt::Write;

use om_model::envelope::{CursorDocument, SchemaVersion, Source};
use om_model::json;
use om_model::{LoopId, TraceId};
use om_store::RepoLayout;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::error::{EventsError, ObserveError};
use crate::observe::{EventsRequest, Observe, ObservedEvents, SnapshotRequest};
use crate::service_client::ServiceClient;

/// Everything but the characters that are the same in every URL.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One observation of one loop over HTTP.
///
/// Every event envelope of an answer is checked, then dropped: memory is
/// bounded by the response
/// ([`MAX_RESPONSE_BYTES`](crate::service_client::MAX_RESPONSE_BYTES)) and two
/// envelopes.
#[derive(Clone, Debug)]
pub struct SpriteServiceTransport {
    client: ServiceClient,
    source: Source,
}

impl SpriteServiceTransport {
    /// Observes loop `loop_id` through `client`, for the manager's repository
    /// of `layout`, which the cursor names.
    pub fn new(client: ServiceClient, layout: &RepoLayout, loop_id: &LoopId) -> Self {
        Self {
            client,
            source: Source {
                repo_path: layout.repo().to_string_lossy().into_owned(),
                loop_id: loop_id.clone(),
            },
        }
    }

    /// GET `path?loopId=<id><rest>`.
    async fn get(
        &self,
        path: &str,
        rest: &str,
        trace_id: Option<&TraceId>,
    ) -> Result<Vec<u8>, ObserveError> {
        let loop_id = utf8_percent_encode(self.source.loop_id.as_str(), QUERY_VALUE);
        let path = format!("{path}?loopId={loop_id}{rest}");
        Ok(self.client.get(&path, trace_id).await?.body)
    }
}

impl Observe for SpriteServiceTransport {
    async fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Value, ObserveError> {
        let trace_id = request.context.trace_id.as_ref();
        let body = self.get("/ops/snapshot", "", trace_id).await?;
        match json::parse(&body) {
            Ok(snapshot @ Value::Object(_)) => Ok(snapshot),
            Ok(other) => Err(ObserveError::SnapshotShape(format!(
                "it is {}, expected an object",
                json::type_name(&other)
            ))),
            Err(error) => Err(ObserveError::SnapshotShape(error.to_string())),
        }
    }

    async fn events(&mut self, request: &EventsRequest) -> Result<ObservedEvents, EventsError> {
        let start = request.start.point().map_err(ObserveError::from)?;
        let mut rest = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            rest,
            "&cursor={}&maxEvents={}",
            start.offset, request.max_events
        );
        let body = self
            .get("/ops/events", &rest, request.trace_id.as_ref())
            .await?;
        let polled = events::read(&body, &self.source.loop_id)?;
        Ok(ObservedEvents {
            batch: polled.batch,
            cursor: CursorDocument {
                schema_version: SchemaVersion::V1,
                repo_path: self.source.repo_path.clone(),
                loop_id: self.source.loop_id.clone(),
                events_file: format!(".superloop/loops/{}/events.jsonl", self.source.loop_id),
                event_line_offset: polled.line_offset,
                event_line_count: polled.line_count,
                updated_at: request.now,
                log: None,
            },
        })
    }
}
