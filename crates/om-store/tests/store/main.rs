//! What the store promises, tested on a disk that kills, fails and forgets.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod archive;
mod contention;
mod damage;
mod faults;
mod group;
mod hooked;
mod kills;
mod model;
mod power;
mod random;
mod readers;
mod refused;
mod scope;
mod shapes;
mod simulated;
mod strangers;
mod torn;
