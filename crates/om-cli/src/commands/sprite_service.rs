//! `ops-manager-sprite-service` (chapter 03 §3.4.2).

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use om_http::Secret;
use om_model::json;
use om_service::{AccessLog, Scripts, ServiceConfig, asked_to_end, serve};
use tokio::net::TcpListener;

use crate::args::{environment, given};
use crate::command::{CommandLine, Logging, output_error};
use crate::error::CliError;

/// Where it listens if nothing is said.
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 8787;

/// Longest pause between two heartbeats, in seconds: a day.
const LONGEST_INTERVAL: u64 = 86_400;

/// Arguments of `ops-manager-sprite-service`.
#[derive(Args, Debug)]
pub struct SpriteService {
    /// Repository whose loops are served; symlinks are followed [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Address or name to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8787]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// What clients have to present; visible to whoever can list processes.
    /// An empty one turns the check off [default: $OPS_MANAGER_SERVICE_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Listen beyond this machine without a token
    #[arg(long)]
    insecure_no_token: bool,
    /// Folder with three scripts that replace the built-in stages
    /// [default: none]
    #[arg(long, value_name = "DIR")]
    scripts_dir: Option<String>,
    /// Write heartbeats of the running loop this often [default: never]
    #[arg(long, value_name = "SECONDS")]
    heartbeat_interval_seconds: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for SpriteService {
    const NAME: &'static str = "ops-manager-sprite-service";
    const SUMMARY: &'static str = "Serve the loops of one repository over HTTP";
    const ABOUT: &'static str = "Serve the loops of one repository over HTTP, beside their \
        runtime: snapshots, events and control intents.";
    const DETAILS: &'static str = "\
GET  /ops/snapshot?loopId=ID                       one loop at this moment
GET  /ops/events?loopId=ID&cursor=N&maxEvents=N    the events after a cursor
POST /ops/control                                  cancel, approve or reject
GET  /healthz, /readyz, /openapi.json

Clients present the token as Authorization: Bearer TOKEN or X-Ops-Token: TOKEN.
There is no TLS: put a reverse proxy in front of it, or listen on loopback.
Prints one line once it listens; one line per answer goes to stderr.

TERM, INT or HUP ends it: idle connections at once, running control intents when
they are done. A second signal ends it at once.

The folder of --scripts-dir has ops-manager-loop-run-snapshot.sh,
ops-manager-poll-events.sh and ops-manager-control.sh.

Examples:
  OPS_MANAGER_SERVICE_TOKEN=... ops-manager-sprite-service --repo /srv/app --host 0.0.0.0
  curl -H \"X-Ops-Token: $OPS_MANAGER_SERVICE_TOKEN\" \\
    'http://127.0.0.1:8787/ops/snapshot?loopId=nightly'

Exit codes: 0 ended when asked to; 1 it could not start (error: line on stderr,
nothing on stdout).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let port = self.port()?;
        let heartbeat_interval = self.heartbeat_interval()?;
        let config = ServiceConfig {
            token: self.token().map(Secret::new),
            scripts: self.scripts()?,
            heartbeat_interval,
            access_log: Some(AccessLog::stderr()),
            ..self.config()?
        };
        let host = given(self.host.as_ref()).unwrap_or(DEFAULT_HOST);
        let addresses = addresses(host, port)?;
        self.check_exposure(&config, &addresses)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let shutdown = asked_to_end()?;
            let listener = listen(host, port, &addresses).await?;
            let line = format!(
                "ops-manager sprite service listening on http://{}:{}",
                in_url(host),
                listener.local_addr()?.port()
            );
            writeln!(out, "{line}")
                .and_then(|()| out.flush())
                .map_err(|error| output_error(&error))?;
            serve(listener, config, shutdown).await?;
            Ok(0)
        })
    }
}

impl SpriteService {
    fn config(&self) -> Result<ServiceConfig, CliError> {
        let repo = given(self.repo.as_ref()).ok_or_else(|| {
            CliError::new("the following arguments are required: --repo (--repo is required)")
        })?;
        Ok(ServiceConfig::new(Path::new(repo))?.with_environment())
    }

    fn port(&self) -> Result<u16, CliError> {
        let Some(text) = &self.port else {
            return Ok(DEFAULT_PORT);
        };
        let number = json::digits_text(text)
            .ok_or_else(|| CliError::new(format!("--port: invalid int value: '{text}'")))?;
        u16::try_from(number)
            .map_err(|_| CliError::new(format!("--port: {text} is not from 0 to 65535")))
    }

    /// The flag, also if it is empty: that is how the variable is overridden.
    fn token(&self) -> Option<String> {
        let token = self.token.clone();
        let token = token.or_else(|| environment("OPS_MANAGER_SERVICE_TOKEN"));
        token.filter(|token| !token.is_empty())
    }

    fn scripts(&self) -> Result<Option<Scripts>, CliError> {
        let dir = given(self.scripts_dir.as_ref());
        let scripts = dir.map(|dir| Scripts::in_dir(Path::new(dir))).transpose()?;
        Ok(scripts)
    }

    fn heartbeat_interval(&self) -> Result<Option<Duration>, CliError> {
        let Some(text) = &self.heartbeat_interval_seconds else {
            return Ok(None);
        };
        let seconds = json::digits_text(text).filter(|n| (1..=LONGEST_INTERVAL).contains(n));
        let seconds = seconds.ok_or_else(|| {
            CliError::new(format!(
                "--heartbeat-interval-seconds must be an integer from 1 to {LONGEST_INTERVAL}"
            ))
        })?;
        Ok(Some(Duration::from_secs(seconds)))
    }

    /// Whoever can reach the service controls its loops: beyond this machine
    /// that takes a token, or somebody who says that it need not.
    fn check_exposure(
        &self,
        config: &ServiceConfig,
        addresses: &[SocketAddr],
    ) -> Result<(), CliError> {
        let exposed = addresses.iter().find(|address| !address.ip().is_loopback());
        match exposed {
            Some(address) if config.token.is_none() && !self.insecure_no_token => {
                Err(CliError::new(format!(
                    "refusing to listen on {} without a token: set OPS_MANAGER_SERVICE_TOKEN, or \
                     give --insecure-no-token if whoever can reach this address may control the \
                     loops",
                    address.ip()
                )))
            }
            _ => Ok(()),
        }
    }
}

fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, CliError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, port).to_socket_addrs();
    let found: Vec<SocketAddr> = found
        .map_err(|error| CliError::new(format!("--host {host}: {error}")))?
        .collect();
    if found.is_empty() {
        return Err(CliError::new(format!("--host {host}: it has no address")));
    }
    Ok(found)
}

async fn listen(host: &str, port: u16, addresses: &[SocketAddr]) -> Result<TcpListener, CliError> {
    TcpListener::bind(addresses)
        .await
        .map_err(|error| CliError::new(format!("cannot listen on {host}:{port}: {error}")))
}

/// A host as it stands in a URL.
fn in_url(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}
