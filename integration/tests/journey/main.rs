//! The journeys of an operator, with the real programs, the real engine and real S3 servers: back up, look,
//! destroy, restore, compare; and everything that people get wrong, with the message that they get for it.
//!
//! Needs root, an engine on this machine (`DOCKER_HOST` or the usual socket), and what `make tools` installs.
//! Every volume and container is of a name or an id that is the test's own, and gone in the end. A warning or
//! an error, on stderr or in a log, that a test does not list fails it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions; these are what test functions call"
)]

mod bad_input;
mod bad_store;
mod completing;
mod containers;
mod contract;
mod damage;
mod fidelity;
mod host;
mod installations;
mod memory;
mod odd_tree;
mod ran;
mod reader;
#[path = "../../../daemon/archive/tests/support/recorded.rs"]
mod recorded;
mod running;
mod schema;
mod secrets;
mod sources;
mod stores;
mod world;
