//! Backs several sources up as a set: those who write to any of them are held at one moment, and restored together.
//!
//! ```text
//! lock all lineages, in the order of names → run rows → first pass of each → a helper waits beside each
//!   → all who write to any of them are held → second passes, all at once → let go → packs complete
//!   → what the guard says of each → commit of each
//! ```
//!
//! Always true: nothing is committed before every member could be; each member is a snapshot like any other and names all that
//! belong to the set, so whoever reads one knows whether the others are there. A crash between two commits leaves a
//! set that is not whole, and says so; its snapshots are whole, each by itself.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, try_join_all};
use policies::policy::{self, Mode, print_time};

use crate::catalog::Verb;
use crate::failure::{Class, Failure};
use crate::format::manifest::SetOf;
use crate::format::names::Lineage;
use crate::port::docker::Docker;
use crate::port::store::Store;
use crate::usecase::backup::{BackupReport, BackupRequest, Deed, Settled, cancelled};
use crate::usecase::base::WhyFull;
use crate::usecase::begun::Begun;
use crate::usecase::host::Host;
use crate::usecase::pass::Passed;
use crate::usecase::recipe::{Recipe, Second};
use crate::usecase::run::Run;
use crate::usecase::source::{self, Source};
use crate::usecase::watch::Watch;
use crate::words::SourceName;

/// One member, while its set is made.
struct Member {
    lineage: Lineage,
    source: Source,
}

/// Backs sources up at one moment, and gives the snapshots once all are committed, in the order of names.
///
/// If it fails after some were committed, the failure says which.
pub async fn backup_set(
    host: &Host,
    requests: &[BackupRequest],
    watch: &dyn Watch,
) -> Result<Vec<BackupReport>, Failure> {
    let began = host.clock().elapsed();
    let docker = host.docker().await?;
    let mut requests: Vec<&BackupRequest> = requests.iter().collect();
    requests.sort_by(|a, b| a.source.cmp(&b.source));
    requests.dedup_by(|a, b| a.source == b.source);
    let together: Vec<SourceName> = requests.iter().map(|request| request.source.clone()).collect();
    let mut members = Vec::with_capacity(requests.len());
    for request in &requests {
        refuse_mode(request)?;
        let source = source::resolve(&*docker, &request.source).await?;
        source::refuse_own_folders(host, &source)?;
        let lineage = Lineage { host: host.settings().host.clone(), source: request.source.clone() };
        members.push(Member { lineage, source });
    }
    refuse_mixed(&requests)?;
    let store = host.store_to_fill().await?;
    // Two sets of the same sources take their locks in the same order, so neither waits for the other.
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(members.len());
    for member in &members {
        match Run::begin(host, Verb::Backup, &member.lineage) {
            Ok(run) => runs.push(run),
            Err(failure) => {
                for run in runs {
                    let also = Failure::new(failure.class, format!("its set failed: {failure}"));
                    let _told: Result<(), Failure> = run.end(Err(also));
                }
                return Err(failure);
            }
        }
    }
    let Some(first) = runs.first() else {
        return Err(Failure::new(Class::Usage, "a set of nothing").hint("name its sources"));
    };
    let set = SetOf { id: first.id().clone(), sources: together.clone() };
    let all = Ports { host, docker: &*docker, store: &*store, watch };
    let parts = members.iter().zip(&requests).zip(&runs);
    let deeds: Vec<Deed<'_>> =
        parts.map(|((m, request), run)| all.deed(m, request, run, &together, &set)).collect();
    let done = tokio::select! {
        done = AssertUnwindSafe(Box::pin(make(&deeds))).catch_unwind() => done.unwrap_or_else(|_panic| {
            Err(Failure::failed("back up a set").because("it broke down"))
        }),
        () = any_cancelled(&deeds) => Err(Failure::new(Class::Interrupted, "backup of a set was interrupted")),
    };
    let ends = match done {
        Ok(reports) => reports.into_iter().map(|report| Settled::Over(Ok(report))).collect(),
        Err(failure) => clean_up(&deeds, failure).await,
    };
    drop(deeds);
    let seconds = host.clock().elapsed().saturating_sub(began).as_secs_f64();
    let (mut reports, mut failed) = (Vec::new(), None);
    for (run, end) in runs.into_iter().zip(ends) {
        match end {
            Settled::Over(done) => match run.end(done) {
                Ok(report) => reports.push(BackupReport { seconds, ..report }),
                Err(failure) => failed = failed.or(Some(failure)),
            },
            // Its row stays unfinished: recovery tries again what could not be taken back now.
            Settled::Left(failure) => failed = failed.or(Some(failure)),
        }
    }
    match failed {
        None => Ok(reports),
        Some(failure) if reports.is_empty() => Err(failure),
        Some(failure) => {
            let there: Vec<&str> = reports.iter().map(|report| report.snapshot.as_str()).collect();
            let what = format!("the set {} is not whole: only {} of it is there", set.id, there.join(", "));
            Err(failure.within(&what))
        }
    }
}

