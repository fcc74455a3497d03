//! What the demo and the drills are played with: this very program as child
//! processes, services on loopback, recorded and made-up loops, and a runtime
//! that does nothing real.
//!
//! Nothing of the operator's settings reaches any of it.

mod program;
mod runtime;
pub(super) mod samples;
mod sprite;

pub(super) use program::Program;
pub(super) use runtime::{Standing, StubRuntime, put_loop, start_run};
pub(super) use sprite::Sprite;
