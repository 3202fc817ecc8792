//! The Docker port on a real engine: the contract, the two channels, and the helper's confinement.
//!
//! Needs an engine at `DOCKER_HOST` or the usual socket, on this machine; makes volumes and containers whose
//! names begin with `backupd-test-`, and removes them.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod confinement;
mod containers;
mod helpers;
mod rig;
