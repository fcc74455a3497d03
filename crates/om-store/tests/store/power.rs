//! After a power loss every commit that returned is wholly there, and the one
//! that was under way wholly or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::{Disk, SyncKind};
use om_store::{Commit, CommitError, Scope, commit_group};

use crate::model::{Model, Unique, document_paths};
use crate::random::Random;
use crate::simulated::Simulated;

/// Small, so that checkpoints happen all the time; one of these for a world.
const CHECKPOINT_BYTES: [u64; 3] = [256, 1024, 4 * 1024];

const FLEET: &str = "/repo/.superloop/ops-manager/fleet";

struct World {
    disk: Arc<Simulated>,
    random: Random,
    unique: Unique,
    checkpoint_bytes: u64,
    /// Per loop: what is certain, and what else is possible.
    loops: Vec<(PathBuf, Model, Option<Model>)>,
}

impl World {
    fn new(seed: u64, loops: usize) -> Self {
        let dir = |n: usize| PathBuf::from(format!("/repo/.superloop/ops-manager/{n}"));
        Self {
            disk: Arc::new(Simulated::new()),
            random: Random::new(seed),
            unique: Unique::default(),
            checkpoint_bytes: *Random::new(seed).choose(&CHECKPOINT_BYTES),
            loops: (0..loops)
                .map(|n| (dir(n), Model::default(), None))
                .collect(),
        }
    }

    fn scope(&self, dir: &Path) -> Result<Scope, CommitError> {
        Scope::open_on(
            dir,
            Arc::clone(&self.disk) as Arc<dyn Disk>,
            self.checkpoint_bytes,
        )
    }

    /// A commit of one loop; what it leaves is certain once it returned.
    fn commit_one(&mut self) {
        let position = self.random.below(self.loops.len());
        let (commit, after) = self.prepare(position);
        let dir = self.loops[position].0.clone();
        let done = self.scope(&dir).and_then(|scope| scope.commit(commit));
        self.settle(position, after, done.is_ok());
    }

    /// A group of all loops.
    fn commit_all(&mut self) {
        let prepared: Vec<_> = (0..self.loops.len())
            .map(|position| self.prepare(position))
            .collect();
        let (commits, after): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
        let scopes: Result<Vec<_>, _> =
            self.loops.iter().map(|(dir, ..)| self.scope(dir)).collect();
        let fleet = self.scope(Path::new(FLEET));
        let done: Vec<bool> = match (fleet, scopes) {
            (Ok(fleet), Ok(scopes)) => {
                let members = scopes.into_iter().zip(commits).collect();
                commit_group(&fleet, members)
                    .iter()
                    .map(Result::is_ok)
                    .collect()
            }
            _ => vec![false; after.len()],
        };
        for (position, (after, done)) in after.into_iter().zip(done).enumerate() {
            self.settle(position, after, done);
        }
    }

    fn prepare(&mut self, position: usize) -> (Commit, Model) {
        let (dir, model, _) = &self.loops[position];
        model.random_commit(dir, &mut self.random, &mut self.unique)
    }

    fn settle(&mut self, position: usize, after: Model, done: bool) {
        let (_, certain, possible) = &mut self.loops[position];
        if done {
            *certain = after;
        } else {
            *possible = Some(after);
        }
    }

    /// Someone replaces a document, properly.
    fn edit(&mut self) {
        let position = self.random.below(self.loops.len());
        let text = self.unique.text("edit", &mut self.random);
        let (dir, model, _) = &mut self.loops[position];
        let path = self.random.choose(&document_paths(dir)).clone();
        if !model.documents.contains_key(&path) {
            return;
        }
        let temporary = path.with_extension("tmp");
        let folder = path.parent().expect("a folder");
        let disk: &dyn Disk = &*self.disk;
        let sync = |path| disk.sync(path, SyncKind::Everything);
        disk.create(&temporary, text.as_bytes(), 0o644)
            .expect("written");
        sync(&temporary).expect("synced");
        disk.rename(&temporary, &path).expect("renamed");
        sync(folder).expect("synced");
        model.documents.insert(path, text);
    }

    /// Loses power or is killed, recovers (possibly interrupted again), and
    /// checks.
    fn crash(&mut self, what: &str) {
        match self.random.below(4) {
            0 => self.disk.restart(),
            1 => {
                self.disk.reboot(&mut self.random);
                self.commit_elsewhere();
                self.disk.reboot(&mut self.random);
            }
            2 => {
                self.disk.reboot(&mut self.random);
                self.recover_interrupted();
                self.disk.reboot(&mut self.random);
            }
            _ => self.disk.reboot(&mut self.random),
        }
        self.check(what);
    }

