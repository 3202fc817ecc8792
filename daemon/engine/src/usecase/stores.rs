//! Which stores this host uses, and which of them has what somebody asks for.
//!
//! The settings name one, and each policy may name its own. A store that nobody names any more, and of which the
//! catalog still remembers snapshots, is a former one. It is not asked, for its name alone does not say how.
//!
//! Always true: that a snapshot is there is said by its store, and the catalog tells only where to ask first; a
//! store that cannot be asked is an error and never a "no"; of two that have the same number, none is guessed.

use jiff::Timestamp;
use policies::policy::{Folder, Terms};

use crate::catalog::{Filter, SnapshotRow};
use crate::failure::{Class, Failure};
use crate::format::names::Lineage;
use crate::usecase::host::{Host, catalog_failure};
use crate::usecase::index;
use crate::usecase::snapshots::{Refreshed, refresh};
use crate::usecase::unread;
use crate::words::{HostName, Number, SnapshotName, SourceName};

/// This host at the store in which the snapshots of a policy live; `host` is at that of the settings.
pub fn host_for(host: &Host, terms: Option<&Terms>) -> Host {
    match terms.and_then(|terms| terms.store.as_deref()) {
        Some(store) => host.at(store),
        None => host.clone(),
    }
}

/// This host at each of its stores.
pub struct Stores {
    /// The settings' first. Never empty.
    named: Vec<Host>,
    /// As the catalog calls them.
    former: Vec<String>,
}

/// This host at each store that settings and policies name, the settings' first.
///
/// # Errors
///
/// One store that is named by two addresses would hold two histories of a source in one folder.
pub fn named(host: &Host, policies: Option<&Folder>) -> Result<Vec<Host>, Failure> {
    let mut named = vec![host.clone()];
    for policy in policies.into_iter().flat_map(Folder::policies) {
        let Some(store) = policy.terms().and_then(|terms| terms.store.as_deref()) else { continue };
        let at = host.at(store);
        match named.iter().find(|other| is_one(other, &at)) {
            Some(other) if other.store_address() != at.store_address() => {
                return Err(two_ways(&policy.name, other, &at));
            }
            Some(_) => {}
            None => named.push(at),
        }
    }
    Ok(named)
}

/// What is looked for.
struct Sought {
    lineage: Lineage,
    /// The newest if `None`.
    number: Option<Number>,
    /// The newest that was taken by then.
    at: Option<Timestamp>,
    standing: Standing,
}

/// Which snapshots count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Those that can be restored.
    Live,
    /// Those that were soft-deleted.
    Deleted,
    /// Both.
    Either,
}

impl Stores {
    /// One, because somebody has said so.
    pub fn only(host: &Host) -> Self {
        Self { named: vec![host.clone()], former: Vec::new() }
    }

    /// The one of the settings, those of policies as far as these could be read, and former ones.
    pub fn of(host: &Host, policies: Option<&Folder>) -> Result<Self, Failure> {
        let named = named(host, policies)?;
        let known = host.catalog().stores().map_err(|e| catalog_failure("look for stores", e))?;
        let is_named =
            |name: &String| named.iter().any(|at| at.indexed_name().is_ok_and(|indexed| indexed == *name));
        let former = known.into_iter().filter(|name| !is_named(name)).collect();
        Ok(Self { named, former })
    }

    /// The stores of settings and policies.
    pub fn named(&self) -> &[Host] {
        &self.named
    }

    /// Stores that nobody names any more, and of which the catalog remembers snapshots.
    pub fn former(&self) -> &[String] {
        &self.former
    }

    /// Those that can have something: a folder that no backup has used yet has nothing. At least one, which says
    /// itself that it is not there.
    pub fn in_use(&self) -> Vec<&Host> {
        let used: Vec<&Host> = self.named.iter().filter(|at| !at.is_new_folder_store()).collect();
        if used.is_empty() { self.named.iter().take(1).collect() } else { used }
    }

    /// This host at the store that has a snapshot; without a number, at the one that has the newest of its source.
    /// Where none has it, whoever asks there is told so.
    pub async fn having(&self, name: &SnapshotName, standing: Standing) -> Result<Host, Failure> {
        let lineage = self.lineage(name.host.as_ref(), &name.source);
        self.find(&Sought { lineage, number: name.number, at: None, standing }).await
    }

    /// This host at the store that has the newest snapshot of a source that was taken by `at`.
    pub async fn newest(
        &self,
        host: Option<&HostName>,
        source: &SourceName,
        at: Option<Timestamp>,
    ) -> Result<Host, Failure> {
        let lineage = self.lineage(host, source);
        self.find(&Sought { lineage, number: None, at, standing: Standing::Live }).await
    }

    /// This host at every store in use that has something of a source of its own.
    pub async fn all_having(&self, source: &SourceName) -> Result<Vec<Host>, Failure> {
        let in_use = self.in_use();
        let lineage = self.lineage(None, source);
        let sought = Sought { lineage, number: None, at: None, standing: Standing::Either };
        let found = if in_use.len() > 1 { among(&in_use, &sought).await? } else { Vec::new() };
        Ok(if found.is_empty() { vec![in_use[0].clone()] } else { found })
    }

