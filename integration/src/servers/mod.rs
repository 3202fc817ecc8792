//! Real S3 servers from Python wheels, one process for each test run, killed when the handle goes.
//!
//! A missing server is a failure that says how to get it, never a skipped test: a suite that skips is green on a
//! machine that tests nothing.

mod ports;
mod process;
pub mod s3;
