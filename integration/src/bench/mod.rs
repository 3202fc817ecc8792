//! Measuring backupctl beside the tools that people would otherwise use, on the same volumes and servers; and by
//! itself, as volumes grow.
//!
//! Every figure is of a whole process, started cold and waited for. What is measured against what stands in
//! `tools` and `peers`; in which turns, in `compare`; what the volumes are like, in `workloads`; which server, in
//! `server`; what we mean to reach, in `targets`.

pub mod compare;
mod container;
mod contender;
pub mod footprint;
pub mod growth;
pub mod limits;
pub mod marks;
pub mod measure;
pub mod noise;
pub mod peers;
pub mod results;
pub mod server;
pub mod settings;
pub mod table;
pub mod targets;
pub mod tools;
pub mod volumes;
pub mod workloads;
