//! After a power loss every commit that returned is wholly there, and the one
//! that was under way wholly or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use om_store::disk::Disk;
use om_store::{Commit, CommitError, Scope, commit_group};

use crate::model::{Model, Unique, document_paths};
use crate::random::Random;
use crate::simulated::Simulated;

/// Small, so that checkpoints happen all the time.
const CHECKPOINT_BYTES: u64 = 16 * 1024;

struct World {
    disk: Arc<Simulated>,
    random: Random,
    unique: Unique,
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
            loops: (0..loops)
                .map(|n| (dir(n), Model::default(), None))
                .collect(),
        }
    }

    fn scope(&self, dir: &Path) -> Result<Scope, CommitError> {
        Scope::open_on(
            dir,
            Arc::clone(&self.disk) as Arc<dyn Disk>,
            CHECKPOINT_BYTES,
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
        let fleet = self.scope(Path::new("/repo/.superloop/ops-manager/fleet"));
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
        let mut steps = [
            disk.create(&temporary, text.as_bytes(), 0o644),
            disk.sync(&temporary, om_store::disk::SyncKind::Everything),
            disk.rename(&temporary, &path),
            disk.sync(folder, om_store::disk::SyncKind::Everything),
        ]
        .into_iter();
        assert!(
            steps.all(|step| step.is_ok()),
            "edits happen while there is power"
        );
        model.documents.insert(path, text);
    }

    /// Loses power, recovers (possibly interrupted again), and checks.
    fn crash(&mut self, what: &str) {
        self.disk.reboot(&mut self.random);
        if self.random.below(3) == 0 {
            self.disk.fail_after(self.random.below(40));
            for (dir, ..) in &self.loops {
                // Interrupted or not: either way it is done again below.
                let _ = self.scope(dir).and_then(|scope| scope.recover());
            }
            self.disk.reboot(&mut self.random);
        }
        for position in 0..self.loops.len() {
            let dir = self.loops[position].0.clone();
            let recovered = self.scope(&dir).and_then(|scope| scope.recover());
            recovered.unwrap_or_else(|error| panic!("{what}: {error}"));
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
        let operations = world.random.below(400);
        let quiet = world.random.below(12);
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
    (0..1500).for_each(|seed| history(seed, 1));
}

#[test]
fn commits_and_groups_of_several_loops_survive_power_losses() {
    (2000..3000).for_each(|seed| history(seed, 3));
}
