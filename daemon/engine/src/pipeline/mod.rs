//! Streams between helper and store: bounded, checked, without policy.
//!
//! Every byte that comes in here, from the store or from the helper, is hostile until its hash or its bounds
//! have been checked. Memory is bounded by the constants of each stage, whatever the size of the volume.

mod ahead;
pub mod answers;
pub mod channel;
pub mod content;
pub mod entries;
pub mod feed;
pub mod frames;
mod kept;
pub mod pace;
pub mod pour;
pub mod reading;
pub mod receive;
pub mod scan;
pub mod spool;
pub mod streams;
pub mod tarball;
