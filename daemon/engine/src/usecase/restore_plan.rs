//! What a restore would do, before anything is touched: which snapshot, where to, what it replaces, who is
//! stopped meanwhile, and whether there is room. Looking is all that happens here.

use archive::channel::{Looked, printable_path};
use archive::path::TreePath;
use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::{Verified, VerifiedResult};
use crate::failure::{Class, Failure};
use crate::format::manifest::Consistency;
use crate::port::docker::Docker;
use crate::usecase::choice::{Chosen, Damaged, choose};
use crate::usecase::comparing::compare;
use crate::usecase::host::Host;
use crate::usecase::notes::warnings;
use crate::usecase::opened::{Opened, open};
use crate::usecase::restore_fit::Fitting;
use crate::usecase::restore_paths::{apart, count_paths};
use crate::usecase::restore_place::{Place, look, place};
use crate::usecase::restore_room::check_room;
use crate::usecase::source::User;
use crate::usecase::stop_order::dependents_first;
use crate::usecase::{delta, kept, service};
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// What to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// Which source.
    pub source: SourceName,
    /// Whose; `None` is this host.
    pub host: Option<HostName>,
    /// Which snapshot; `None` is the newest.
    pub number: Option<Number>,
    /// The newest that was taken by then.
    pub at: Option<Timestamp>,
    /// Into a new volume of this name, instead of in place.
    pub into: Option<String>,
    /// Into this empty folder of the host, which is absolute, instead of in place.
    pub to: Option<String>,
    /// Only what lies at or beneath these; all if empty.
    pub paths: Vec<TreePath>,
    /// Keep what was there before.
    pub keep_previous: bool,
    /// Change only what differs, in place.
    pub delta: bool,
    /// What waits of a restore that was cut off is not wanted.
    pub fresh: bool,
    /// A partial snapshot will do.
    pub accept_partial: bool,
    /// Another major version of the server will do.
    pub accept_version: bool,
}

/// A container that is stopped meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStop {
    /// Its name.
    pub container: String,
    /// Its image.
    pub image: String,
    /// It runs now, and so will run again.
    pub running: bool,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// Which snapshot.
    pub snapshot: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// How old it is.
    pub age_seconds: i64,
    /// Why this one.
    pub why: String,
    /// How writers were held.
    pub consistency: Consistency,
    /// When it was last read back whole.
    pub proven_at: Option<Timestamp>,
    /// Where it goes: a volume's name or a host folder.
    pub target: String,
    /// The target is there.
    pub target_exists: bool,
    /// The target is a volume that is made for it.
    pub creates_volume: bool,
    /// What is there is replaced.
    pub in_place: bool,
    /// Only what differs of it, and containers are down while all of it is compared.
    pub delta: bool,
    /// A restore that was cut off left at that time what this one goes on with.
    pub unfinished_at: Option<Timestamp>,
    /// So many entries at the top of the target.
    pub replaces_entries: u64,
    /// Only what lies at these is restored; all if empty.
    pub paths: Vec<String>,
    /// Those of them that are not there now; `None` where nothing is replaced, or looking took too long.
    pub absent_paths: Option<Vec<String>>,
    /// So many entries exist only now and go; `None` where nothing is replaced, or counting took too long.
    pub only_now: Option<u64>,
    /// The first of them.
    pub only_now_named: Vec<String>,
    /// So many are of another kind, size, time or link target now.
    pub differing: Option<u64>,
    /// Regular files in the snapshot.
    pub files: u64,
    /// Entries in the snapshot.
    pub entries: u64,
    /// Apparent bytes in the snapshot.
    pub bytes: u64,
    /// Bytes that are written: those of files, holes apart.
    #[serde(skip)]
    pub data_bytes: u64,
    /// Bytes to fetch at most.
    pub fetch_bytes: u64,
    /// Bytes free at the target.
    pub free_bytes: Option<u64>,
    /// Inodes free at the target, where its file system counts them.
    pub free_inodes: Option<u64>,
    /// Containers that use the target, in the order in which they stop; they start in reverse.
    pub stops: Vec<PlannedStop>,
    /// What a person should know before.
    pub warnings: Vec<String>,
    /// What was asked for.
    #[serde(skip)]
    pub request: RestoreRequest,
    /// The very snapshot that was planned.
    #[serde(skip)]
    pub name: SnapshotName,
}

