//! The Docker port on a real engine: the contract, the two channels, and the helper's confinement.
//!
//! Needs an engine at `DOCKER_HOST` or the usual socket, on this machine; makes volumes and containers whose
//! names begin with `backupd-test-`, and removes them.

mod confinement;
mod containers;
mod helpers;
mod rig;
