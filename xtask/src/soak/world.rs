//! The simulated fleet: loops of this machine and behind services, the
//! services, and the runtime that all of them act through.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use om_model::{Timestamp, json};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::faults::{LoopFault, Manner, Runtime, ServiceFault, Settings, Switch};
use super::journal::document;
use super::registry::Fleet;
use crate::bench::Server;
use crate::error::Error;

/// Loops of the manager's machine; they come first.
pub(super) const LOCAL_LOOPS: usize = 4;
/// Services; loops behind them are dealt out in turns.
pub(super) const SERVICES: usize = 3;
/// All loops.
pub(super) const LOOPS: usize = 8;

/// Names of all kinds.
const NAMES: [&str; LOOPS] = [
    "alpha", "Alpha", "gölf 7", "d.e-l_ta", "echo", "🚀", "hotel:1", "z",
];

/// How old an event of a loop that looks stuck is.
const STALE_SECONDS: i64 = 7_200;
/// How long runtimes may go on after everything else has ended.
const RUNTIME_TIME: Duration = Duration::from_secs(10);

/// What the runtime does is in `.soak-runtime` of its repository: a manner
/// and seconds. It notes every invocation before it does anything.
const RUNTIME: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$$ $OPS_MANAGER_TRACE_ID $(basename "$3")" >> "$here/calls"
read -r manner seconds < "$3/.soak-runtime"
sleep "$seconds"
work() {
  echo '{"active": false}' > "$3/.superloop/state.json.$$"
  mv "$3/.superloop/state.json.$$" "$3/.superloop/state.json"
}
case $manner in
works) work "$@" ;;
pretends) echo done ;;
fails) echo 'cannot cancel' >&2; exit 23 ;;
garbles) work "$@"; printf '\377\376\000{"a":[' ;;
garbles-and-fails) printf '\377\376\000{"a":['; exit 23 ;;
dies) kill -9 $$ ;;
esac
"#;

/// The exit code of the runtime when it fails.
pub(super) const FAILED: i64 = 23;

/// Everything that is simulated.
pub(super) struct World {
    root: PathBuf,
    binary: PathBuf,
    ids: Vec<String>,
    loops: Vec<SimulatedLoop>,
    services: Vec<Service>,
}

struct SimulatedLoop {
    /// The repository that it runs in: 0 is the manager's.
    home: usize,
    /// Complete lines of its log.
    lines: u64,
    /// What is missing of the last line.
    rest: Option<String>,
    run: u64,
}

struct Service {
    port: u16,
    server: Option<Server>,
    hangs: bool,
}

/// One invocation of the runtime.
pub(super) struct Call {
    pid: String,
    pub(super) trace: String,
    /// Name of the repository.
    pub(super) home: String,
}

