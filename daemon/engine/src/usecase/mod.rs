//! What people ask for, one deed a file. Each takes a [`host::Host`], plain values and a [`watch::Watch`],
//! and gives a report or a [`crate::failure::Failure`]. Nothing here prints.

pub mod backup;
pub mod base;
mod blame;
pub mod browse;
mod choice;
mod commit;
pub mod cover;
pub mod delete;
pub mod doctor;
pub mod export;
mod glob;
pub mod health;
pub mod host;
mod index;
mod job;
pub mod ledger;
mod notes;
mod opened;
mod orphans;
mod pass;
pub mod plant;
pub mod recover;
pub mod restore;
mod restore_plan;
mod resume;
mod run;
pub mod runs;
mod service;
pub mod snapshots;
mod source;
pub mod verify;
pub mod watch;
