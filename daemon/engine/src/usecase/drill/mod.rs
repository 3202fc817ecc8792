//! Drills: a snapshot is restored into a scratch volume of ours, the server it belongs to is started on it, and the
//! server's own checker says whether it is whole. That it starts and answers proves nothing.
//!
//! Always true: a drill touches nothing but what it made itself, and all of that is gone when it is over, however it is
//! over; its server has no network and sees no other volume; `proven` is said by a checker that ran to its end.

mod checker;
mod files;
mod found;
mod mysql;
mod plan;
mod postgres;
mod redis;
mod rehearsal;
mod rrd;
mod scheduled;
mod shell;
pub(crate) mod signs;
mod stage;
mod standing;
mod verdict;

pub use self::checker::Checker;
pub use self::found::{DrillLine, last, refuted};
pub use self::plan::{DrillPlan, DrillRequest, plan_drill};
pub use self::rehearsal::drill;
pub use self::scheduled::rehearse;
pub use self::standing::{DrillStanding, Drilled};
pub use self::verdict::DrillReport;