/// Whether a set can be made in this mode.
fn refuse_mode(request: &BackupRequest) -> Result<(), Failure> {
    let mode = request.consistency.mode;
    match mode {
        Mode::Pause | Mode::Stop => Ok(()),
        Mode::Live | Mode::Hooks | Mode::Postgres | Mode::Mysql | Mode::Redis | Mode::Rrd | Mode::Dump => {
            Err(Failure::new(Class::Usage, format!("`{}` cannot be part of a set", request.source))
                .because(format!("in mode `{}` nobody is held, or not for all at one moment", mode.word()))
                .hint("a set needs mode `pause` or `stop`, in its policy or by `--consistency`"))
        }
    }
}

/// All are held at one moment, so in one way: what one policy says cannot hold for the sources of another.
fn refuse_mixed(requests: &[&BackupRequest]) -> Result<(), Failure> {
    let [first, others @ ..] = requests else { return Ok(()) };
    let differs = |a: &policy::Consistency, b: &policy::Consistency| {
        if a.mode != b.mode {
            return Some(("mode", a.mode.word().to_owned(), b.mode.word().to_owned()));
        }
        if a.max_freeze != b.max_freeze {
            return Some(("max_freeze", print_time(a.max_freeze), print_time(b.max_freeze)));
        }
        let word = |c: &policy::Consistency| c.on_unfreezable.word().to_owned();
        (a.on_unfreezable != b.on_unfreezable).then(|| ("on_unfreezable", word(a), word(b)))
    };
    let (a, is) = (&first.source, &first.consistency);
    let found = others.iter().find_map(|b| Some((&b.source, differs(is, &b.consistency)?)));
    let Some((b, (key, of_a, of_b))) = found else { return Ok(()) };
    Err(Failure::new(Class::Usage, format!("`{a}` and `{b}` cannot be of one set"))
        .because(format!("`{key}` is `{of_a}` for `{a}` and `{of_b}` for `{b}`"))
        .hint("give them one policy, or the same `[consistency]`; or say for all of them how: `--consistency MODE`"))
}

/// What all members share.
struct Ports<'a> {
    host: &'a Host,
    docker: &'a dyn Docker,
    store: &'a dyn Store,
    watch: &'a dyn Watch,
}

impl<'a> Ports<'a> {
    fn deed(
        &self,
        member: &'a Member,
        request: &'a BackupRequest,
        run: &'a Run<'a>,
        together: &'a [SourceName],
        set: &SetOf,
    ) -> Deed<'a> {
        Deed {
            host: self.host,
            docker: self.docker,
            store: self.store,
            lineage: &member.lineage,
            source: &member.source,
            request,
            run,
            watch: self.watch,
            warned: Mutex::default(),
            together,
            set: Some(set.clone()),
        }
    }
}

