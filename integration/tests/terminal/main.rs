//! `backupctl` as somebody sees it who sits before it: in a real terminal (tmux makes it) of 80, 120 and 40 columns.
//!
//! Needs what `journey` needs, and tmux. Each terminal has a server of its own, whose socket lies in the test's folder;
//! it is ended by that socket's name, whatever happens.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod answers;
mod colours;
mod fits;
mod pane;
mod progress;
#[path = "../journey/ran.rs"]
#[expect(dead_code, reason = "other tests ask more of it")]
mod ran;
#[path = "../../../daemon/archive/tests/support/recorded.rs"]
mod recorded;
mod scene;
#[path = "../journey/world.rs"]
#[expect(dead_code, reason = "other tests ask more of it")]
mod world;