impl World {
    /// Makes the fleet below `root`, which must not exist, and starts its
    /// services.
    pub(super) fn create(root: &Path, binary: &Path) -> Result<Self, Error> {
        fs::create_dir(root).map_err(Error::file("create", root))?;
        let root = root.canonicalize().map_err(Error::file("resolve", root))?;
        let loops = (0..LOOPS).map(|index| SimulatedLoop {
            home: match index.checked_sub(LOCAL_LOOPS) {
                None => 0,
                Some(behind) => behind % SERVICES + 1,
            },
            lines: 0,
            rest: None,
            run: 0,
        });
        let mut world = Self {
            root,
            binary: binary.to_owned(),
            ids: NAMES.map(str::to_owned).to_vec(),
            loops: loops.collect(),
            services: Vec::new(),
        };
        let runtime = world.root.join("runtime");
        write(&runtime, RUNTIME)?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&runtime, executable).map_err(Error::file("change", &runtime))?;
        for index in 0..LOOPS {
            let directory = world.loop_directory(index);
            fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        }
        world.loops(&[LoopFault::Fresh(3); LOOPS])?;
        let works = Runtime {
            manner: Manner::Works,
            milliseconds: 0,
        };
        world.runtimes(&[works; SERVICES + 1])?;
        for index in 0..SERVICES {
            world.services.push(Service {
                port: 0,
                server: None,
                hangs: false,
            });
            world.start(index)?;
        }
        fs::create_dir_all(world.fleet("")).map_err(Error::file("create", &world.root))?;
        Ok(world)
    }

    /// The manager's repository.
    pub(super) fn repo(&self) -> PathBuf {
        self.home(0)
    }

    fn home(&self, home: usize) -> PathBuf {
        self.root.join(home_name(home))
    }

    /// Where a loop runs.
    pub(super) fn home_of(&self, index: usize) -> PathBuf {
        self.home(self.loops[index].home)
    }

    /// A file of the fleet.
    pub(super) fn fleet(&self, file: &str) -> PathBuf {
        self.repo().join(".superloop/ops-manager/fleet").join(file)
    }

    /// Where something of the test's own is.
    pub(super) fn own(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Names of the loops.
    pub(super) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Complete lines of a loop's log.
    pub(super) fn lines(&self, index: usize) -> u64 {
        self.loops[index].lines
    }

    fn loop_directory(&self, index: usize) -> PathBuf {
        let loops = self.home_of(index).join(".superloop/loops");
        loops.join(&self.ids[index])
    }

    /// A command of the binary, in an environment of its own.
    pub(super) fn command<S: AsRef<str>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words.iter().map(AsRef::as_ref));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("OPS_MANAGER_") || text.starts_with("SUPERLOOP_") {
                command.env_remove(name);
            }
        }
        command.env("SUPERLOOP_BIN", self.own("runtime"));
        command.current_dir(&self.root);
        command
    }

    /// Lets the runtimes of the loops write.
    pub(super) fn loops(&mut self, faults: &[LoopFault]) -> Result<(), Error> {
        for (index, fault) in faults.iter().enumerate() {
            match *fault {
                LoopFault::Silent => {}
                LoopFault::Fresh(count) => {
                    for _ in 0..count {
                        self.event(index, 0)?;
                    }
                }
                LoopFault::Stale => self.event(index, STALE_SECONDS)?,
                LoopFault::Torn => self.tear(index)?,
            }
        }
        Ok(())
    }

    /// A loop's run ends and another begins.
    pub(super) fn new_run(&mut self, index: usize) -> Result<(), Error> {
        self.loops[index].run += 1;
        self.event(index, 0)
    }

    /// Completes every line.
    pub(super) fn mend(&mut self) -> Result<(), Error> {
        (0..LOOPS).try_for_each(|index| self.event(index, 0))
    }

    fn event(&mut self, index: usize, age: i64) -> Result<(), Error> {
        let line = self.line(index, age) + "\n";
        let one = &mut self.loops[index];
        let rest = one.rest.take();
        one.lines += 1 + u64::from(rest.is_some());
        let rest = rest.map_or(String::new(), |rest| rest + "\n");
        self.append(index, &(rest + &line))
    }

    /// Writes the first half of a line.
    fn tear(&mut self, index: usize) -> Result<(), Error> {
        if self.loops[index].rest.is_some() {
            return Ok(());
        }
        let mut line = self.line(index, 0);
        let middle = line.len() / 2;
        let middle = (middle..line.len())
            .find(|at| line.is_char_boundary(*at))
            .unwrap_or(0);
        let rest = line.split_off(middle);
        self.loops[index].rest = Some(rest);
        self.append(index, &line)
    }

    fn line(&self, index: usize, age: i64) -> String {
        let at = Timestamp::from_epoch_seconds(now().epoch_seconds() - age);
        json::compact(&json!({
            "timestamp": at,
            "event": "iteration_start",
            "loop_id": self.ids[index],
            "run_id": format!("run-{}", self.loops[index].run),
            "iteration": self.loops[index].lines + 1,
            "data": {},
        }))
    }

    fn append(&self, index: usize, text: &str) -> Result<(), Error> {
        let path = self.loop_directory(index).join("events.jsonl");
        let mut options = OpenOptions::new();
        let opened = options.append(true).create(true).open(&path);
        let appended = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        appended.map_err(Error::file("append to", &path))
    }

    /// Lets runs be active again, and runtimes behave like this.
    pub(super) fn runtimes(&self, runtimes: &[Runtime]) -> Result<(), Error> {
        for (home, runtime) in runtimes.iter().enumerate() {
            let home = self.home(home);
            write(&home.join(".superloop/state.json"), "{\"active\": true}\n")?;
            let manner = match runtime.manner {
                Manner::Works => "works",
                Manner::Pretends => "pretends",
                Manner::Fails => "fails",
                Manner::Garbles => "garbles",
                Manner::GarblesAndFails => "garbles-and-fails",
                Manner::Dies => "dies",
            };
            let (seconds, rest) = (runtime.milliseconds / 1_000, runtime.milliseconds % 1_000);
            let line = format!("{manner} {seconds}.{rest:03}\n");
            write(&home.join(".soak-runtime"), &line)?;
        }
        Ok(())
    }

    /// Lets services die, hang and come back; how many died.
    pub(super) fn services(&mut self, faults: &[ServiceFault]) -> Result<u64, Error> {
        let mut died = 0;
        for (index, fault) in faults.iter().enumerate() {
            match fault {
                ServiceFault::Stays => {}
                ServiceFault::Runs => self.start(index)?,
                ServiceFault::Dies => died += u64::from(self.kill_service(index)),
                ServiceFault::Hangs => {
                    self.start(index)?;
                    self.signal(index, Signal::STOP)?;
                    self.services[index].hangs = true;
                }
            }
        }
        Ok(died)
    }

    /// Kills a service; whether there was one.
    pub(super) fn kill_service(&mut self, index: usize) -> bool {
        self.services[index].hangs = false;
        self.services[index].server.take().is_some()
    }

    /// Services that hang go on.
    pub(super) fn go_on(&mut self) -> Result<(), Error> {
        for index in 0..SERVICES {
            if self.services[index].hangs {
                self.signal(index, Signal::CONT)?;
                self.services[index].hangs = false;
            }
        }
        Ok(())
    }

    fn signal(&self, index: usize, signal: Signal) -> Result<(), Error> {
        let server = self.services[index].server.as_ref();
        let pid = server.and_then(|server| Pid::from_raw(i32::try_from(server.pid()).ok()?));
        match pid.map(|pid| kill_process(pid, signal)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Error::Soak(format!("signal to a service: {error}"))),
        }
    }

    /// Starts a service that does not run, where it was before.
    fn start(&mut self, index: usize) -> Result<(), Error> {
        if self.services[index].server.is_some() {
            return Ok(());
        }
        let home = self.home(index + 1).display().to_string();
        let port = self.services[index].port.to_string();
        let words = ["sprite-service", "--repo", &home, "--port", &port];
        let server = Server::start(&mut self.command(&words))?;
        let port = server
            .address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        self.services[index] = Service {
            port: port.unwrap_or_default(),
            server: Some(server),
            hangs: false,
        };
        Ok(())
    }

    /// What a registry of this fleet is made from.
    pub(super) fn with_fleet<T>(&self, make: impl FnOnce(&Fleet<'_>) -> T) -> T {
        let entries: Vec<Value> = (0..LOOPS).map(|index| self.entry(index)).collect();
        make(&Fleet {
            loops: &entries,
            ids: &self.ids,
        })
    }

    fn entry(&self, index: usize) -> Value {
        let id = &self.ids[index];
        match self.loops[index].home.checked_sub(1) {
            None => json!({ "loopId": id, "transport": "local" }),
            Some(service) => json!({
                "loopId": id,
                "transport": "sprite_service",
                "service": {
                    "baseUrl": format!("http://127.0.0.1:{}", self.services[service].port),
                    "retryAttempts": 2,
                    "retryBackoffSeconds": 0,
                },
            }),
        }
    }

    /// Writes a registry with an editor.
    pub(super) fn write_registry(&self, settings: &Settings) -> Result<(), Error> {
        let registry = self.with_fleet(|fleet| fleet.registry(settings, now()));
        self.replace_registry(&registry)
    }

    /// Turns a switch of the registry with an editor: what it was and is now.
    pub(super) fn turn(&self, switch: Switch) -> Result<[Value; 2], Error> {
        let before = document(&self.fleet("registry.v1.json")).map_err(Error::Soak)?;
        let mut after = before.clone();
        self.with_fleet(|fleet| fleet.turn(&mut after, switch, now()));
        self.replace_registry(&after)?;
        Ok([before, after])
    }

    fn replace_registry(&self, registry: &Value) -> Result<(), Error> {
        let path = self.fleet("registry.v1.json");
        let temporary = self.own("registry.new");
        write(&temporary, &(json::pretty(registry) + "\n"))?;
        fs::rename(&temporary, &path).map_err(Error::file("replace", &path))
    }

    /// All invocations of the runtime so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.own("calls")).unwrap_or_default();
        let call = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some(Call {
                pid: words.next()?,
                trace: words.next()?,
                home: words.next()?,
            })
        };
        text.lines().filter_map(call).collect()
    }

    /// Waits until no runtime runs any more; whether none does.
    pub(super) fn wait_for_runtimes(&self) -> bool {
        let started = Instant::now();
        let runs = |call: &Call| {
            let command = fs::read(format!("/proc/{}/cmdline", call.pid)).unwrap_or_default();
            // The id may be somebody else's by now.
            String::from_utf8_lossy(&command).contains(&*self.own("runtime").to_string_lossy())
        };
        while self.calls().iter().any(runs) {
            if started.elapsed() > RUNTIME_TIME {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// The name of a repository.
fn home_name(home: usize) -> String {
    match home.checked_sub(1) {
        None => "manager".to_owned(),
        Some(service) => format!("sprite-{service}"),
    }
}

/// The time, in whole seconds.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_epoch.unwrap_or_default().as_secs();
    Timestamp::from_epoch_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}
