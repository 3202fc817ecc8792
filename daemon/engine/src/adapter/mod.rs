//! The ports on the real world: the system clock, bollard, aws-sdk-s3, a local directory.

pub mod clock;
pub mod docker;
pub mod store;