/// Plans a restore. Changes nothing.
pub async fn plan_restore(host: &Host, request: &RestoreRequest) -> Result<RestorePlan, Failure> {
    let Chosen { name, why, warnings: passed_over } = choose(host, request, Damaged::PassOver).await?;
    let opened = open(host, &name).await?;
    let docker = host.docker().await?;
    let place = place(host, &*docker, request).await?;
    let manifest = &opened.signed.manifest;
    if manifest.is_partial() && !request.accept_partial {
        return Err(Failure::new(
            Class::Unsafe,
            format!("snapshot `{}` is partial: {}", opened.id(host), warnings(&manifest.notes).join("; ")),
        )
        .hint("choose another (`backupctl snapshots`), or accept it with `--accept-partial`"));
    }
    delta::check(request)?;
    let in_place = place.exists && request.to.is_none() && request.into.is_none();
    // Of what is not there, nothing can be kept.
    let keep_previous = request.keep_previous && place.exists;
    let request = &RestoreRequest { paths: apart(&request.paths), keep_previous, ..request.clone() };
    let key = host.snapshot_key(&opened.lineage, manifest.number).await?;
    let verified = host.catalog().snapshot(&key).ok().flatten().and_then(|row| row.verified);
    let proven_at = verified.filter(|found| found.result == VerifiedResult::Good).map(|found| found.at);
    let mut plan = RestorePlan {
        snapshot: opened.id(host),
        taken_at: manifest.taken_at,
        age_seconds: host.clock().now().as_second() - manifest.taken_at.as_second(),
        why,
        consistency: manifest.consistency,
        proven_at,
        target: place.name().to_owned(),
        target_exists: place.exists,
        creates_volume: !place.exists,
        in_place,
        delta: false,
        unfinished_at: None,
        replaces_entries: 0,
        paths: request.paths.iter().map(printable_path).collect(),
        absent_paths: None,
        only_now: None,
        only_now_named: Vec::new(),
        differing: None,
        files: manifest.totals.files,
        entries: manifest.totals.entries,
        bytes: manifest.totals.bytes,
        data_bytes: manifest.totals.data_bytes,
        fetch_bytes: manifest.packs.iter().map(crate::format::manifest::PackRef::wanted_bytes).sum(),
        free_bytes: None,
        free_inodes: None,
        stops: stops(&place.users),
        warnings: passed_over,
        request: request.clone(),
        name,
    };
    if place.exists {
        weigh(host, &*docker, &place, &opened, &mut plan).await?;
    } else {
        count_paths(host, &opened, &mut plan).await?;
    }
    let said = plan_warnings(&plan, &opened, verified);
    plan.warnings.extend(said);
    Ok(plan)
}

/// Looks at a target that is there: whether it may be replaced, has room, and fits.
async fn weigh(
    host: &Host,
    docker: &dyn Docker,
    place: &Place,
    opened: &Opened,
    plan: &mut RestorePlan,
) -> Result<(), Failure> {
    service::journal(&place.users)?;
    let looked = look(host, docker, place).await.map_err(|failure| match &plan.request.to {
        Some(folder) if failure.class == Class::NotFound => {
            failure.hint(format!("a folder that is named must be there: `mkdir -p {folder}`"))
        }
        Some(_) | None => failure,
    })?;
    if !plan.in_place && looked.top_entries > 0 {
        return Err(Failure::new(Class::Unsafe, format!("folder `{}` is not empty", plan.target))
            .hint("name another one, or a new one below it: `mkdir DIR` first"));
    }
    plan.delta = plan.request.delta && looked.top_entries > 0;
    let waits = looked.unfinished_at.and_then(|at| Timestamp::from_second(at).ok());
    plan.unfinished_at =
        waits.filter(|_| plan.request.paths.is_empty() && !plan.request.fresh && !plan.delta);
    // How much room a delta needs, or what goes on with another, shows when it has compared; of paths, when they are
    // counted; and beside what waits and is not wanted, when that is removed.
    if !plan.delta && waits.is_none() && plan.request.paths.is_empty() {
        check_room(plan, &looked)?;
    }
    if plan.in_place && plan.request.keep_previous {
        plan.warnings.extend(kept::adding(&plan.request.source, &looked.kept)?);
    }
    plan.replaces_entries = looked.top_entries;
    plan.free_bytes = Some(looked.free_bytes);
    plan.free_inodes = looked.free_inodes;
    let fitting = Fitting {
        opened,
        snapshot: &plan.snapshot,
        target: &plan.target,
        users: &place.users,
        looked: &looked,
        accept_version: plan.request.accept_version,
    };
    let said = fitting.check().await?;
    plan.warnings.extend(said);
    if !plan.in_place {
        count_paths(host, opened, plan).await?;
        return if plan.request.paths.is_empty() { Ok(()) } else { check_room(plan, &looked) };
    }
    if looked.top_entries > 0 || !plan.request.paths.is_empty() {
        weigh_content(host, docker, place, opened, &looked, plan).await?;
    }
    Ok(())
}

