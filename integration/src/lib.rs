//! What tests and benchmarks of the whole share: the programs as they were built, the Docker engine as an
//! outsider sees it, real S3 servers, one of ours that fails on purpose, and real databases. Nothing here is part of the
//! product.

pub mod bench;
pub mod databases;
pub mod disk;
pub mod docker;
pub mod noise;
pub mod private_engine;
pub mod private_systemd;
pub mod programs;
pub mod scale;
pub mod scripted_s3;
pub mod servers;
pub mod torture;