    fn lineage(&self, host: Option<&HostName>, source: &SourceName) -> Lineage {
        let own = &self.named[0].settings().host;
        Lineage { host: host.unwrap_or(own).clone(), source: source.clone() }
    }

    async fn find(&self, sought: &Sought) -> Result<Host, Failure> {
        let in_use = self.in_use();
        if in_use.len() == 1 && self.former.is_empty() {
            return Ok(in_use[0].clone());
        }
        let (mut known, mut other) = (Vec::new(), Vec::new());
        for at in &in_use {
            if rows(at, &sought.lineage)?.is_empty() { other.push(*at) } else { known.push(*at) }
        }
        for wave in [known, other] {
            let found = among(&wave, sought).await?;
            if !found.is_empty() {
                return one_of(found, sought).await;
            }
        }
        match self.remembered(sought)? {
            Some(store) => Err(Failure::not_found(format!(
                "`{}` is in store `{store}`, which neither settings nor policies name",
                sought.shown()
            ))
            .hint("name it with `--store`, and how it is reached: its endpoint and region")),
            None => Ok(in_use[0].clone()),
        }
    }

    /// The former store in which the catalog remembers it.
    fn remembered(&self, sought: &Sought) -> Result<Option<&String>, Failure> {
        for store in &self.former {
            let rows = self.named[0].catalog().snapshots(&Filter::of(store, &sought.lineage));
            let rows = rows.map_err(|e| catalog_failure("look which store has it", e))?;
            let is_it = |row: &SnapshotRow| match sought.number {
                Some(number) => row.key.number == number,
                None => row.deleted_at.is_none(),
            };
            if rows.iter().any(is_it) {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }
}

impl Sought {
    fn shown(&self) -> SnapshotName {
        SnapshotName { host: None, source: self.lineage.source.clone(), number: self.number }
    }
}

/// One place, whatever is said of how to reach it. The catalog tells no more than that apart.
fn is_one(one: &Host, other: &Host) -> bool {
    match (one.indexed_name(), other.indexed_name()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), _) | (_, Err(_)) => one.store_address() == other.store_address(),
    }
}

fn two_ways(policy: &str, one: &Host, other: &Host) -> Failure {
    let (one, other) = (one.store_address(), other.store_address());
    Failure::new(Class::Usage, format!("policy `{policy}` names store `{other}`, which is also `{one}`"))
        .hint("write the same address in settings and policies, or give one of them a prefix of its own")
}

/// Those of `stores` that say that they have it.
async fn among(stores: &[&Host], sought: &Sought) -> Result<Vec<Host>, Failure> {
    let mut found = Vec::new();
    for at in stores {
        let asked = |failure: Failure| {
            let hint = format!("name the store with `--store`, if it is not in `{}`", at.store_address());
            failure.within("look which store has it").hint(hint)
        };
        let store = at.reading().await.map_err(asked)?;
        let folder = index::folder(&*store, &sought.lineage).await.map_err(asked)?;
        let has = |numbers: &[Number]| match sought.number {
            Some(number) => numbers.contains(&number),
            None => !numbers.is_empty(),
        };
        let there = match sought.standing {
            Standing::Live => has(&folder.live),
            Standing::Deleted => has(&folder.deleted),
            Standing::Either => has(&folder.live) || has(&folder.deleted),
        };
        if there {
            found.push((*at).clone());
        }
    }
    Ok(found)
}

/// Of several that have it, the one with the newest; a number means one snapshot alone, so it is not enough then.
async fn one_of(mut found: Vec<Host>, sought: &Sought) -> Result<Host, Failure> {
    if sought.number.is_some() && found.len() > 1 {
        let addresses: Vec<String> = found.iter().map(|at| format!("`{}`", at.store_address())).collect();
        let what = format!("`{}` is in {} stores", sought.shown(), found.len());
        return Err(Failure::new(Class::Usage, what)
            .hint(format!("say which with `--store`: {}", addresses.join(" or "))));
    }
    let mut best = 0;
    if found.len() > 1 {
        let mut newest = None;
        for (place, at) in found.iter().enumerate() {
            let Refreshed { rows, unread, .. } = refresh(at, &*at.reading().await?, &sought.lineage).await?;
            let newest_here = newest_in(&rows, sought.at);
            unread::refuse(unread, &rows, sought.at, newest_here.map(|row| row.key.number)).map_err(|failure| {
                failure.hint(format!(
                    "it may be newer than those of other stores; `--store` names the one to take, `{}` or another",
                    at.store_address()
                ))
            })?;
            let taken = newest_here.map(|row| row.taken_at);
            if taken > newest {
                (newest, best) = (taken, place);
            }
        }
    }
    Ok(found.swap_remove(best))
}

fn newest_in(rows: &[SnapshotRow], at: Option<Timestamp>) -> Option<&SnapshotRow> {
    let live = rows.iter().filter(|row| row.deleted_at.is_none());
    live.filter(|row| at.is_none_or(|at| row.taken_at <= at)).max_by_key(|row| row.taken_at)
}

/// What the catalog knows of a lineage in one store.
fn rows(at: &Host, lineage: &Lineage) -> Result<Vec<SnapshotRow>, Failure> {
    let filter = Filter::of(&at.indexed_name()?, lineage);
    at.catalog().snapshots(&filter).map_err(|e| catalog_failure("look which store has it", e))
}
