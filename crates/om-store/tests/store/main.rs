//! What the store promises, tested on a disk that kills, fails and forgets.

mod hooked;
mod kills;
mod shapes;
