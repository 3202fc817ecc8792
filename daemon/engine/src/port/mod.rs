//! The ports: what the core needs from outside, one trait a file. A trait's doc comment is its contract,
//! and the contract suite in `testing` holds every adapter and twin to it.

pub mod changes;
pub mod clock;
pub mod docker;
pub mod exec;
pub mod store;
pub mod trial;
