//! Whether there is room beside what is there for all that a restore brings.

use archive::channel::Looked;

use crate::failure::Failure;
use crate::usecase::restore_plan::RestorePlan;

/// A restored tree needs room for its blocks, folders and inodes too.
const SPARE_BYTES: u64 = 16 << 20;

/// Refuses what cannot fit.
pub(super) fn check_room(plan: &RestorePlan, looked: &Looked) -> Result<(), Failure> {
    let needed = plan.bytes.min(plan.fetch_bytes.saturating_mul(1000)).saturating_add(SPARE_BYTES);
    let inodes = looked.free_inodes.is_none_or(|free| free > plan.entries);
    // The apparent size of sparse files is more than they take, so it only refuses what cannot fit anyhow.
    if inodes && looked.free_bytes >= plan.fetch_bytes.min(needed) {
        return Ok(());
    }
    let what = format!(
        "`{}` has {} MiB and {} inodes free",
        plan.target,
        looked.free_bytes >> 20,
        looked.free_inodes.unwrap_or(0)
    );
    Err(Failure::failed(what)
        .because(format!(
            "the snapshot needs about {} MiB and {} inodes beside what is there",
            plan.bytes >> 20,
            plan.entries
        ))
        .hint("make room, or restore into a volume on another disk with `--into NEW`"))
}
