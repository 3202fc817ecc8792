//! What tests and benchmarks of the whole share: real servers, and one of ours that fails on purpose; the
//! programs as they were built; the Docker engine as an outsider sees it. Nothing here is part of the product.

pub mod bench;
pub mod docker;
pub mod programs;
pub mod scripted_s3;
pub mod servers;
