//! Measuring backupctl beside the tools that people would otherwise use, on the same volumes and servers.
//!
//! Every figure is of a whole process, started cold and waited for. What is measured against what stands in
//! `peers`; what the volumes are like, in `workloads`; which server, in `server`.

pub mod measure;
pub mod noise;
pub mod peers;
pub mod server;
pub mod settings;
pub mod table;
pub mod workloads;
