//! What `graphwarden lint` finds, mends and leaves alone. `cases` has a bad fixture for every rule; the good one is
//! what we ship.

mod cases;
mod hostile;
mod mends;
mod shipped;