async fn any_cancelled(deeds: &[Deed<'_>]) {
    let each = deeds.iter().map(|deed| Box::pin(cancelled(deed.run, deed.watch)));
    futures_util::future::select_all(each).await;
}

/// A member that was read once.
struct Read {
    begun: Begun,
    first: Passed,
    lost: Option<WhyFull>,
}

async fn make(deeds: &[Deed<'_>]) -> Result<Vec<BackupReport>, Failure> {
    let [leader, ..] = deeds else { return Ok(Vec::new()) };
    leader.own().await?;
    let mut recipe = None;
    let mut members = Vec::with_capacity(deeds.len());
    for deed in deeds {
        let begun = deed.begin().await?;
        let of_this = deed.recipe().await?.ok_or_else(|| not_together(deed))?;
        recipe.get_or_insert(of_this);
        let (first, lost) = deed.read_first(&begun, None).await?;
        members.push(Read { begun, first, lost });
    }
    let passed = match recipe {
        Some(mut recipe) => at_one_moment(deeds, &members, &mut *recipe).await?,
        None => Vec::new(),
    };
    let mut manifests = Vec::with_capacity(deeds.len());
    for ((deed, member), passed) in deeds.iter().zip(&members).zip(passed) {
        manifests.push(deed.judge(&member.begun, passed).await?);
    }
    let mut reports = Vec::with_capacity(deeds.len());
    for ((deed, member), manifest) in deeds.iter().zip(members).zip(manifests) {
        let mut report = deed.settle(&member.begun, manifest).await?;
        report.warnings.extend(member.lost.map(|why| format!("took a full backup: {why}")));
        reports.push(report);
    }
    Ok(reports)
}

/// What changed since the first passes, read while all who write to any member are held.
async fn at_one_moment(
    deeds: &[Deed<'_>],
    members: &[Read],
    recipe: &mut dyn Recipe,
) -> Result<Vec<Passed>, Failure> {
    let [leader, ..] = deeds else { return Ok(Vec::new()) };
    let Second::Held(how) = recipe.second() else { return Err(not_together(leader)) };
    let mut written = Vec::with_capacity(deeds.len());
    for deed in deeds {
        written.push(deed.is_written().await?);
    }
    let mut waiting = Vec::with_capacity(deeds.len());
    for ((deed, member), _) in deeds.iter().zip(members).zip(&written).filter(|(_, written)| **written) {
        let Begun { number, taken_at, parent, .. } = &member.begun;
        let ground = deed.ground(*number, *taken_at, member.first.clone(), parent.as_ref()).await?;
        waiting.push(deed.wait_to_read_again(&ground).await?);
    }
    if waiting.is_empty() {
        return Ok(members.iter().map(|member| member.first.clone()).collect());
    }
    let Some(freeze) = leader.freeze(how, recipe).await? else {
        join_all(waiting.into_iter().map(|waiting| waiting.give_up())).await;
        return Err(not_together(leader));
    };
    let readers = deeds.iter().zip(&written).filter(|(_, written)| **written).map(|(deed, _)| deed);
    let reads = readers.zip(waiting).map(|(deed, waiting)| deed.read_waiting(waiting));
    let (sofar, held) = leader.frozen(freeze, recipe, Box::pin(try_join_all(reads))).await?;
    // At once, as they were pictured: until it is read a picture takes room of those who write.
    let readers = deeds.iter().zip(&written).filter(|(_, written)| **written).map(|(deed, _)| deed);
    let rests = readers.zip(sofar).map(|(deed, sofar)| deed.rest(sofar));
    let mut received = try_join_all(rests).await?.into_iter();
    let mut passed = Vec::with_capacity(deeds.len());
    for ((deed, member), written) in deeds.iter().zip(members).zip(written) {
        let of_this = if written { received.next() } else { None };
        passed.push(match of_this {
            None => member.first.clone(),
            Some(received) => {
                let incremental = member.first.incremental;
                Passed { incremental, held: Some(held), ..deed.complete(received).await? }
            }
        });
    }
    recipe.end(leader).await?;
    Ok(passed)
}

fn not_together(deed: &Deed<'_>) -> Failure {
    Failure::new(Class::Unsafe, format!("those who write to `{}` cannot be held", deed.request.source))
        .because("a set is of one moment, or it is none")
        .hint("back its sources up one by one, or make it possible to hold them: `backupctl volumes`")
}

/// Lets go, and takes back what each has put into the store. Who was committed stays.
async fn clean_up(deeds: &[Deed<'_>], failure: Failure) -> Vec<Settled> {
    let (class, words) = (failure.class, failure.to_string());
    let mut ends = Vec::with_capacity(deeds.len());
    // The first one tells why; the others, that it was not they.
    let mut first = Some(failure);
    for deed in deeds {
        let also = || Failure::new(class, format!("its set failed: {words}"));
        ends.push(deed.clean_up(first.take().unwrap_or_else(also)).await);
    }
    ends
}