/// Looks at what is there, where it is to be replaced.
async fn weigh_content(
    host: &Host,
    docker: &dyn Docker,
    place: &Place,
    opened: &Opened,
    looked: &Looked,
    plan: &mut RestorePlan,
) -> Result<(), Failure> {
    let paths = &plan.request.paths;
    let Some((compared, counted)) = compare(host, docker, place, opened, paths).await? else {
        return Ok(());
    };
    plan.only_now = Some(compared.only_now);
    plan.only_now_named = compared.named;
    plan.differing = Some(compared.differing);
    if paths.is_empty() {
        return Ok(());
    }
    plan.take(counted)?;
    if let Some(blocked) = compared.blocked {
        return Err(Failure::new(
            Class::Unsafe,
            format!(
                "`{blocked}` in `{}` is no folder of it, and what is to be restored lies beneath it",
                plan.target
            ),
        )
        .hint("restore that instead, or beside it with `--into NEW` or `--to DIR`"));
    }
    let absent = |path: &&String| !compared.there.contains(path);
    plan.absent_paths = Some(plan.paths.iter().filter(absent).cloned().collect());
    check_room(plan, looked)
}

/// In the order in which they are stopped, each once.
pub(super) fn stops(users: &[User]) -> Vec<PlannedStop> {
    let mut of: Vec<&User> = Vec::with_capacity(users.len());
    for user in users {
        if !of.iter().any(|known| known.container.id == user.container.id) {
            of.push(user);
        }
    }
    dependents_first(&mut of);
    let stop = |user: &User| PlannedStop {
        container: user.container.name.clone(),
        image: user.container.image.clone(),
        running: user.is_up(),
    };
    of.into_iter().map(stop).collect()
}

fn plan_warnings(plan: &RestorePlan, opened: &Opened, verified: Option<Verified>) -> Vec<String> {
    let manifest = &opened.signed.manifest;
    let mut said = warnings(&manifest.notes);
    if let Some(found) = verified.filter(|found| found.result == VerifiedResult::Damaged) {
        said.push(format!(
            "it was damaged when it was last read back, at {:.0}: `backupctl verify {}` says what of it",
            found.at, plan.snapshot
        ));
    }
    if plan.consistency == Consistency::Live {
        said.push("it was read while containers wrote: its files may be of different moments".to_owned());
    }
    if plan.consistency == Consistency::Dump {
        said.push(
            "what it was made for are dumps, in `.backupd-dump/`: a server loads them, and does not start from them; \
             `--into NEW` puts them into another volume"
                .to_owned(),
        );
    }
    if plan.in_place
        && !plan.request.paths.is_empty()
        && let Some(identity) = &manifest.identity
    {
        said.push(format!(
            "the snapshot is of a database ({}), and a server does not take single files of its data back: restore all of \
             it, or beside it with `--into NEW`",
            identity.split(':').next().unwrap_or_default()
        ));
    }
    for user in &manifest.users {
        for now in plan.stops.iter().filter(|now| now.container == user.container && now.image != user.image)
        {
            said.push(format!("`{}` ran `{}` then and runs `{}` now", now.container, user.image, now.image));
        }
    }
    said
}
