//! The crash matrix: every deed is ended before and after each call that it makes to store and engine; then a new
//! process recovers on the same state folder, and the design's invariants must hold.
//!
//! A process dies in two ways here. Its future is dropped where it stands, as by SIGKILL: nothing is undone, no row
//! is written. Or all its calls fail from there on, as when network and engine go away: it unwinds, and must not
//! take for undone what it could not undo.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and counts are told"
)]

mod deeds;
mod invariants;
mod matrix;
mod mortal_docker;
#[path = "../support/mod.rs"]
mod support;
mod template;
