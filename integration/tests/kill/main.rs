//! Restores in place beneath running services, and programs, helpers and engines that are killed on the way.
//!
//! Needs an engine at `DOCKER_HOST` or the usual socket, on this machine, and root, to look into volumes.
//! Everything it makes has a name that begins with `bkd-kill-`, and is removed by id, whatever happens.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod cloning;
mod cut_backups;
mod cut_freezes;
mod cut_hooks;
mod cut_restores;
mod engine_death;
mod failing_syncs;
mod helper_deaths;
mod program;
mod rig;
mod s3;
mod signals;
mod tenant;
mod tree;
mod unfinished;
mod users;
