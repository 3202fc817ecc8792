//! Single paths of a restore: which they are, and what the snapshot has there.

use archive::path::TreePath;

use crate::failure::Failure;
use crate::usecase::comparing::{Counted, count};
use crate::usecase::host::Host;
use crate::usecase::opened::Opened;
use crate::usecase::restore_plan::RestorePlan;

/// Paths in order, none within another; none at all if one of them is the root, for then it is all.
pub(super) fn apart(paths: &[TreePath]) -> Vec<TreePath> {
    if paths.iter().any(TreePath::is_root) {
        return Vec::new();
    }
    let mut paths = paths.to_vec();
    paths.sort();
    paths.dedup_by(|later, earlier| later.is_within(earlier));
    paths
}

/// Counts what is restored of paths, where nothing is compared; refuses one that the snapshot does not have.
pub(super) async fn count_paths(host: &Host, opened: &Opened, plan: &mut RestorePlan) -> Result<(), Failure> {
    if plan.request.paths.is_empty() {
        return Ok(());
    }
    match count(host, opened, &plan.request.paths).await {
        Some(counted) => plan.take(counted),
        None => Ok(()),
    }
}

impl RestorePlan {
    /// What was counted at the paths is what is restored.
    pub(super) fn take(&mut self, counted: Counted) -> Result<(), Failure> {
        if let Some(path) = counted.nothing_at {
            return Err(no_such_path(&self.snapshot, &path));
        }
        (self.files, self.entries) = (counted.files, counted.entries);
        (self.bytes, self.data_bytes) = (counted.bytes, counted.data_bytes);
        Ok(())
    }
}

fn no_such_path(snapshot: &str, path: &TreePath) -> Failure {
    Failure::not_found(format!("`{path}` is not in snapshot `{snapshot}`"))
        .hint(format!("`backupctl ls {snapshot}` lists what is"))
}
