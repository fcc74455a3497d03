//! What happens in a cycle, drawn from the seed: the same seed draws the same
//! cycles, whatever comes of them.

use fastrand::Rng;

use super::world::{LOCAL_LOOPS, LOOPS, SERVICES};

/// The cycles of one seed.
pub(super) struct Faults {
    rng: Rng,
}

/// What happens in one cycle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cycle {
    /// What each loop's runtime writes before the pass.
    pub(super) loops: Vec<LoopFault>,
    /// What becomes of each service before the pass.
    pub(super) services: Vec<ServiceFault>,
    /// How the runtime of each home behaves: the manager's machine first,
    /// then that of each service.
    pub(super) runtimes: Vec<Runtime>,
    /// Another registry, before the pass.
    pub(super) registry: Option<Settings>,
    /// A switch turned by the command, and whether that is killed.
    pub(super) switch: Option<(Switch, Option<Kill>)>,
    /// A switch turned by hand after policy was evaluated.
    pub(super) late: Option<Switch>,
    /// A loop's run ends and another begins after policy was evaluated.
    pub(super) new_run: Option<usize>,
    /// The pass is killed.
    pub(super) reconcile: Option<Kill>,
    /// The evaluation is killed.
    pub(super) policy: Option<Kill>,
    /// What is handed off.
    pub(super) handoff: Handoff,
    /// The handoff is killed.
    pub(super) end: Option<Kill>,
    /// What happens while the handoff runs.
    pub(super) meanwhile: Option<Meanwhile>,
    /// Whether the handoff looks for effects.
    pub(super) confirms: bool,
    /// Whether the handoff has a trace of its own.
    pub(super) own_trace: bool,
}

/// What a loop's runtime writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopFault {
    /// Nothing.
    Silent,
    /// So many events, just now.
    Fresh(u64),
    /// An event that is hours old: the loop looks stuck.
    Stale,
    /// Half a line; the rest comes with the next event.
    Torn,
}

/// What becomes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceFault {
    /// It runs, again if it was dead.
    Runs,
    /// It stays what it is.
    Stays,
    /// It is killed.
    Dies,
    /// It accepts connections and does not answer, for the pass.
    Hangs,
}

/// How a runtime behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    pub(super) manner: Manner,
    /// How long it takes.
    pub(super) milliseconds: u64,
}

/// What a runtime does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// What it is asked to.
    Works,
    /// It says that it has done it.
    Pretends,
    /// It fails.
    Fails,
    /// It works, and prints what is no text.
    Garbles,
    /// It fails, and prints what is no text.
    GarblesAndFails,
    /// It kills itself.
    Dies,
}

/// A moment of a step at which it is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kill {
    /// As a share of how long the step usually takes; may lie beyond its end.
    pub(super) moment: f64,
    /// Asked to end (SIGTERM) rather than killed.
    pub(super) politely: bool,
}

/// What is handed off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handoff {
    /// Only planned.
    Plan,
    /// Executed inside the guardrails.
    Autonomous,
    /// The same by two at once.
    Twice,
    /// A person executes so many of the guarded or pending intents.
    Manual(usize),
}

/// What happens while a handoff runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meanwhile {
    /// Somebody turns a switch; the moment as of [`Kill`].
    Turned(Switch, f64),
    /// A service dies.
    ServiceDies(usize, f64),
}

/// A switch of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// The kill switch.
    Kill(bool),
    Pause(bool),
    Freeze(usize, bool),
    ClearAutoPause,
    Canary(u64),
    Guarded(bool),
    /// Every category of a loop.
    Suppress(usize, bool),
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) guarded: bool,
    pub(super) lapsed: bool,
    pub(super) kill_switch: bool,
    pub(super) paused: bool,
    pub(super) canary: u64,
    pub(super) salt: u64,
    pub(super) scope: Vec<usize>,
    pub(super) frozen: Vec<usize>,
    pub(super) disabled: Vec<usize>,
    /// A loop (or all) and a category.
    pub(super) suppressed: Vec<(Option<usize>, usize)>,
    pub(super) categories: Vec<usize>,
    pub(super) per_run: u64,
    pub(super) per_loop: u64,
    pub(super) cooldown: u64,
    pub(super) dedupe: u64,
    pub(super) auto_pause: bool,
    pub(super) lookback: u64,
    pub(super) sample: u64,
    pub(super) cleared: bool,
}