    /// Groups of other loops, enough to use the whole group log again.
    fn commit_elsewhere(&mut self) {
        let dir = Path::new("/repo/.superloop/ops-manager/other");
        for _ in 0..4 {
            let commit = Commit::new().row(dir.join("rows.jsonl"), "x".repeat(5000));
            let member = self.scope(dir).expect("opened");
            let fleet = self.scope(Path::new(FLEET)).expect("opened");
            for result in commit_group(&fleet, vec![(member, commit)]) {
                result.expect("committed");
            }
        }
    }

    fn recover_interrupted(&mut self) {
        self.disk.fail_after(self.random.below(40));
        for (dir, ..) in &self.loops {
            // Interrupted or not: either way it is done again.
            let _ = self.scope(dir).and_then(|scope| scope.recover());
        }
    }

    /// Every loop, once recovered, is as one of its possible models.
    fn check(&mut self, what: &str) {
        for position in 0..self.loops.len() {
            let dir = self.loops[position].0.clone();
            let recovered = self.scope(&dir).and_then(|scope| scope.recover());
            let recovery = recovered.unwrap_or_else(|error| panic!("{what}: {error}"));
            // What a power loss tears is not damage.
            let log = dir.join(".store/redo.log");
            assert!(
                recovery.foreign.iter().all(|edit| edit.path != log),
                "{what}: {recovery:?}"
            );
            let found = Model::observe(&dir, |path| self.disk.content(path));
            let (_, certain, possible) = &mut self.loops[position];
            let is_possible = possible.as_ref() == Some(&found);
            assert!(
                *certain == found || is_possible,
                "{what}: loop {position} is\n{found:#?}\nafter\n{certain:#?}\nor\n{possible:#?}"
            );
            *certain = found;
            *possible = None;
        }
    }
}

fn history(seed: u64, loops: usize) {
    let mut world = World::new(seed, loops);
    for round in 0..8 {
        // Often early and short, so that beginnings are interrupted too.
        let operations = world.random.below(20) * world.random.below(20);
        let quiet = world.random.below(4) * world.random.below(4);
        for _ in 0..quiet {
            step(&mut world, loops);
        }
        world.disk.fail_after(operations);
        while world.disk.has_power() {
            step_without_edits(&mut world, loops);
        }
        world.crash(&format!("seed {seed} round {round}"));
    }
}

fn step(world: &mut World, loops: usize) {
    if world.random.below(4) == 0 {
        world.edit();
    } else {
        step_without_edits(world, loops);
    }
}

fn step_without_edits(world: &mut World, loops: usize) {
    if loops > 1 && world.random.below(2) == 0 {
        world.commit_all();
    } else {
        world.commit_one();
    }
}

#[test]
fn commits_of_one_loop_survive_power_losses() {
    (0..40).for_each(|seed| history(seed, 1));
}

#[test]
fn commits_and_groups_of_several_loops_survive_power_losses() {
    (1000..1040).for_each(|seed| history(seed, 3));
}

#[test]
fn what_people_removed_or_put_aside_stays_away_after_a_power_loss() {
    let dir = PathBuf::from("/repo/.superloop/ops-manager/one");
    let (document, journal) = (dir.join("a.json"), dir.join("rows.jsonl"));
    for seed in 0..20 {
        let disk = Arc::new(Simulated::new());
        let commit = |commit: Commit, checkpoint_bytes: u64| {
            let scope = Scope::open_on(&dir, Arc::clone(&disk) as Arc<dyn Disk>, checkpoint_bytes);
            scope.expect("opened").commit(commit).expect("committed");
        };
        let both = |text: &str| Commit::new().document(&document, text).row(&journal, text);
        commit(both("1"), 1 << 20);
        // A checkpoint comes before this one: both files are durable.
        commit(Commit::new().document(dir.join("b.json"), "b"), 1);
        commit(both("2"), 1 << 20);
        commit(Commit::new().document(dir.join("b.json"), "c"), 1 << 20);
        disk.remove(&document).expect("removed");
        disk.rename(&journal, &dir.join("rows.old"))
            .expect("renamed");
        disk.sync(&dir, SyncKind::Everything).expect("synced");
        disk.reboot(&mut Random::new(seed));
        let scope =
            Scope::open_on(&dir, Arc::clone(&disk) as Arc<dyn Disk>, 1 << 20).expect("opened");
        assert_eq!(scope.recover().expect("recovered").foreign, []);
        assert_eq!(disk.content(&document), None, "seed {seed}");
        assert_eq!(disk.content(&journal), None, "seed {seed}");
        assert_eq!(
            disk.content(&dir.join("b.json")).as_deref(),
            Some(&b"c"[..])
        );
    }
}
