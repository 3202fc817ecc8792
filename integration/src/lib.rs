//! What tests and benchmarks of the whole share: the programs as they were built, the Docker engine as an
//! outsider sees it. Nothing here is part of the product.

pub mod bench;
pub mod docker;
pub mod programs;
