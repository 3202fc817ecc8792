//! Whether there is room beside what is there for all that a restore brings.
//!
//! Looked at before anything is fetched: of a target that is there when the restore is planned, of a volume that is made for it
//! right after that.

use archive::channel::Looked;

use crate::failure::Failure;
use crate::usecase::restore::Deed;
use crate::usecase::restore_plan::RestorePlan;

/// A restored tree needs room for its folders too, and for the ends of its files: at least so much for each entry, so that
/// what might fit is tried.
const SPARE_BYTES_EACH: u64 = 1 << 10;

/// Refuses what does not fit: the bytes of its files as they are written, holes apart, which is not what is fetched.
pub(super) fn check_room(plan: &RestorePlan, looked: &Looked) -> Result<(), Failure> {
    let needed = plan.data_bytes.saturating_add(plan.entries.saturating_mul(SPARE_BYTES_EACH));
    let inodes = looked.free_inodes.is_none_or(|free| free > plan.entries);
    if inodes && looked.free_bytes >= needed {
        return Ok(());
    }
    let what = format!(
        "`{}` has {} MiB{} free",
        plan.target,
        looked.free_bytes >> 20,
        looked.free_inodes.map_or_else(String::new, |free| format!(" and {free} inodes")),
    );
    let beside = if plan.creates_volume { "" } else { " beside what is there" };
    let delta = if plan.in_place && plan.paths.is_empty() && !plan.creates_volume {
        ", restore with `--delta`, which needs room for what differs alone,"
    } else {
        ""
    };
    Err(Failure::failed(what)
        .because(format!("the snapshot needs about {} MiB and {} inodes{beside}", needed >> 20, plan.entries))
        .hint(format!("make room{delta} or restore to a folder on another disk with `--to DIR`")))
}

impl Deed<'_> {
    /// Of the volume that was made: where an engine puts it is seen only then.
    pub(super) async fn check_room_of_new(&self) -> Result<(), Failure> {
        check_room(self.plan, &self.look().await?)
    }
}
