//! A tree to frames and back.
//!
//! This crate turns a folder into a pack (see `FORMAT.md`) and gives it back, byte for byte and attribute
//! for attribute. It is synchronous, touches no network and knows nothing of Docker, stores or catalogs.
//! It runs inside the helper container, in the programs that read packs, and in tests, all the same.
//!
//! Always true:
//! * Reading a tree opens nothing through a link, crosses no mount, and never waits on a fifo or device.
//! * Whatever is read back is hostile until checked: lengths before memory, paths before use, hashes
//!   before a byte counts as restored.
//! * Memory does not grow with the size of the tree.

mod ahead;
mod attributes;
pub mod base;
mod beneath;
pub mod channel;
mod clock;
pub mod clones;
pub mod compare;
mod content;
mod delta;
mod descend;
mod durable;
pub mod entry;
mod foreign;
pub mod frame;
mod identity;
pub mod layout;
pub mod levels;
mod links;
pub mod look;
mod names;
mod open;
pub mod ours;
pub mod pack;
mod pack_entries;
mod pack_writer;
mod page_rows;
mod page_table;
pub mod pages;
pub mod path;
mod pax;
mod pipeline;
mod raw_stream;
mod read_file;
pub mod row;
pub mod scope;
pub mod segment;
pub mod serve;
mod sparse;
mod staging;
mod stat;
pub mod swap;
mod table_writer;
pub mod tarball;
pub mod unpack;
mod updating;
pub mod varint;
mod walk;
mod xattrs;

/// What tests of whole trees share, also those beside the code.
#[cfg(test)]
extern crate self as archive;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "numbers of random deeds are cut as it comes")]
#[path = "../tests/support/deeds.rs"]
mod deeds;
#[cfg(test)]
#[path = "../tests/support/lineage.rs"]
mod lineage;
#[cfg(test)]
#[path = "../tests/support/model.rs"]
mod model;
#[cfg(test)]
#[path = "../tests/support/planted.rs"]
mod planted;
