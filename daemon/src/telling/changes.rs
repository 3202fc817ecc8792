//! What people are told: a pure function of how sources stood when somebody was last told, and of how they stand.
//!
//! Always true: a change is told once, however often it is looked at; nothing is called well before a whole
//! snapshot says so.

use std::collections::{BTreeMap, BTreeSet};

use engine::catalog::DrillResult;
use engine::usecase::drill::DrillStanding;
use engine::usecase::health::Health;
use engine::usecase::vanished::Vanished;
use jiff::{SignedDuration, Timestamp};
use policies::policy::Event;
use serde::{Deserialize, Serialize};

use crate::keeping::Unsettled;

/// So far a clock may be set back and what it said be believed.
const SLACK: SignedDuration = SignedDuration::from_hours(1);

/// How a source stood when somebody was last told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stood {
    failing: bool,
    /// Its last good snapshot when it began to fail: only a newer one ends that.
    good: Option<Timestamp>,
    overdue: bool,
    held: bool,
    /// Its pruning was left undone.
    unpruned: bool,
    vanished: bool,
    /// Somebody wants it backed up, and no run comes for it.
    unsettled: bool,
    /// A drill did not prove it.
    refuted: bool,
    /// Its proof is too old.
    unproven: bool,
    /// Of the host itself: what is wrong with it.
    troubles: BTreeSet<Trouble>,
}

/// What keeps a whole host from being backed up, or put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trouble {
    /// Policies are bad, or went.
    Policies,
    /// Docker, the catalog or the state folder cannot be asked.
    Looking,
    /// What dead runs left is left.
    Recovery,
}

impl Trouble {
    /// What is said when it is over.
    fn over(self) -> &'static str {
        match self {
            Self::Policies => "its policies are good again",
            Self::Looking => "it can be looked at again",
            Self::Recovery => "nothing is left of dead runs",
        }
    }
}

/// The host itself, among the sources.
const HOST: &str = "";

/// All sources that somebody was told of.
pub(crate) type Told = BTreeMap<String, Stood>;

/// How all sources stand now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stand<'a> {
    pub(crate) health: &'a [Health],
    pub(crate) vanished: &'a [Vanished],
    pub(crate) unsettled: &'a [Unsettled],
    /// What is wrong with the host itself, in words.
    pub(crate) troubles: &'a [(Trouble, String)],
    /// Nobody has looked at the sources yet.
    pub(crate) unseen: bool,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) event: Event,
    pub(crate) source: String,
    pub(crate) policy: String,
    pub(crate) text: String,
}

/// What changed since `told`, and what is told then. `known` are the sources that are still somebody's: one that is
/// away for a moment comes back to what was told of it.
pub(crate) fn changes(told: &Told, stand: &Stand<'_>, known: impl Fn(&str) -> bool) -> (Told, Vec<News>) {
    let Stand { health, vanished, unsettled, troubles, unseen } = *stand;
    let kept = |source: &str| unseen || source == HOST || known(source);
    let mut after: Told = told.iter().filter(|(source, _)| kept(source)).map(cloned).collect();
    let mut news = look_at_host(after.entry(HOST.to_owned()).or_default(), troubles);
    if unseen {
        after.retain(|_, stood| *stood != Stood::default());
        return (after, news);
    }
    for health in health {
        let stood = after.entry(health.source.clone()).or_default();
        for (event, text) in look(stood, health) {
            let (source, policy) = (health.source.clone(), health.policy.clone());
            news.push(News { event, source, policy, text });
        }
    }
    for gone in vanished {
        let stood = after.entry(gone.source.clone()).or_default();
        if !stood.vanished {
            stood.vanished = true;
            let (source, policy) = (gone.source.clone(), gone.policy.clone());
            let text = gone_text(gone);
            news.push(News { event: Event::Vanished, source, policy, text });
        }
    }
    for one in unsettled {
        let stood = after.entry(one.source.clone()).or_default();
        if !stood.unsettled {
            stood.unsettled = true;
            let Unsettled { source, policy, text } = one.clone();
            news.push(News { event: Event::Failure, source, policy, text });
        }
    }
    let is_settled = |source: &str| !unsettled.iter().any(|one| one.source == source);
    after.iter_mut().filter(|(source, _)| is_settled(source)).for_each(|(_, stood)| stood.unsettled = false);
    let missed = |source: &str| vanished.iter().any(|gone| gone.source == source);
    after.iter_mut().filter(|(source, _)| !missed(source)).for_each(|(_, stood)| stood.vanished = false);
    after.retain(|_, stood| *stood != Stood::default());
    (after, news)
}

