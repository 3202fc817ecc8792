//! What people ask for, one deed a file. Each takes a [`host::Host`], plain values and a [`watch::Watch`],
//! and gives a report or a [`crate::failure::Failure`]. Nothing here prints.

pub mod backup;
pub mod browse;
pub mod delete;
pub mod doctor;
pub mod export;
pub mod host;
pub mod plant;
pub mod recover;
pub mod restore;
pub mod runs;
pub mod snapshots;
pub mod verify;
pub mod watch;
