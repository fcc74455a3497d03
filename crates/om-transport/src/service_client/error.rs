//! Why a service gave no usable answer.

use om_http::HttpError;

/// Why a service gave no usable answer. No message contains the token or the
/// credentials of the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The built-in client gave up: the contract's one line.
    #[error("service request failed (method={method} url={url} code={}): {text}", code(*status))]
    Request {
        /// `GET` or `POST`.
        method: &'static str,
        /// Where it went, without credentials.
        url: String,
        /// The last attempt's status; `None` if there was no complete
        /// response (`000` in the message).
        status: Option<u16>,
        /// The last lines of the response, or why there is none.
        text: String,
        /// How often it was sent.
        attempts: u64,
        /// Whether any attempt may have reached the service.
        may_have_been_sent: bool,
    },
    /// The client hook failed.
    #[error("{output}")]
    Hook {
        /// Its exit code, not 0.
        exit_code: i32,
        /// What it printed: both streams for a GET, stderr for a POST.
        output: String,
    },
    /// There is no client to send with.
    #[error(transparent)]
    Setup(#[from] HttpError),
    /// The body cannot be handed to the hook.
    #[error("cannot write the request for the service client hook: {0}")]
    BodyFile(String),
}

impl ServiceError {
    /// The exit code of the client stage.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Hook { exit_code, .. } => *exit_code,
            Self::Request { .. } | Self::Setup(_) | Self::BodyFile(_) => 1,
        }
    }

    /// Whether the service may have received the request. A hook does not
    /// say, so it may.
    pub fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Request {
                may_have_been_sent, ..
            } => *may_have_been_sent,
            Self::Hook { .. } => true,
            Self::Setup(_) | Self::BodyFile(_) => false,
        }
    }

    /// What the client stage printed, or would have printed, when it failed.
    pub fn printed(&self) -> String {
        match self {
            Self::Hook { output, .. } => output.clone(),
            Self::Request { .. } | Self::Setup(_) | Self::BodyFile(_) => format!("error: {self}"),
        }
    }
}

fn code(status: Option<u16>) -> String {
    status.map_or_else(|| "000".to_owned(), |status| status.to_string())
}
