//! The program as people and scripts meet it: whole outputs, exit codes, streams.
//!
//! Hermetic: an environment of its own, a home, state and store in a temporary folder, and a Docker that is
//! not there. Snapshots of outputs lie in `snapshots/`; `INSTA_UPDATE=always cargo test -p backupctl`
//! writes them anew after a change that is meant.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod help;
mod json;
mod pages;
mod place;
mod policies;
mod settings;
mod terminal;
mod usage;
