//! Restores a set: all its members, so that those who use them find what belongs together.

use jiff::Timestamp;
use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::usecase::host::Host;
use crate::usecase::opened::open;
use crate::usecase::restore::{RestorePlan, RestoreRequest, plan_restore};
pub use crate::usecase::restore_members::SetReport;
use crate::usecase::restore_members::restore_members;
use crate::usecase::snapshots::{Listed, SnapshotLine, Wanted, WantedHost, snapshots};
use crate::usecase::watch::Watch;
use crate::words::{Number, RunId, SourceName};

/// What a restore of a set would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetPlan {
    /// Its id.
    pub set: String,
    /// What would be done for each member, in the order of names.
    pub members: Vec<RestorePlan>,
    /// Sources that belong to it and have no snapshot of it any more.
    pub missing: Vec<SourceName>,
}

/// How members are restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetTerms {
    /// Keep what was there before.
    pub keep_previous: bool,
    /// What waits of a restore that was cut off is not wanted.
    pub fresh: bool,
    /// A partial snapshot will do, and a set of which members are missing.
    pub accept_partial: bool,
    /// Another major version of a server will do.
    pub accept_version: bool,
}

impl SetTerms {
    /// All of one source, in place.
    pub(super) fn request(
        self,
        source: SourceName,
        number: Option<Number>,
        at: Option<Timestamp>,
    ) -> RestoreRequest {
        RestoreRequest {
            source,
            host: None,
            number,
            at,
            into: None,
            to: None,
            paths: Vec::new(),
            keep_previous: self.keep_previous,
            delta: false,
            fresh: self.fresh,
            accept_partial: self.accept_partial,
            accept_version: self.accept_version,
        }
    }
}

/// Plans a restore of this host's set, each member in place. Changes nothing.
pub async fn plan_restore_set(host: &Host, set: &RunId, terms: SetTerms) -> Result<SetPlan, Failure> {
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let of_set = |line: &SnapshotLine| line.set.as_deref() == Some(set.as_str());
    let Listed { lines, unread } = snapshots(host, &wanted).await?;
    let mut lines: Vec<SnapshotLine> = lines.into_iter().filter(of_set).collect();
    lines.sort_by(|a, b| a.source.cmp(&b.source));
    let (mut there, mut sources) = (Vec::with_capacity(lines.len()), None);
    for line in lines {
        match open(host, &line.name()).await {
            Ok(opened) => {
                sources = sources.or(opened.signed.manifest.set.map(|set| set.sources));
                there.push(line);
            }
            // The catalog remembers it, and the store has it no more.
            Err(failure) if failure.class == Class::NotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    let (lines, Some(sources)) = (there, sources) else {
        // Any that cannot be read may be of it.
        if let Some(one) = unread.into_iter().next() {
            return Err(one.failure.within(&format!("find set `{set}`")));
        }
        return Err(Failure::not_found(format!("there is no set `{set}` of this host"))
            .hint("`backupctl snapshots --json` tells the sets of snapshots"));
    };
    let missing: Vec<SourceName> =
        sources.into_iter().filter(|source| !lines.iter().any(|line| line.source == *source)).collect();
    let unknown = unread.into_iter().find(|one| missing.contains(&one.lineage.source));
    if let Some(one) = unknown.filter(|_| !terms.accept_partial) {
        return Err(one.failure.within(&format!("find what set `{set}` has of `{}`", one.lineage.source)));
    }
    if !missing.is_empty() && !terms.accept_partial {
        let names: Vec<String> = missing.iter().map(|source| format!("`{source}`")).collect();
        return Err(Failure::new(Class::Unsafe, format!("set `{set}` is not whole"))
            .because(format!("it has no snapshot of {} any more", names.join(", ")))
            .hint("take another set, or restore what is there with `--accept-partial`"));
    }
    let mut members = Vec::with_capacity(lines.len());
    for line in lines {
        let number = Number::new(line.number);
        let mut plan = plan_restore(host, &terms.request(line.source, number, None)).await?;
        plan.why = format!("it belongs to set {set}");
        members.push(plan);
    }
    Ok(SetPlan { set: set.to_string(), members, missing })
}

/// Carries a plan out. Fails as a whole as long as nothing was replaced.
pub async fn restore_set(host: &Host, plan: &SetPlan, watch: &dyn Watch) -> Result<SetReport, Failure> {
    let members: Vec<_> = plan.members.iter().map(|member| (host, member)).collect();
    restore_members(&members, watch).await
}
