//! Backups that a schedule asks for, and that nobody waits for.
//!
//! Always true: a slot that failed has a row that says why, also where it failed before its run could begin, so whoever
//! asks how a source stands hears of it. Somebody else who works on the source is no failure yet: see `patient`.

use crate::catalog::{NewRun, Verb};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::backup::{BackupReport, BackupRequest, backup};
use crate::usecase::host::Host;
use crate::usecase::set::backup_set;
use crate::usecase::watch::Watch;
use crate::words::RunId;

/// Backs up one source, or several as a set; a report for each, in the order of names. `patient` is who tries again
/// later where somebody else is at work: that is noted as a failure only for whoever does not.
pub async fn backup_scheduled(
    host: &Host,
    requests: &[BackupRequest],
    patient: bool,
    watch: &dyn Watch,
) -> Result<Vec<BackupReport>, Failure> {
    let before: Vec<Option<RunId>> = requests.iter().map(|request| last(host, request)).collect();
    let done = match requests {
        [request] => backup(host, request, watch).await.map(|report| vec![report]),
        requests => backup_set(host, requests, watch).await,
    };
    if let Err(failure) = &done
        && failure.class != Class::Interrupted
        && !(patient && failure.class == Class::Busy)
    {
        let unbegun = requests.iter().zip(before).filter(|(request, before)| last(host, request) == *before);
        unbegun.for_each(|(request, _)| note(host, request, failure));
    }
    done
}

/// The run of this source that was written down last.
fn last(host: &Host, request: &BackupRequest) -> Option<RunId> {
    // A catalog that cannot be asked takes no row either, and is trouble of its own.
    host.catalog().last_backup(&lineage(host, request)).ok().flatten()
}

fn note(host: &Host, request: &BackupRequest, failure: &Failure) {
    let Lineage { host: own, source } = lineage(host, request);
    let Ok(id) = RunId::random() else { return };
    let new = NewRun {
        id,
        verb: Verb::Backup,
        host: own,
        source: Some(source),
        store: host.store_name().ok(),
        pid: std::process::id(),
    };
    let noted = host.catalog().note_unbegun(&new, failure.class, &failure.to_string(), host.clock().now());
    if let Err(e) = noted {
        tracing::warn!("note that the backup of `{}` failed: {e}", request.source);
    }
}

fn lineage(host: &Host, request: &BackupRequest) -> Lineage {
    Lineage { host: host.settings().host.clone(), source: request.source.clone() }
}
