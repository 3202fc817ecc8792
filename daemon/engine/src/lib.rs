//! The core of backupd: what backing up, restoring, verifying and recovering mean.
//!
//! Use cases are written against ports (`port`), so they run the same on Docker and S3, and on the twins in
//! `testing`. Adapters (`adapter`) are the only code that knows bollard and aws-sdk-s3; `catalog` the only
//! code that knows SQLite. This crate never prints, prompts, or reads the user's environment.
//!
//! The invariants that every use case keeps stand in ARCHITECTURE.md; the orders of writes that keep them
//! stand where the writes are.

pub use archive;

mod absent;
pub mod adapter;
pub mod catalog;
pub mod durable;
pub mod failure;
pub mod format;
pub mod lock;
pub mod pipeline;
pub mod port;
pub mod state;
#[cfg(feature = "testing")]
pub mod testing;
pub mod units;
pub mod usecase;
pub mod words;