impl Faults {
    /// The cycles of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { rng }
    }

    /// Draws the next cycle.
    pub(super) fn next_cycle(&mut self) -> Cycle {
        Cycle {
            loops: (0..LOOPS).map(|_| self.loop_fault()).collect(),
            services: (0..SERVICES).map(|_| self.service_fault()).collect(),
            runtimes: (0..=SERVICES).map(|_| self.runtime()).collect(),
            registry: self.chance(70).then(|| self.settings()),
            switch: self.chance(40).then(|| {
                let switch = self.switch();
                (switch, self.kill(30))
            }),
            late: self.chance(20).then(|| self.switch()),
            new_run: self.chance(20).then(|| self.rng.usize(0..LOOPS)),
            reconcile: self.kill(25),
            policy: self.kill(20),
            handoff: self.handoff(),
            end: self.kill(35),
            meanwhile: self.meanwhile(),
            confirms: self.chance(60),
            own_trace: self.chance(50),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn loop_fault(&mut self) -> LoopFault {
        match self.rng.u32(0..10) {
            0 => LoopFault::Silent,
            1..=4 => LoopFault::Fresh(self.rng.u64(1..4)),
            5..=8 => LoopFault::Stale,
            _ => LoopFault::Torn,
        }
    }

    fn service_fault(&mut self) -> ServiceFault {
        match self.rng.u32(0..20) {
            0..=12 => ServiceFault::Runs,
            13..=15 => ServiceFault::Stays,
            16..=18 => ServiceFault::Dies,
            _ => ServiceFault::Hangs,
        }
    }

    fn runtime(&mut self) -> Runtime {
        let manner = match self.rng.u32(0..20) {
            12..=13 => Manner::Pretends,
            14..=15 => Manner::Fails,
            16 => Manner::Garbles,
            17 => Manner::GarblesAndFails,
            18 => Manner::Dies,
            _ => Manner::Works,
        };
        let milliseconds = match self.rng.u32(0..10) {
            0..=6 => self.rng.u64(0..30),
            7..=8 => self.rng.u64(50..200),
            _ => self.rng.u64(500..1_500),
        };
        Runtime {
            manner,
            milliseconds,
        }
    }

    fn kill(&mut self, percent: u32) -> Option<Kill> {
        self.chance(percent).then(|| Kill {
            moment: self.rng.f64() * 1.2,
            politely: self.chance(20),
        })
    }

    fn handoff(&mut self) -> Handoff {
        match self.rng.u32(0..20) {
            0..=2 => Handoff::Plan,
            3..=13 => Handoff::Autonomous,
            14..=15 => Handoff::Twice,
            _ => Handoff::Manual(self.rng.usize(1..4)),
        }
    }

    fn meanwhile(&mut self) -> Option<Meanwhile> {
        let moment = self.rng.f64();
        match self.rng.u32(0..20) {
            0..=2 => Some(Meanwhile::Turned(Switch::Kill(true), moment)),
            3 => Some(Meanwhile::Turned(Switch::Pause(true), moment)),
            4..=5 => Some(Meanwhile::ServiceDies(self.rng.usize(0..SERVICES), moment)),
            _ => None,
        }
    }

    fn switch(&mut self) -> Switch {
        let one = self.rng.usize(0..LOOPS);
        let on = self.chance(30);
        match self.rng.u32(0..10) {
            0..=1 => Switch::Kill(on),
            2 => Switch::Pause(on),
            3 => Switch::Freeze(one, on),
            4..=5 => Switch::ClearAutoPause,
            6 => Switch::Canary([0, 25, 75, 100, 100][self.rng.usize(0..5)]),
            7..=8 => Switch::Guarded(self.chance(80)),
            _ => Switch::Suppress(one, on),
        }
    }

    fn settings(&mut self) -> Settings {
        let mut some =
            |percent| -> Vec<usize> { (0..LOOPS).filter(|_| self.chance(percent)).collect() };
        let (frozen, disabled) = (some(4), some(4));
        let scope = if self.chance(10) {
            (0..LOCAL_LOOPS + 2).collect()
        } else {
            Vec::new()
        };
        let suppressed = if self.chance(15) {
            let of = self.chance(70).then(|| self.rng.usize(0..LOOPS));
            vec![(of, self.rng.usize(0..3))]
        } else {
            Vec::new()
        };
        Settings {
            guarded: self.chance(92),
            lapsed: self.chance(4),
            kill_switch: self.chance(6),
            paused: self.chance(6),
            canary: [100, 100, 100, 100, 50][self.rng.usize(0..5)],
            salt: self.rng.u64(0..3),
            scope,
            frozen,
            disabled,
            suppressed,
            categories: if self.chance(80) { vec![0, 1] } else { vec![1] },
            per_run: [1, 2, 3, 3, 8][self.rng.usize(0..5)],
            per_loop: [1, 1, 2][self.rng.usize(0..3)],
            cooldown: [0, 0, 0, 1][self.rng.usize(0..4)],
            dedupe: [0, 0, 0, 1][self.rng.usize(0..4)],
            auto_pause: self.chance(60),
            lookback: self.rng.u64(1..6),
            sample: self.rng.u64(1..5),
            cleared: self.chance(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_cycles() {
        let cycles = |seed| {
            let mut faults = Faults::new(seed);
            (0..20).map(|_| faults.next_cycle()).collect::<Vec<_>>()
        };
        assert_eq!(cycles(7), cycles(7));
        assert_ne!(cycles(7), cycles(8));
    }
}