/// The host itself.
fn look_at_host(stood: &mut Stood, troubles: &[(Trouble, String)]) -> Vec<News> {
    let of_host = |event, text| News { event, source: HOST.to_owned(), policy: String::new(), text };
    let now: BTreeSet<Trouble> = troubles.iter().map(|(trouble, _)| *trouble).collect();
    let new = troubles.iter().filter(|(trouble, _)| !stood.troubles.contains(trouble));
    let mut news: Vec<News> = new.map(|(_, text)| of_host(Event::Failure, text.clone())).collect();
    let over: Vec<&str> = stood.troubles.difference(&now).map(|trouble| trouble.over()).collect();
    if !over.is_empty() {
        news.push(of_host(Event::Recovery, over.join(", ")));
    }
    stood.troubles = now;
    news
}

/// What was good at a time that has not come, by a clock that was ahead, would keep every later good one from ending a
/// failure, and so every later failure from being told.
pub(crate) fn set_right(told: &mut Told, now: Timestamp) {
    let latest = now.checked_add(SLACK).unwrap_or(Timestamp::MAX);
    told.values_mut().for_each(|stood| stood.good = stood.good.filter(|good| *good <= latest));
}

fn cloned((source, stood): (&String, &Stood)) -> (String, Stood) {
    (source.clone(), stood.clone())
}

/// For the log and for people.
pub(crate) fn gone_text(gone: &Vanished) -> String {
    let Vanished { source, policy, since } = gone;
    format!(
        "`{source}`, which policy `{policy}` backs up, is not there any more since {since}; if that is meant, \
         `backupctl acknowledge {source}`"
    )
}

/// One source that is there.
fn look(stood: &mut Stood, health: &Health) -> Vec<(Event, String)> {
    let source = &health.source;
    let mut news = Vec::new();
    let mut well = Vec::new();
    if stood.vanished {
        well.push("is there again".to_owned());
        stood.vanished = false;
    }
    if stood.unsettled {
        well.push(format!("is under policy `{}` again", health.policy));
        stood.unsettled = false;
    }
    if health.failures > 0 && !stood.failing {
        let why = health.message.as_deref().unwrap_or("`backupctl runs` tells why");
        news.push((Event::Failure, format!("backup of `{source}` failed: {why}")));
        (stood.failing, stood.good) = (true, health.last_good);
    } else if health.failures == 0 && stood.failing && health.last_good > stood.good {
        well.push("has a good snapshot again".to_owned());
        (stood.failing, stood.good) = (false, None);
    }
    match (stood.overdue, health.overdue) {
        (false, true) => {
            let last = match health.last_good {
                Some(at) => format!("its last good snapshot is of {at}"),
                None => "it has no good snapshot at all".to_owned(),
            };
            news.push((Event::Overdue, format!("`{source}` is overdue: {last}")));
        }
        (true, false) => well.push("is not overdue any more".to_owned()),
        (true, true) | (false, false) => {}
    }
    stood.overdue = health.overdue;
    if let (Some(flag), false) = (&health.held, stood.held) {
        let next = format!("look at it, then `backupctl acknowledge {source}`");
        news.push((Event::Guard, format!("`{source}` {flag}; nothing of it is pruned: {next}")));
    }
    stood.held = health.held.is_some();
    match (&health.unpruned, stood.unpruned) {
        (Some(why), false) => news.push((Event::Failure, format!("`{source}` is not pruned: {why}"))),
        (None, true) => well.push("is pruned again".to_owned()),
        (Some(_), true) | (None, false) => {}
    }
    stood.unpruned = health.unpruned.is_some();
    look_at_drills(stood, health, &mut news, &mut well);
    if !well.is_empty() {
        news.push((Event::Recovery, format!("`{source}` {}", well.join(", "))));
    }
    news
}

/// What its drills say.
fn look_at_drills(
    stood: &mut Stood,
    health: &Health,
    news: &mut Vec<(Event, String)>,
    well: &mut Vec<String>,
) {
    let (source, drill) = (&health.source, health.drill.as_ref());
    let trouble = drill.and_then(DrillStanding::trouble);
    let overdue = drill.is_some_and(|drill| drill.overdue);
    match (stood.refuted, &trouble) {
        (false, Some(trouble)) => news.push((Event::Failure, format!("`{source}`: {trouble}"))),
        (true, None) if drill.is_some_and(is_proven) => well.push("was proven by a drill again".to_owned()),
        // Nobody wants drills of it any more, say.
        (true, None | Some(_)) | (false, None) => {}
    }
    if overdue && !stood.unproven {
        let last = match drill.and_then(|drill| drill.proven_at) {
            Some(at) => format!("was last proven by a drill at {at}"),
            None => "was never proven by a drill".to_owned(),
        };
        news.push((Event::Overdue, format!("`{source}` {last}")));
    } else if !overdue && stood.unproven {
        well.push("has a proof that is new enough".to_owned());
    }
    (stood.refuted, stood.unproven) = (trouble.is_some(), overdue);
}

fn is_proven(drill: &DrillStanding) -> bool {
    drill.last.as_ref().is_some_and(|last| last.result == DrillResult::Proven)
}

#[cfg(test)]
mod tests;
