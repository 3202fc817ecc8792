//! `backupctl delete`: plan, print the plan, ask, do exactly what was printed.

use engine::failure::{Class, Failure};
use engine::usecase::delete::{DeletePlan, delete, plan_delete};
use engine::usecase::stores::Standing;
use engine::words::SnapshotName;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::screen::proposing::Proposal;
use crate::screen::{plain, units};
use crate::session::{Ending, Session};

/// Delete a snapshot
///
/// It can be undeleted until its objects are purged. What other snapshots need stays in any case. The
/// newest snapshot of a source is refused without `--even-newest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl delete db-data@41
  backupctl delete db-data@41 --purge --dry-run")]
pub(crate) struct Args {
    /// `SOURCE@42` or `SOURCE@latest`, with `HOST/` in front for another host
    #[arg(value_name = "SNAP")]
    name: SnapshotName,

    /// Also remove the objects that only it needs; this cannot be undone
    #[arg(long)]
    purge: bool,

    /// Even if it is the newest of its source
    #[arg(long)]
    even_newest: bool,

    /// Print the plan and end
    #[arg(long)]
    dry_run: bool,

    /// Agree to the plan beforehand
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let screen = &session.screen;
    let host = if args.dry_run { session.open().await? } else { session.open_to_write().await? };
    let standing = if args.purge { Standing::Either } else { Standing::Live };
    let host = session.stores(&host)?.having(&args.name, standing).await?;
    let plan = plan_delete(&host, &args.name, args.purge).await?;
    let text = text(&plan, screen.now(), screen.zone());
    screen.plan(&plan, &text, args.dry_run)?;
    refuse_newest(&plan, args.even_newest)?;
    if args.dry_run {
        return Ok(Ending::Done);
    }
    let snapshot = plan.snapshot.clone();
    let shown = plain::line(&snapshot).into_owned();
    let question =
        if plan.purge { format!("Remove `{shown}` for good?") } else { format!("Delete `{shown}`?") };
    let deed = format!("delete `{snapshot}`");
    screen.agree(Proposal { text: &text, question: &question, deed: &deed }, args.yes)?;
    let telling = session.attend()?;
    let result = delete(&host, plan, &telling).await;
    telling.end();
    result?;
    if screen.is_json() {
        screen.event("done", json!({ "snapshot": snapshot, "purged": args.purge }));
    } else if args.purge {
        screen.result(&format!("{shown} is gone\n"))?;
    } else {
        screen.prose(&format!("{shown} is deleted; `backupctl undelete {shown}` brings it back\n"))?;
    }
    Ok(Ending::Done)
}

fn refuse_newest(plan: &DeletePlan, accepted: bool) -> Result<(), Failure> {
    if !plan.newest || accepted {
        return Ok(());
    }
    let what = format!("`{}` is the newest snapshot of its source", plan.snapshot);
    Err(Failure::new(Class::Unsafe, what)
        .hint("make a newer one first with `backupctl backup SOURCE`, or add `--even-newest`"))
}

fn text(plan: &DeletePlan, now: Timestamp, zone: &TimeZone) -> String {
    let mut out = format!("delete {}\n", plain::line(&plan.snapshot));
    let mut line = |name: &str, text: &str| out += &format!("  {name:<9} {}\n", plain::line(text));
    let newest = if plan.newest { ", the newest of its source" } else { "" };
    let taken = units::moment_with_zone(plan.taken_at, zone);
    line("taken", &format!("{taken} ({}){newest}", units::since(plan.taken_at, now)));
    if plan.purge {
        line("purge", &format!("frees {}; this cannot be undone", units::bytes(plan.frees_bytes)));
        for object in &plan.objects {
            line("removes", object);
        }
    } else {
        line("keeps", "its objects, so that it can be undeleted");
    }
    for warning in &plan.warnings {
        line("warning", warning);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> DeletePlan {
        DeletePlan {
            snapshot: "db-data@41".into(),
            taken_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            newest: false,
            purge: true,
            frees_bytes: 3 << 20,
            objects: vec!["vm-1/db-data/00000041-x.tar.zst".into()],
            warnings: vec!["@42 needs 1 of its packs, which stays".into()],
            name: "vm-1/db-data@41".parse().unwrap(),
        }
    }

    fn shown(plan: &DeletePlan) -> String {
        text(plan, "2026-11-21T10:00:00Z".parse().unwrap(), &TimeZone::UTC)
    }

    #[test]
    fn a_purge_names_every_object_and_that_it_is_for_good() {
        let want = "\
delete db-data@41
  taken     2026-11-20 13:00:05 +00:00 (20 h ago)
  purge     frees 3.0 MiB; this cannot be undone
  removes   vm-1/db-data/00000041-x.tar.zst
  warning   @42 needs 1 of its packs, which stays
";
        assert_eq!(shown(&plan()), want);
    }

    #[test]
    fn a_soft_deletion_says_that_it_can_be_undone_and_of_the_newest_that_it_is() {
        let soft =
            DeletePlan { purge: false, newest: true, objects: Vec::new(), warnings: Vec::new(), ..plan() };
        let want = "\
delete db-data@41
  taken     2026-11-20 13:00:05 +00:00 (20 h ago), the newest of its source
  keeps     its objects, so that it can be undeleted
";
        assert_eq!(shown(&soft), want);
    }

    #[test]
    fn the_newest_is_refused_unless_it_is_meant() {
        let newest = DeletePlan { newest: true, ..plan() };
        assert_eq!(refuse_newest(&newest, false).unwrap_err().class, Class::Unsafe);
        assert!(refuse_newest(&newest, true).is_ok());
        assert!(refuse_newest(&plan(), false).is_ok());
    }
}
