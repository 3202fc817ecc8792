//! Rules between keys: what is fine on its own and makes no sense together, or is missing.
//!
//! Always true: a rule about a value that could not be read stays silent; that was blamed already.

use std::ops::Range;

use crate::complaint::Judge;
use crate::policy::key::Draft;
use crate::policy::terms::{Event, Mode, Terms};
use crate::policy::{Policy, Rule};

/// Blames what does not fit. Without blame there is a policy; with it, what is given is of no use.
pub(crate) fn finish(judge: &mut Judge<'_>, name: String, draft: Draft) -> Option<Policy> {
    selects_something(judge, &name, &draft);
    if draft.at("nothing").is_some() {
        stands_alone(judge, &draft);
        return Some(Policy { name, select: draft.select, rule: Rule::Nothing { because: draft.nothing? } });
    }
    says_when_and_how(judge, &draft);
    keeps_something(judge, &draft);
    hooks_fit(judge, &draft);
    dumps_fit(judge, &draft);
    freezes_fit(judge, &draft);
    tells_somebody(judge, &draft);
    if let Some(span) = draft.at("drill").filter(|_| draft.at("drill.every").is_none()) {
        judge.blame(&span, "`[drill]` does not say how often; write `every = \"7d\"` below it");
    }
    let (keep, drill) =
        (draft.seen.get("keep").map(|_| draft.keep), draft.seen.get("drill").map(|_| draft.drill));
    let mut notify = draft.notify;
    if notify.on.is_empty() {
        notify.on = Event::ALL.to_vec();
    }
    let terms = Terms {
        schedule: draft.schedule?,
        time_zone: draft.time_zone,
        time_zone_named: draft.seen.contains_key("time_zone"),
        jitter: draft.jitter,
        store: draft.store,
        consistency: draft.consistency,
        keep,
        guard: draft.guard,
        drill,
        limits: draft.limits,
        notify,
        pack: draft.pack,
    };
    Some(Policy { name, select: draft.select, rule: Rule::BackUp(Box::new(terms)) })
}

fn selects_something(judge: &mut Judge<'_>, name: &str, draft: &Draft) {
    let Some(span) = draft.fine("select") else { return };
    let select = &draft.select;
    if select.is_empty() {
        judge.blame(
            &span,
            format!(
                "`[select]` chooses nothing; write `volumes = [\"…\"]` below it, or leave it out and label \
                 volumes or containers `backupd.policy={name}`"
            ),
        );
    }
    if let Some(span) = draft.at("select.rest").filter(|_| select.rest && select.has_conditions()) {
        judge.blame(
            &span,
            "`rest` is all that is left, whatever its labels and project; remove it or those conditions",
        );
    }
    for (key, list) in [("volumes", &select.volumes), ("mounts", &select.mounts), ("paths", &select.paths)] {
        if list.only_takes_away() {
            let span = draft.at(&format!("select.{key}")).unwrap_or(span.clone());
            judge.blame(
                &span,
                format!("`{key}` only takes away; name first what it takes away from: `\"*\"`"),
            );
        }
    }
}

/// Beside `nothing`, all but `[select]` would be a promise that nobody keeps.
fn stands_alone(judge: &mut Judge<'_>, draft: &Draft) {
    let strangers = draft.seen.iter().filter(|(path, _)| !path.contains('.'));
    for (path, seen) in strangers.filter(|(path, _)| !matches!(path.as_str(), "nothing" | "select")) {
        judge.blame(
            &seen.span,
            format!("`{path}` means nothing beside `nothing`, which backs nothing up; remove one of the two"),
        );
    }
}

fn says_when_and_how(judge: &mut Judge<'_>, draft: &Draft) {
    let end = judge.end();
    if draft.at("schedule").is_none() {
        judge.blame(
            &end,
            "`schedule` is missing: when does it run? `schedule = \"0 2 * * *\"`, above the first \
             `[table]`, is every night at two",
        );
    }
    if draft.at("consistency.mode").is_none() {
        let span = draft.at("consistency").unwrap_or(end);
        judge.blame(
            &span,
            format!(
                "`mode` is missing: below `[consistency]`, write `mode = \"…\"` with one of `{}`",
                Mode::WORDS.join("`, `")
            ),
        );
    }
}

fn keeps_something(judge: &mut Judge<'_>, draft: &Draft) {
    if let Some(span) = draft.fine("keep").filter(|_| draft.keep.keeps_nothing()) {
        judge.blame(
            &span,
            "`[keep]` keeps nothing; give it a count or a time, as `daily = 14` or `within = \"30d\"`, or \
             leave it out to keep everything",
        );
    }
}

fn hooks_fit(judge: &mut Judge<'_>, draft: &Draft) {
    let hooks = ["consistency.before", "consistency.after"].map(|path| draft.at(path));
    match mode(draft) {
        Some((Mode::Hooks, span)) if hooks.iter().all(Option::is_none) => judge.blame(
            &span,
            "mode `hooks` has no hooks; write `before = [\"program\", \"argument\"]`, `after = […]` or both \
             beside it",
        ),
        Some((Mode::Hooks, _)) | None => {}
        Some((mode, _)) => {
            for span in hooks.into_iter().flatten() {
                let mode = mode.word();
                judge.blame(
                    &span,
                    format!("hooks run in mode `hooks` only, and this is `{mode}`; change it or remove them"),
                );
            }
        }
    }
}

fn dumps_fit(judge: &mut Judge<'_>, draft: &Draft) {
    match mode(draft) {
        Some((Mode::Dump, span)) if draft.at("consistency.dumps").is_none() => judge.blame(
            &span,
            "mode `dump` has no dumps; write `[[consistency.dumps]]` below, with `file = \"NAME\"` and `run = \
             [\"program\", \"argument\"]`",
        ),
        Some((Mode::Dump, _)) | None => {}
        Some((mode, _)) => {
            for key in ["dumps", "only"] {
                if let Some(span) = draft.at(&format!("consistency.{key}")) {
                    let mode = mode.word();
                    judge.blame(
                        &span,
                        format!("`{key}` is for mode `dump`, and this is `{mode}`; change it or remove that"),
                    );
                }
            }
        }
    }
}

fn freezes_fit(judge: &mut Judge<'_>, draft: &Draft) {
    let Some((mode @ (Mode::Live | Mode::Dump), _)) = mode(draft) else { return };
    let mode = mode.word();
    for key in ["max_freeze", "on_unfreezable", "set"] {
        if let Some(span) = draft.at(&format!("consistency.{key}")) {
            judge.blame(
                &span,
                format!("`{key}` means nothing in mode `{mode}`, which holds no writer; remove it"),
            );
        }
    }
}

/// The mode, if it was said and read.
fn mode(draft: &Draft) -> Option<(Mode, Range<usize>)> {
    Some((draft.consistency.mode, draft.fine("consistency.mode")?))
}

fn tells_somebody(judge: &mut Judge<'_>, draft: &Draft) {
    let Some(span) = draft.at("notify") else { return };
    let to = |key: &str| draft.at(&format!("notify.{key}"));
    if to("webhook").is_none() && to("command").is_none() {
        if let Some(span) = to("on") {
            judge.blame(&span, "`on` needs somebody to tell; write `webhook` or `command` beside it");
        } else if to("heartbeat").is_none() {
            judge.blame(&span, "`[notify]` tells nobody; write `webhook`, `command` or `heartbeat` below it");
        }
    }
}
