//! Requests to a sprite service (chapter 03 §3.3, decision D13).
//!
//! [`ServiceClient`] is what control and reconcile talk to: built in over
//! `om-http`, or the executable of `OPS_MANAGER_SERVICE_CLIENT_SCRIPT`.

mod built_in;
mod error;
mod hook;
mod verdict;

use std::time::Duration;

use om_http::{Backoff, Secret, Secrets, credentials, redact, shown};
use om_model::TraceId;
use om_stage::{DEFAULT_TIME_LIMIT, Hook};

pub use error::ServiceError;

use self::built_in::BuiltIn;
use self::hook::HookClient;

/// Longest response that is read, in bytes: 256 MiB.
pub const MAX_RESPONSE_BYTES: usize = 256 << 20;

/// The hook that replaces the client.
pub const HOOK_VARIABLE: &str = "OPS_MANAGER_SERVICE_CLIENT_SCRIPT";

/// Shorter tokens, in bytes, occur in any URL by chance.
const RECOGNISABLE: usize = 6;

/// Which service, and how patiently.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Base URL; one trailing slash is ignored. May carry credentials.
    pub base_url: Secret,
    /// Shared token; `None` or empty sends none.
    pub token: Option<Secret>,
    /// Attempts, and the pauses between them.
    pub retry: Backoff,
    /// For name, connection and TLS of one attempt; `None` leaves it to
    /// `attempt_timeout`.
    pub connect_timeout: Option<Duration>,
    /// For one attempt as a whole; `None` is unlimited.
    pub attempt_timeout: Option<Duration>,
    /// For a hook as a whole, whose attempts are its own business; `None` is
    /// unlimited.
    pub hook_timeout: Option<Duration>,
    /// Attempts and pauses as somebody typed them: a hook's argv.
    pub typed: TypedRetry,
}

/// Numbers as somebody typed them: that is how a hook is told (common rules).
/// What nobody typed is told as the number that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedRetry {
    /// `--retry-attempts`
    pub attempts: Option<String>,
    /// `--retry-backoff-seconds`
    pub seconds: Option<String>,
}

impl ServiceSettings {
    /// The defaults of chapter 03 §3.3.2: no token, 3 attempts with 1 s
    /// back-off, 5 s to connect, 30 s per attempt; a hook gets what every
    /// stage gets.
    pub fn new(base_url: Secret) -> Self {
        Self {
            base_url,
            token: None,
            retry: Backoff {
                attempts: 3,
                seconds: 1,
            },
            connect_timeout: Some(Duration::from_secs(5)),
            attempt_timeout: Some(Duration::from_secs(30)),
            hook_timeout: Some(DEFAULT_TIME_LIMIT),
            typed: TypedRetry::default(),
        }
    }

    /// Where a request for `path` goes, fit for artifacts and messages:
    /// without credentials, without a query in the base URL, and without the
    /// token should it be in there.
    pub fn shown_url(&self, path: &str) -> String {
        let shown = format!("{}{path}", shown(self.base()));
        match self.token() {
            Some(token) if token.expose().len() >= RECOGNISABLE => redact(&shown, &[token]),
            _ => shown,
        }
    }

    /// The base URL without one trailing slash, then `path` verbatim.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    fn base(&self) -> &str {
        let base = self.base_url.expose();
        base.strip_suffix('/').unwrap_or(base)
    }

    fn token(&self) -> Option<&Secret> {
        self.token.as_ref().filter(|token| !token.is_empty())
    }

    /// All that the service, or a hook, is told and nobody else may learn: to
    /// be removed from what they say.
    pub fn secrets(&self) -> Secrets {
        let credentials = credentials(self.base_url.expose());
        Secrets::new(credentials.into_iter().chain(self.token().cloned()))
    }
}

/// Whether the service recognises a repetition of a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotent {
    /// The body has an `idempotencyKey`: it may be sent again.
    Yes,
    /// It has none: what may have arrived is never sent again.
    No,
}

/// What a service said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The body, unchanged; may be empty.
    pub body: Vec<u8>,
    /// What a hook printed on stderr beside a response to a POST, for this
    /// command's own stderr; the built-in client is silent.
    pub diagnostics: Vec<u8>,
}

/// A client of one sprite service.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    settings: ServiceSettings,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    BuiltIn(BuiltIn),
    Hook(HookClient),
}

/// One request.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    path: &'a str,
    trace_id: Option<&'a TraceId>,
    /// `None` is a GET.
    body: Option<(&'a [u8], Idempotent)>,
}

impl Call<'_> {
    fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }
}

impl ServiceClient {
    /// The client for `settings`: `hook` ([`HOOK_VARIABLE`]) if there is one.
    pub fn new(settings: ServiceSettings, hook: Option<Hook>) -> Result<Self, ServiceError> {
        let stage = match hook {
            Some(hook) => Stage::Hook(HookClient::new(hook)),
            None => Stage::BuiltIn(BuiltIn::new(&settings)?),
        };
        Ok(Self { settings, stage })
    }

    /// The same client, whose hook is told these numbers as they were typed.
    #[must_use]
    pub fn with_typed(mut self, typed: TypedRetry) -> Self {
        self.settings.typed = typed;
        self
    }

    /// Where, and how patiently.
    pub fn settings(&self) -> &ServiceSettings {
        &self.settings
    }

    /// GET `path`, which includes its query. A hook's two streams together
    /// are the body (chapter 02 §2.7).
    pub async fn get(
        &self,
        path: &str,
        trace_id: Option<&TraceId>,
    ) -> Result<Answer, ServiceError> {
        self.send(Call {
            path,
            trace_id,
            body: None,
        })
        .await
    }

    /// POST `body`, one JSON document, to `path`.
    pub async fn post(
        &self,
        path: &str,
        body: &[u8],
        trace_id: Option<&TraceId>,
        idempotent: Idempotent,
    ) -> Result<Answer, ServiceError> {
        self.send(Call {
            path,
            trace_id,
            body: Some((body, idempotent)),
        })
        .await
    }

    async fn send(&self, call: Call<'_>) -> Result<Answer, ServiceError> {
        match &self.stage {
            Stage::BuiltIn(client) => client.send(&self.settings, call).await,
            Stage::Hook(client) => client.send(&self.settings, call).await,
        }
    }
}
