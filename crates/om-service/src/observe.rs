//! `GET /ops/snapshot` and `GET /ops/events`.

use std::sync::Arc;

use om_model::TraceId;
use om_model::service::ServiceErrorCode;
use om_transport::ObserveError;

use crate::app::App;
use crate::query::Query;
use crate::reply::{Refusal, Reply};
use crate::seen::EventsAfter;

/// One loop at this moment.
pub(crate) async fn snapshot(
    app: &Arc<App>,
    query: Query<'_>,
    trace_id: Option<TraceId>,
) -> Result<Reply, Refusal> {
    let loop_id = query.loop_id()?;
    let document = app.read(move |app| match &app.config.scripts {
        Some(scripts) => scripts.snapshot(app, &loop_id, trace_id.as_ref()),
        None => app
            .seen
            .snapshot(&app.layout, &loop_id, App::now(), trace_id.as_ref())
            .map_err(|error| unobserved(&error)),
    });
    Ok(Reply::text(200, document.await??))
}

/// The events after a cursor.
pub(crate) async fn events(
    app: &Arc<App>,
    query: Query<'_>,
    trace_id: Option<TraceId>,
) -> Result<Reply, Refusal> {
    let loop_id = query.loop_id()?;
    let after = EventsAfter {
        cursor: query.count("cursor")?,
        max_events: query.count("maxEvents")?,
        trace_id,
    };
    let document = app.read(move |app| match &app.config.scripts {
        Some(scripts) => scripts.events(app, &loop_id, &after),
        None => app
            .seen
            .events(&app.layout, &loop_id, App::now(), &after)
            .map_err(|error| unobserved(&error)),
    });
    Ok(Reply::text(200, document.await??))
}

/// The stage's own command would have printed this.
fn unobserved(error: &ObserveError) -> Refusal {
    Refusal::new(ServiceErrorCode::RuntimeError, error.failure_message())
}
