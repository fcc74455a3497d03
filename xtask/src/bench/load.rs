//! Load on a server, and a bare server to compare with: each a process of its
//! own, this program under a hidden task.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::http::{self, Connection};
use crate::error::Error;

/// Which load to put on a server.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Host and port.
    #[arg(long)]
    address: String,
    /// Path and query of every request.
    #[arg(long)]
    target: String,
    /// Connections, each with one request at a time.
    #[arg(long)]
    connections: usize,
    /// For how long.
    #[arg(long)]
    seconds: u64,
}

/// What a bare server answers.
#[derive(Args)]
pub(crate) struct BareServerArgs {
    /// The body of every answer.
    #[arg(long)]
    body: PathBuf,
}

/// What became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadResult {
    /// Answers with status 200.
    pub(super) answered: u64,
    /// Everything else.
    pub(super) failed: u64,
    /// Answers per second.
    pub(super) rate: u64,
    /// 99 of 100 answers were faster.
    pub(super) p99: Duration,
}

/// The hidden task that puts load on a server and prints what became of it.
pub(crate) fn generate(args: &LoadArgs) -> Result<(), Error> {
    let start = Instant::now();
    let deadline = start + Duration::from_secs(args.seconds);
    let connections: Vec<_> = (0..args.connections)
        .map(|_| {
            let request = http::get(&args.address, &args.target);
            let address = args.address.clone();
            thread::spawn(move || ask_until(deadline, &address, &request))
        })
        .collect();
    let mut failed = 0;
    let mut times = Vec::new();
    for connection in connections {
        let panicked = |_| Error::Bench("a connection of the load generator panicked".to_owned());
        let asked = connection.join().map_err(panicked)?;
        times.extend(asked.times);
        failed += asked.failed;
    }
    let elapsed = start.elapsed();
    times.sort_unstable();
    let answered = times.len() as u64;
    let p99 = times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default();
    let document = json!({
        "answered": answered,
        "failed": failed,
        "rate": answered * 1_000 / u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1),
        "p99Micros": u64::try_from(p99.as_micros()).unwrap_or(u64::MAX),
    });
    println!("{document}");
    Ok(())
}

/// What one connection saw.
#[derive(Default)]
struct Asked {
    times: Vec<Duration>,
    failed: u64,
}

/// One request after the other. A connection that breaks is a failure, and is
/// not opened again.
fn ask_until(deadline: Instant, address: &str, request: &[u8]) -> Asked {
    let mut asked = Asked::default();
    let Ok(mut connection) = Connection::open(address) else {
        asked.failed = 1;
        return asked;
    };
    loop {
        let start = Instant::now();
        if start >= deadline {
            return asked;
        }
        match connection.exchange(request) {
            Ok(answer) if answer.is_ok() => asked.times.push(start.elapsed()),
            Ok(_) => asked.failed += 1,
            Err(_) => {
                asked.failed += 1;
                return asked;
            }
        }
    }
}

/// The hidden task that answers every request with the same bytes, until it
/// is killed.
pub(crate) fn serve(args: &BareServerArgs) -> Result<(), Error> {
    let body = std::fs::read(&args.body).map_err(Error::file("read", &args.body))?;
    let response = http::response(&body);
    let listen = || -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("http://{}", listener.local_addr()?);
        io::stdout().flush()?;
        loop {
            let mut connection = Connection::over(listener.accept()?.0)?;
            let response = response.clone();
            thread::spawn(move || {
                while connection.receive().is_ok() && connection.send(&response).is_ok() {}
            });
        }
    };
    listen().map_err(|error| Error::Bench(format!("the bare server: {error}")))
}

/// Puts load on `address` from a process of its own.
pub(super) fn load(
    address: &str,
    target: &str,
    connections: usize,
    seconds: u64,
) -> Result<LoadResult, Error> {
    let (connections, seconds) = (connections.to_string(), seconds.to_string());
    let mut command = this_program("load")?;
    command.args(["--address", address, "--target", target]);
    command.args(["--connections", &connections, "--seconds", &seconds]);
    let output = crate::workspace::captured(&mut command)?;
    result(&output).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output).into_owned();
        Error::Bench(format!("the load generator printed {said:?}"))
    })
}

fn result(output: &[u8]) -> Option<LoadResult> {
    let document: Value = serde_json::from_slice(output).ok()?;
    let number = |name: &str| document[name].as_u64();
    Some(LoadResult {
        answered: number("answered")?,
        failed: number("failed")?,
        rate: number("rate")?,
        p99: Duration::from_micros(number("p99Micros")?),
    })
}

/// This program with a hidden task.
pub(super) fn this_program(task: &str) -> Result<Command, Error> {
    let program = std::env::current_exe()
        .map_err(|error| Error::Bench(format!("where this program is: {error}")))?;
    let mut command = Command::new(program);
    command.arg(task).stdin(Stdio::null());
    Ok(command)
}

/// A server in a process of its own; ends with this value.
pub(crate) struct Server {
    process: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Server {
    /// A server that answers everything with `body`, from memory.
    pub(super) fn bare(body: &std::path::Path) -> Result<Self, Error> {
        let mut command = this_program("bare-server")?;
        Self::start(command.arg("--body").arg(body))
    }

    /// Starts a server that ends its first line with where it listens:
    /// `http://<host>:<port>`.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        let program = command.get_program().display().to_string();
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| Error::Start {
                command: program.clone(),
                source,
            })?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|error| Error::Bench(format!("{program}: {error}")))?;
        }
        let server = Self {
            process,
            address: line
                .trim_end()
                .rsplit("http://")
                .next()
                .unwrap_or("")
                .to_owned(),
        };
        if server.address.contains(':') {
            Ok(server)
        } else {
            Err(Error::Bench(format!("{program} started with {line:?}")))
        }
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to be done.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_back() {
        let output = br#"{"answered":10,"failed":1,"rate":5,"p99Micros":1500}"#;
        let read = result(output).unwrap();
        assert_eq!((read.answered, read.failed, read.rate), (10, 1, 5));
        assert_eq!(read.p99, Duration::from_micros(1_500));
        assert_eq!(result(b"oops"), None);
    }

    #[test]
    fn requests_are_answered_until_the_deadline_and_failures_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let mut connection = Connection::over(listener.accept().unwrap().0).unwrap();
            for answer in [http::response(b"{}"), b"HTTP/1.1 503 Busy\r\n\r\n".to_vec()] {
                connection.receive().unwrap();
                connection.send(&answer).unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let asked = ask_until(deadline, &address, &http::get("h", "/"));
        server.join().unwrap();
        assert_eq!(asked.times.len(), 1);
        assert_eq!(asked.failed, 2, "busy, and a connection that ended");
        let over = Instant::now();
        assert_eq!(ask_until(over, "127.0.0.1:9", b"").failed, 1);
    }
}
