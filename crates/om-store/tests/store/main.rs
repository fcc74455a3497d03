//! What the store promises, tested on a disk that kills, fails and forgets.

mod hooked;
mod kills;
mod model;
mod power;
mod random;
mod shapes;
mod simulated;
