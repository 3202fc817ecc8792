//! `backupctl restore --set`: one plan for all members, one question, all or as much as can be.

use engine::failure::{Class, Failure};
use engine::usecase::host::Host;
use engine::usecase::restore_set::{SetPlan, SetReport, SetTerms, plan_restore_set, restore_set};
use engine::words::RunId;
use jiff::tz::TimeZone;
use serde_json::json;

use super::end::{done, together};
use super::{Args, plan_text};
use crate::screen::proposing::{Consent, Proposal};
use crate::screen::{fields, units};
use crate::session::{Ending, Session};

pub(super) async fn run(id: &RunId, args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let Args { keep_previous, fresh, accept_partial, accept_version, .. } = *args;
    let terms = SetTerms { keep_previous, fresh, accept_partial, accept_version };
    let host = if args.dry_run { session.open().await? } else { session.open_to_write().await? };
    let (host, plan) = find(id, terms, &host, session).await?;
    let text = text(&plan, screen.zone());
    let (question, deed) = (question(&plan), format!("restore set `{id}`"));
    let proposal = Proposal { text: &text, question: &question, deed: &deed };
    if !screen.propose(&plan, proposal, Consent { dry_run: args.dry_run, yes: args.yes })? {
        return Ok(Ending::Done);
    }
    let telling = session.attend()?;
    let result = restore_set(&host, &plan, &telling).await;
    let heard = telling.end();
    let ending = tell(&result?, (plan.members.len() + plan.missing.len(), keep_previous), &heard, session)?;
    Ok(left_out(ending, plan.missing.is_empty()))
}

/// The plan, and this host at the store that has the set.
async fn find(
    id: &RunId,
    terms: SetTerms,
    host: &Host,
    session: &Session,
) -> Result<(Host, SetPlan), Failure> {
    let stores = session.stores(host)?;
    let (mut missing, mut failed) = (None, None);
    for at in stores.in_use() {
        match plan_restore_set(at, id, terms).await {
            Ok(plan) => return Ok((at.clone(), plan)),
            Err(failure) if failure.class == Class::NotFound => missing = Some(failure),
            // Another store may have all of it: an id is of one set alone.
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    let missing = failed.or(missing);
    Err(missing.unwrap_or_else(|| Failure::not_found(format!("there is no set `{id}`"))))
}

/// What was left out was named in the plan, and is no less missing for that.
pub(super) fn left_out(ending: Ending, nothing: bool) -> Ending {
    match ending {
        Ending::Done if !nothing => Ending::With(Class::Partial),
        Ending::Done | Ending::With(_) => ending,
    }
}

/// Tells of each, of all together, and of what failed; `of` so many, whose previous content is kept or not.
pub(super) fn tell(
    report: &SetReport,
    (of, kept): (usize, bool),
    heard: &[String],
    session: &Session,
) -> Result<Ending, Failure> {
    let screen = &session.screen;
    for one in &report.restored {
        one.warnings
            .iter()
            .filter(|warning| !heard.contains(warning))
            .for_each(|warning| screen.warn(warning));
        if screen.is_json() {
            screen.event("done", fields(one)?);
        } else {
            screen.prose(&done(one))?;
        }
    }
    if !screen.is_json() {
        screen.prose(&together(&report.restored, of, kept))?;
    }
    for (snapshot, failure) in &report.failed {
        screen.failure(failure, json!({ "snapshot": snapshot }));
    }
    if let Some(down) = &report.down {
        screen.failure(down, json!({}));
    }
    Ok(match (&report.down, report.failed.first()) {
        (None, None) => Ending::Done,
        (Some(down), None) => Ending::With(down.class),
        // Some of it is in place and some is not, whatever the reason was.
        (_, Some(_)) => Ending::With(Class::Partial),
    })
}

fn question(plan: &SetPlan) -> String {
    let members = units::counted(plan.members.len() as u64, "source", "sources");
    format!("Replace what is in {members} by set `{}`?", plan.set)
}

/// The plan as people read it.
fn text(plan: &SetPlan, zone: &TimeZone) -> String {
    let mut out = format!(
        "Set {}: {}\n",
        plan.set,
        units::counted(plan.members.len() as u64, "source, all or none", "sources, all or none")
    );
    for source in &plan.missing {
        out += &format!("missing: `{source}` has no snapshot of this set any more, and stays as it is\n");
    }
    for member in &plan.members {
        out += "\n";
        out += &plan_text(member, None, zone);
    }
    out
}
