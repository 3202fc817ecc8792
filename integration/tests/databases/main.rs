//! Real database servers, backed up while they are written to, destroyed, restored, and judged by their own checkers;
//! the stacks that policies are shipped for; and what goes wrong with real servers.
//!
//! Needs an engine at `DOCKER_HOST` or the usual socket, on this machine, root, to look into volumes, and a mirror of
//! Debian 12 for the images, once. All names begin with that of the test's place, and everything is removed with it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod bad_input;
mod bad_server;
mod control;
mod cycles;
mod drills;
mod dumps;
mod sets;
mod spoilt;
mod stacks;
