//! `backupctl restore --project`: one plan for all that belongs to a compose project, one question, one deed.

use std::time::Duration;

use engine::failure::Failure;
use engine::usecase::cover::{policies, sources};
use engine::usecase::restore_project::{
    Known, ProjectPlan, ProjectRequest, plan_restore_project, restore_project,
};
use engine::usecase::restore_set::SetTerms;
use jiff::tz::TimeZone;

use super::set::{left_out, tell};
use super::{Args, meant, plan_text};
use crate::screen::proposing::{Consent, Proposal};
use crate::screen::{plain, units};
use crate::session::{Ending, Session};

pub(super) async fn run(name: &str, args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let Args { keep_previous, fresh, accept_partial, accept_version, .. } = *args;
    let terms = SetTerms { keep_previous, fresh, accept_partial, accept_version };
    let request = ProjectRequest {
        project: name.to_owned(),
        at: meant::here(args.at.as_deref(), session)?,
        newest: args.newest,
        terms,
    };
    let host = if args.dry_run { session.open().await? } else { session.open_to_write().await? };
    let stores = session.stores(&host)?;
    let places = session.places()?;
    let known = sources(&host, &places).await?;
    // Bad policies keep nobody from restoring; that they are bad was said when the stores were looked for.
    let policies = policies(&places).ok();
    let known = Known { sources: &known, policies: policies.as_ref().map(|policies| &policies.folder) };
    let plan = plan_restore_project(&stores, known, &request).await?;
    let text = text(&plan, screen.zone());
    let (question, deed) = (question(&plan), format!("restore project `{}`", plain::line(name)));
    let proposal = Proposal { text: &text, question: &question, deed: &deed };
    if !screen.propose(&plan, proposal, Consent { dry_run: args.dry_run, yes: args.yes })? {
        return Ok(Ending::Done);
    }
    let telling = session.attend()?;
    let result = restore_project(&plan, &telling).await;
    let heard = telling.end();
    let of = plan.members.len() + plan.left.len();
    let ending = tell(&result?, (of, keep_previous), &heard, session)?;
    Ok(left_out(ending, plan.left.is_empty()))
}

fn question(plan: &ProjectPlan) -> String {
    let members = units::counted(plan.members.len() as u64, "source", "sources");
    let all = if plan.left.is_empty() { "" } else { ", and leave the others as they are" };
    format!("Replace what is in {members} of project `{}`{all}?", plain::line(&plan.project))
}

/// The plan as people read it.
fn text(plan: &ProjectPlan, zone: &TimeZone) -> String {
    let members = units::counted(plan.members.len() as u64, "source, all or none", "sources, all or none");
    let mut out = format!("Project {}: {members}\n", plain::line(&plan.project));
    out += &match (&plan.set, plan.span_seconds) {
        (Some(set), _) if plan.beside_set.is_empty() => {
            format!("of one moment: all are of set {set}\n")
        }
        (Some(set), _) => format!(
            "of one moment, as set {set}: all but {}, which is not on this host any more and in no such set\n",
            plain::line(&plan.beside_set.join(", "))
        ),
        (None, Some(seconds)) => apart(plan, seconds, zone),
        (None, None) => String::new(),
    };
    for left in &plan.left {
        out += &format!("cannot be restored: `{}`: {}\n", plain::line(&left.source), plain::line(&left.why));
    }
    for perhaps in &plan.perhaps {
        let (source, why) = (plain::line(&perhaps.source), plain::line(&perhaps.why));
        out += &format!("may belong to it: `{source}`: {why}\n");
    }
    for aside in &plan.aside {
        out += &format!("stays as it is: `{}`: {}\n", plain::line(&aside.source), plain::line(&aside.why));
    }
    for member in &plan.members {
        out += "\n";
        out += &plan_text(member, None, zone);
    }
    out
}

/// How far from one moment they are.
fn apart(plan: &ProjectPlan, seconds: i64, zone: &TimeZone) -> String {
    let oldest = plan.members.iter().min_by_key(|member| member.taken_at);
    let newest = plan.members.iter().max_by_key(|member| member.taken_at);
    let Some((oldest, newest)) = oldest.zip(newest) else { return String::new() };
    let span = units::span(Duration::from_secs(seconds.unsigned_abs()));
    format!(
        "not of one moment: {span} between the oldest ({}, {}) and the newest ({}, {}); what refers to each other may not fit\n",
        plain::line(&oldest.snapshot),
        units::moment_with_zone(oldest.taken_at, zone),
        plain::line(&newest.snapshot),
        units::moment_with_zone(newest.taken_at, zone),
    )
}

#[cfg(test)]
mod tests {
    use engine::usecase::restore_project::Left;

    use super::super::tests::plan;
    use super::*;

    fn of_project(set: Option<&str>) -> ProjectPlan {
        let mut older = plan(None, None);
        older.taken_at = "2026-11-20T11:00:00Z".parse().unwrap();
        older.snapshot = "alog@7".into();
        let left = |source: &str, why: &str| Left { source: source.into(), why: why.into() };
        let mut plan = ProjectPlan::new("shop\x1b".to_owned());
        plan.members = vec![older, super::super::tests::plan(None, None)];
        plan.set = set.map(str::to_owned);
        plan.span_seconds = Some(7205).filter(|_| set.is_none());
        plan.left = vec![left("queue", "there is no snapshot of it")];
        plan.perhaps = vec![left("web:/srv", "nobody knows")];
        plan.aside = vec![left("cache", "policy `none` says: a cache")];
        plan
    }

    #[test]
    fn a_plan_says_how_far_apart_they_are_and_what_is_left() {
        let text = text(&of_project(None), &TimeZone::UTC);
        let want = "\
Project shop\\u{1b}: 2 sources, all or none
not of one moment: 2 h between the oldest (alog@7, 2026-11-20 11:00:00 +00:00) and the newest (db-data@42, 2026-11-20 13:00:05 +00:00); what refers to each other may not fit
cannot be restored: `queue`: there is no snapshot of it
may belong to it: `web:/srv`: nobody knows
stays as it is: `cache`: policy `none` says: a cache

restore alog@7 into db-data
";
        assert!(text.starts_with(want), "{text}");
        let of_set = super::text(&of_project(Some("5f2a")), &TimeZone::UTC);
        assert!(of_set.contains("\nof one moment: all are of set 5f2a\n"), "{of_set}");
        let mut beside = of_project(Some("5f2a"));
        beside.beside_set = vec!["old@3".into()];
        let beside = super::text(&beside, &TimeZone::UTC);
        assert!(beside.contains("\nof one moment, as set 5f2a: all but old@3, which"), "{beside}");
        let asked = question(&of_project(None));
        assert_eq!(
            asked,
            "Replace what is in 2 sources of project `shop\\u{1b}`, and leave the others as they are?"
        );
    }
}
