//! The built-in client: one request, several attempts.

use om_http::{
    Client, HttpError, Limits, Oversize, Request, Response, Secrets, Url, is_header_text,
};
use om_stage::{FAILURE_TAIL_LINES, last_lines};

use super::verdict::{self, Verdict};
use super::{Answer, Call, Idempotent, MAX_RESPONSE_BYTES, ServiceError, ServiceSettings};

/// Bytes at the end of a refusal that its last lines are taken from: a line
/// without an end must not become a message of megabytes.
const TAIL_BYTES: usize = 64 << 10;

/// Sends requests over HTTP.
#[derive(Clone, Debug)]
pub(super) struct BuiltIn {
    http: Client,
}

/// One attempt that gave no answer.
struct Failure {
    status: Option<u16>,
    text: String,
    may_have_been_sent: bool,
    is_transient: bool,
    retry_after: Option<std::time::Duration>,
}

impl BuiltIn {
    pub(super) fn new(settings: &ServiceSettings) -> Result<Self, ServiceError> {
        let http = Client::new(Limits {
            connect_timeout: settings.connect_timeout,
            total_timeout: settings.attempt_timeout,
            max_body_bytes: MAX_RESPONSE_BYTES,
            oversize: Oversize::Fail,
        })?;
        Ok(Self { http })
    }

    pub(super) async fn send(
        &self,
        settings: &ServiceSettings,
        call: Call<'_>,
    ) -> Result<Answer, ServiceError> {
        let give_up = |failure: Failure, attempts: u64, was_sent: bool| ServiceError::Request {
            method: call.method(),
            url: settings.shown_url(call.path),
            status: failure.status,
            text: failure.text,
            attempts,
            may_have_been_sent: was_sent,
        };
        let request = match request(settings, call) {
            Ok(request) => request,
            Err(error) => {
                let failure = Failure::no_response(&error, &settings.secrets());
                return Err(give_up(failure, 0, false));
            }
        };
        let mut was_sent = false;
        let mut number = 1;
        loop {
            let failure = match self.attempt(&request, settings).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            was_sent |= failure.may_have_been_sent;
            let repeat = failure.is_transient
                && may_repeat(call, was_sent)
                && settings.retry.has_another(number);
            if !repeat {
                return Err(give_up(failure, number, was_sent));
            }
            let pause = settings
                .retry
                .pause(number, failure.retry_after, fastrand::f64());
            tracing::info!(number, status = ?failure.status, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            number += 1;
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        settings: &ServiceSettings,
    ) -> Result<Answer, Failure> {
        let response = match self.http.send(request).await {
            Ok(response) => response,
            Err(error) => return Err(Failure::no_response(&error, &settings.secrets())),
        };
        match verdict::of(response.status, &response.body) {
            Verdict::Answer => Ok(Answer {
                body: response.body,
                diagnostics: Vec::new(),
            }),
            verdict => {
                let is_transient = verdict == Verdict::Repeat;
                let secrets = settings.secrets();
                Err(Failure::refused(&response, is_transient, &secrets))
            }
        }
    }
}

impl Failure {
    fn no_response(error: &HttpError, secrets: &Secrets) -> Self {
        Self {
            status: None,
            text: secrets.redact(&error.to_string()).into_owned(),
            may_have_been_sent: error.may_have_been_sent(),
            is_transient: error.kind().is_transient(),
            retry_after: None,
        }
    }

    fn refused(response: &Response, is_transient: bool, secrets: &Secrets) -> Self {
        Self {
            status: Some(response.status),
            text: tail(&response.body, secrets),
            may_have_been_sent: true,
            is_transient,
            retry_after: response.retry_after(),
        }
    }
}

/// The last lines of what a server said, without the secrets that it was
/// told: removed first, because a cut through one would leave a part of it.
fn tail(body: &[u8], secrets: &Secrets) -> String {
    let clean = match body.len().checked_sub(TAIL_BYTES) {
        None | Some(0) => secrets.clean(body),
        Some(from) => secrets.clean_end(&body[from..]),
    };
    last_lines(clean.as_bytes(), FAILURE_TAIL_LINES)
}

/// Whether `call` may go out once more. What may be executed twice is only
/// repeated if the service can tell (decision D13).
fn may_repeat(call: Call<'_>, was_sent: bool) -> bool {
    match call.body {
        None | Some((_, Idempotent::Yes)) => true,
        Some((_, Idempotent::No)) => !was_sent,
    }
}

fn request(settings: &ServiceSettings, call: Call<'_>) -> Result<Request, HttpError> {
    let url = Url::parse(&settings.url(call.path))?;
    let mut request = match call.body {
        None => Request::get(url),
        Some((body, _)) => Request::post(url, body).header("Content-Type", "application/json")?,
    };
    request = request.header("Accept", "application/json")?;
    if let Some(token) = settings.token() {
        let bearer = om_http::Secret::new(format!("Bearer {}", token.expose()));
        request = request
            .secret_header("Authorization", &bearer)?
            .secret_header("X-Ops-Token", token)?;
    }
    // Any text links artifacts; only some texts fit a header.
    match call.trace_id.filter(|id| is_header_text(id.as_str())) {
        Some(trace_id) => request.header("X-Trace-Id", trace_id.as_str()),
        None => Ok(request),
    }
}
