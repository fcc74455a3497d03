//! A fleet of any size: a repository with many generated loops and a registry
//! that names them.
//!
//! The same arguments give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::{LoopId, Timestamp, json};
use serde_json::{Value, json};

use crate::error::Error;
use crate::gen_loop::{GeneratedLoop, timestamp};

/// Where the service listens if nothing else is said: the default port of
/// `ops-manager-sprite-service`.
const SERVICE: &str = "http://127.0.0.1:8787";

/// Folder of the loops' repository within that of a manager who reaches them
/// through a service.
const SPRITE: &str = "sprite";

/// The registry, below a repository.
const REGISTRY: &str = ".superloop/ops-manager/fleet/registry.v1.json";

/// Which fleet to write.
#[derive(Args)]
pub(crate) struct GenFleetArgs {
    /// Loops of the fleet.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=99_999))]
    loops: u64,
    /// Lines of each loop's event log.
    #[arg(long)]
    events: u64,
    /// The manager's repository; created, and must not hold a fleet yet.
    #[arg(long)]
    out: PathBuf,
    /// Reach all loops through the sprite service at this address; they then
    /// lie in its folder `sprite`, the repository to be served [without a
    /// value: <http://127.0.0.1:8787>].
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = SERVICE)]
    services: Option<String>,
    /// When the last event of each loop happened; one event takes a second.
    #[arg(long, default_value = "2031-05-02T08:00:00Z", value_parser = timestamp)]
    ending_at: Timestamp,
}

/// Writes the fleet.
pub(crate) fn run(args: &GenFleetArgs) -> Result<(), Error> {
    let fleet = GeneratedFleet::create(&Plan {
        repo: &args.out,
        loops: args.loops,
        events: args.events,
        service: args.services.as_deref(),
        ending_at: args.ending_at,
    })?;
    println!(
        "wrote {} loops of {} events, registry {}",
        args.loops,
        args.events,
        fleet.registry_file().display()
    );
    if args.services.is_some() {
        println!("to be served: {}", fleet.home.display());
    }
    Ok(())
}

/// What is to be generated.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// The manager's repository.
    pub(crate) repo: &'a Path,
    /// How many loops.
    pub(crate) loops: u64,
    /// Lines of each log.
    pub(crate) events: u64,
    /// The address of the service that all loops are reached through.
    pub(crate) service: Option<&'a str>,
    /// When the last event of each loop happened.
    pub(crate) ending_at: Timestamp,
}

/// A fleet on disk that can grow.
pub(crate) struct GeneratedFleet {
    repo: PathBuf,
    /// Where the loops are: the same, or what a service serves.
    home: PathBuf,
    loops: Vec<GeneratedLoop>,
}

impl GeneratedFleet {
    /// Creates registry and loops.
    pub(crate) fn create(plan: &Plan<'_>) -> Result<Self, Error> {
        let home = match plan.service {
            Some(_) => plan.repo.join(SPRITE),
            None => plan.repo.to_owned(),
        };
        let loops = (1..=plan.loops).map(|number| {
            let id = loop_id(number)?;
            GeneratedLoop::create(&home, id, plan.events, plan.ending_at)
        });
        let fleet = Self {
            repo: plan.repo.to_owned(),
            loops: loops.collect::<Result<_, Error>>()?,
            home,
        };
        let entries = (1..=plan.loops).map(|number| match plan.service {
            Some(url) => served(number, url),
            None => local(number),
        });
        fleet.write_registry(&registry(&entries.collect::<Vec<_>>()))?;
        Ok(fleet)
    }

    /// Appends `count` events to the log of every loop.
    pub(crate) fn append(&mut self, count: u64) -> Result<(), Error> {
        self.loops.iter_mut().try_for_each(|one| one.append(count))
    }

    /// The manager's repository.
    pub(crate) fn repo(&self) -> &Path {
        &self.repo
    }

    /// The repository that has the loops.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Its loops.
    pub(crate) fn loops(&self) -> &[GeneratedLoop] {
        &self.loops
    }

    fn registry_file(&self) -> PathBuf {
        self.repo.join(REGISTRY)
    }

    /// Writes another registry.
    pub(crate) fn write_registry(&self, registry: &Value) -> Result<(), Error> {
        write_registry(&self.repo, registry)
    }
}

/// Writes the registry of a repository.
pub(crate) fn write_registry(repo: &Path, registry: &Value) -> Result<(), Error> {
    let path = repo.join(REGISTRY);
    let folder = path.parent().unwrap_or(repo);
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    fs::write(&path, json::pretty(registry) + "\n").map_err(Error::file("write", &path))
}

/// The name of the loop with that number; in the order of the numbers.
pub(crate) fn loop_id(number: u64) -> Result<LoopId, Error> {
    Ok(LoopId::new(format!("loop-{number:05}"))?)
}

/// A loop of this machine in a registry.
pub(crate) fn local(number: u64) -> Value {
    json!({
        "loopId": format!("loop-{number:05}"),
        "transport": "local",
        "metadata": { "team": format!("team-{}", number % 7) },
    })
}

/// A loop behind a service in a registry.
pub(crate) fn served(number: u64, url: &str) -> Value {
    json!({
        "loopId": format!("loop-{number:05}"),
        "transport": "sprite_service",
        "service": { "baseUrl": url, "retryAttempts": 1, "retryBackoffSeconds": 0 },
        "metadata": { "team": format!("team-{}", number % 7) },
    })
}

/// A registry with these loops, in which people decide.
pub(crate) fn registry(loops: &[Value]) -> Value {
    json!({
        "schemaVersion": "v1",
        "fleetId": "generated",
        "loops": loops,
        "policy": { "mode": "advisory" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan<'a>(repo: &'a Path, service: Option<&'a str>) -> Plan<'a> {
        Plan {
            repo,
            loops: 3,
            events: 2,
            service,
            ending_at: Timestamp::EPOCH,
        }
    }

    fn read(path: &Path) -> Value {
        json::parse(&fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn the_registry_names_every_loop_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut fleet = GeneratedFleet::create(&plan(directory.path(), None)).unwrap();
        let registry = read(&fleet.registry_file());
        for (index, one) in fleet.loops().iter().enumerate() {
            assert_eq!(registry["loops"][index]["loopId"], one.loop_id().as_str());
        }
        fleet.append(1).unwrap();
        let log = fs::read_to_string(fleet.loops()[2].events_file()).unwrap();
        assert_eq!(log.lines().count(), 3);
    }

    #[test]
    fn served_loops_lie_in_a_repository_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let fleet = GeneratedFleet::create(&plan(directory.path(), Some(SERVICE))).unwrap();
        assert_eq!(fleet.home(), directory.path().join("sprite"));
        let entry = &read(&fleet.registry_file())["loops"][0];
        assert_eq!(entry["service"]["baseUrl"], SERVICE);
        assert!(!directory.path().join(".superloop/loops").exists());
    }

    #[test]
    fn a_fleet_is_not_generated_over_another_one() {
        let directory = tempfile::tempdir().unwrap();
        GeneratedFleet::create(&plan(directory.path(), None)).unwrap();
        assert!(GeneratedFleet::create(&plan(directory.path(), None)).is_err());
    }
}
