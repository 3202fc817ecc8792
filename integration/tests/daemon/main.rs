//! The service alone with a host: `backupd` on real Docker and a real S3 server, killed, reloaded, told nonsense.
//!
//! Needs an engine at `DOCKER_HOST` or the usual socket, on this machine, and root, to look into volumes.
//! Everything it makes has a name that begins with `bkd-daemon-`, and is removed by id, whatever happens.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod alone;
mod bad_input;
mod engine_restart;
mod rig;
mod seen;
mod service;
mod stores;
mod supervised;
#[path = "../kill/tenant.rs"]
#[expect(dead_code, reason = "other tests ask more of it")]
mod tenant;
mod unit;
