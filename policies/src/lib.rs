//! The language of the files that people write for backupd.
//!
//! Pure: text comes in, a value or a list of complaints goes out. No file is read here, no clock, no
//! network, no Docker; so the same rules judge a file on the host that uses it and in the repository where
//! it is reviewed. Only the names of time zones are looked up in the database of the system.
//!
//! Always true: a misspelt key is an error, never a silent default, and every complaint names file, line
//! and column.

pub mod complaint;
pub mod level;
pub mod plan;
pub mod policy;
pub mod retention;
pub mod schedule;
pub mod schema;
pub mod select;
pub mod settings;
pub mod shipped;
mod values;
