//! The use cases on twins: what people ask for, and what goes wrong on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "these files are what programs leave in a volume")]

mod browsing;
mod committing;
mod damaged;
mod deleting;
mod differing;
mod drilling;
mod dumping;
mod fetching;
mod fitting;
mod flipping;
mod freezing;
mod full_disk;
mod healing;
mod hooking;
mod importing;
mod incremental;
mod mapped;
mod new_volumes;
mod pictures;
mod postgres;
mod projects;
mod recipes;
mod refused;
mod restoring;
mod restoring_beside;
mod restoring_down;
mod restoring_paths;
mod retention;
mod rising;
mod scheduling;
mod sets;
mod spooling;
mod stores;
#[path = "../support/mod.rs"]
mod support;
mod twice;
mod undoing;
mod unfinished;
mod unreadable;
mod written_meanwhile;
