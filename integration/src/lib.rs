//! What the tests against the outside world need: real servers, and one of ours that fails on purpose.

pub mod scripted_s3;
pub mod servers;
