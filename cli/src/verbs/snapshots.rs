//! `backupctl snapshots`.

use engine::catalog::DrillResult;
use engine::failure::{Class, Failure};
use engine::format::manifest::SnapshotKind;
use engine::usecase::host::Host;
use engine::usecase::snapshots::{Listed, SnapshotLine, Wanted, snapshots};
use engine::words::{HostName, SnapshotName};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::backup::worst;
use super::values::{Lineage, wanted};
use crate::screen::paint::{Paint, Style};
use crate::screen::table::{Cell, Side, Table};
use crate::screen::{plain, units};
use crate::session::{Ending, Session};

/// List snapshots
///
/// Asks every store that settings and policies name, so that what other hosts and programs added is there as well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl snapshots
  backupctl snapshots db-data
  backupctl snapshots --all-hosts --json")]
pub(crate) struct Args {
    /// Only of this source; `HOST/SOURCE` for another host's
    source: Option<Lineage>,

    /// Of every host that writes to the store
    #[arg(long, conflicts_with = "from_host")]
    all_hosts: bool,

    /// Of HOST instead of this one
    #[arg(long, value_name = "HOST")]
    from_host: Option<HostName>,

    /// Also those that were deleted and can be undeleted
    #[arg(long)]
    deleted: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let wanted = wanted(args.source.as_ref(), args.from_host.as_ref(), args.all_hosts, args.deleted);
    let stores = session.stores(&host)?;
    let (lines, missing) = listed(&stores.in_use(), &wanted, session).await?;
    let screen = &session.screen;
    if screen.is_json() {
        screen.value(&lines)?;
    } else if lines.is_empty() && missing.is_empty() {
        screen.say("no snapshots; `backupctl backup SOURCE` makes one\n");
    } else if !lines.is_empty() {
        screen.result(&text(&lines, screen.now(), screen.zone(), screen.width(), screen.paint()))?;
    }
    for store in stores.former() {
        let store = plain::line(store);
        screen.say(&format!(
            "those in {store} are left out: neither settings nor policies name it; `--store` does\n"
        ));
    }
    Ok(worst(&missing).map_or(Ending::Done, Ending::With))
}

/// What all stores have, oldest first. Of several, one that cannot be asked does not hide the others: it is told, and
/// its class is given.
async fn listed(
    stores: &[&Host],
    wanted: &Wanted,
    session: &Session,
) -> Result<(Vec<SnapshotLine>, Vec<Class>), Failure> {
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    for at in stores {
        match snapshots(at, wanted).await {
            Ok(Listed { lines: found, unread }) => {
                lines.extend(found);
                for one in &unread {
                    // What comes on stdout is one array.
                    session.screen.give_stdout_away();
                    let name = SnapshotName {
                        host: Some(one.lineage.host.clone()),
                        source: one.lineage.source.clone(),
                        number: Some(one.number),
                    };
                    session.screen.failure(&one.failure, json!({ "snapshot": name.to_string() }));
                    missing.push(Class::Partial);
                }
            }
            Err(failure) if stores.len() == 1 => return Err(failure),
            Err(failure) => {
                // What comes on stdout is one array.
                session.screen.give_stdout_away();
                session.screen.failure(&failure, json!({ "store": at.store_address() }));
                missing.push(failure.class);
            }
        }
    }
    if stores.len() > 1 {
        lines.sort_by_key(|line| (line.taken_at, line.number));
    }
    Ok((lines, missing))
}

/// A table; hosts and stores are named only where there is more than one.
pub(crate) fn text(
    lines: &[SnapshotLine],
    now: Timestamp,
    zone: &TimeZone,
    width: Option<usize>,
    paint: Paint,
) -> String {
    let hosts = lines.iter().any(|line| line.host != lines[0].host);
    let mut columns = vec![
        ("SNAPSHOT", Side::Left),
        ("TAKEN", Side::Left),
        ("AGE", Side::Right),
        ("KIND", Side::Left),
        ("FILES", Side::Right),
        ("SIZE", Side::Right),
        ("SENT", Side::Right),
        ("NOTES", Side::Left),
    ];
    if hosts {
        columns.insert(0, ("HOST", Side::Left));
    }
    let stores = lines.iter().any(|line| line.store != lines[0].store);
    if stores {
        columns.insert(columns.len() - 1, ("STORE", Side::Left));
    }
    let mut table = Table::new(&columns).spare(&["SENT", "FILES", "AGE", "KIND", "SIZE"]);
    for line in lines {
        let (notes, style) = notes(line, now);
        let mut row: Vec<Cell> = vec![
            line.id.as_str().into(),
            units::moment(line.taken_at, zone).into(),
            Cell::styled(&units::since(line.taken_at, now), Style::Faint),
            kind(line.kind).into(),
            units::count(line.files).into(),
            units::bytes(line.bytes).into(),
            units::bytes(line.sent_bytes).into(),
            Cell::styled(&notes, style),
        ];
        if hosts {
            row.insert(0, line.host.as_str().into());
        }
        if stores {
            row.insert(row.len() - 1, line.store.as_str().into());
        }
        table.row(row);
    }
    table.render(width, paint)
}

pub(crate) fn kind(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Full => "full",
        SnapshotKind::Incremental => "incr",
    }
}

/// What is known of whether it can be restored: by a drill, else by reading it back.
pub(super) fn proof(line: &SnapshotLine, now: Timestamp) -> Option<String> {
    let drilled = line.drill.as_ref().map(|drill| (drill.result, drill));
    match (drilled, line.proven_at) {
        (Some((DrillResult::Unproven, drill)), _) => {
            Some(format!("{} found it bad {}", drill.checker, units::since(drill.at, now)))
        }
        (Some((DrillResult::Proven, drill)), Some(at)) => {
            let took = drill.restore_seconds.map(|took| format!(", restored in {}", units::seconds(took)));
            let took = took.unwrap_or_default();
            Some(format!("proven {} ({}{took})", units::since(at, now), drill.checker))
        }
        (_, Some(at)) => Some(format!("proven {}", units::since(at, now))),
        (_, None) => None,
    }
}

/// What matters first comes first.
fn notes(line: &SnapshotLine, now: Timestamp) -> (String, Style) {
    let mut notes = Vec::new();
    if let Some(at) = line.deleted_at {
        notes.push(format!("deleted {}", units::since(at, now)));
    }
    if line.damaged {
        notes.push("damaged".to_owned());
    }
    if line.partial {
        notes.push("partial".to_owned());
    }
    notes.push(line.consistency.word().to_owned());
    if line.pinned {
        notes.push("pinned".to_owned());
    }
    notes.extend(proof(line, now));
    if let Some(set) = &line.set {
        notes.push(format!("set {set}"));
    }
    let style = match line.damaged {
        true => Style::Bad,
        false if line.partial || line.deleted_at.is_some() => Style::Warning,
        false => Style::Plain,
    };
    (notes.join(", "), style)
}

#[cfg(test)]
pub(crate) mod tests {
    use engine::format::manifest::Consistency;
    use engine::usecase::drill::DrillLine;

    use super::*;

    pub(crate) fn line() -> SnapshotLine {
        SnapshotLine {
            id: "db-data@42".into(),
            source: "db-data".parse().unwrap(),
            host: "vm-1".parse().unwrap(),
            number: 42,
            taken_at: "2026-11-20T13:00:05Z".parse().unwrap(),
            kind: SnapshotKind::Incremental,
            consistency: Consistency::Idle,
            files: 1234,
            bytes: 5 << 30,
            sent_bytes: 3 << 20,
            proven_at: None,
            pinned: false,
            set: None,
            partial: false,
            deleted_at: None,
            by_hand: true,
            damaged: false,
            store: "s3://bucket/prefix".into(),
            drill: None,
        }
    }

    pub(crate) fn drilled(result: DrillResult) -> DrillLine {
        DrillLine {
            run: "00112233445566aa".into(),
            snapshot: "db-data@42".into(),
            at: "2026-11-19T10:00:00Z".parse().unwrap(),
            checker: "postgres".into(),
            result,
            what: "words".into(),
            restore_seconds: Some(42.0),
            seconds: 75.0,
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn rows() -> Vec<SnapshotLine> {
        vec![
            SnapshotLine {
                id: "web:/var/lib/app@7".into(),
                kind: SnapshotKind::Full,
                consistency: Consistency::Live,
                partial: true,
                ..line()
            },
            SnapshotLine { proven_at: Some(now()), pinned: true, set: Some("shop\x1b]0;x".into()), ..line() },
            SnapshotLine { deleted_at: Some(now()), ..line() },
            SnapshotLine { damaged: true, ..line() },
        ]
    }

    fn shown(lines: &[SnapshotLine], width: Option<usize>) -> String {
        text(lines, now(), &TimeZone::UTC, width, Paint::OFF)
    }

    #[test]
    fn the_table_at_120_columns_has_every_column() {
        let want = "\
SNAPSHOT            TAKEN                     AGE  KIND  FILES     SIZE     SENT  NOTES
web:/var/lib/app@7  2026-11-20 13:00:05  20 h ago  full  1,234  5.0 GiB  3.0 MiB  partial, live
db-data@42          2026-11-20 13:00:05  20 h ago  incr  1,234  5.0 GiB  3.0 MiB  idle, pinned, proven just now, set
                                                                                  shop\\u{1b}]0;x
db-data@42          2026-11-20 13:00:05  20 h ago  incr  1,234  5.0 GiB  3.0 MiB  deleted just now, idle
db-data@42          2026-11-20 13:00:05  20 h ago  incr  1,234  5.0 GiB  3.0 MiB  damaged, idle
";
        assert_eq!(shown(&rows(), Some(120)), want);
        assert_eq!(want.lines().map(|line| line.chars().count()).max(), Some(116));
        let whole = shown(&rows(), None);
        assert!(whole.contains("set shop\\u{1b}]0;x\n"), "one line without a terminal: {whole}");
    }

    #[test]
    fn the_table_at_80_columns_has_what_one_chooses_by() {
        let want = "\
SNAPSHOT            TAKEN                KIND     SIZE  NOTES
web:/var/lib/app@7  2026-11-20 13:00:05  full  5.0 GiB  partial, live
db-data@42          2026-11-20 13:00:05  incr  5.0 GiB  idle, pinned, proven
                                                        just now, set
                                                        shop\\u{1b}]0;x
db-data@42          2026-11-20 13:00:05  incr  5.0 GiB  deleted just now, idle
db-data@42          2026-11-20 13:00:05  incr  5.0 GiB  damaged, idle
";
        assert_eq!(shown(&rows(), Some(80)), want);
    }

    #[test]
    fn a_drill_says_more_than_reading_back() {
        let proven_at = Some("2026-11-19T10:00:00Z".parse().unwrap());
        let said = |line: SnapshotLine| proof(&line, now());
        assert_eq!(said(line()), None);
        let read = SnapshotLine { proven_at, ..line() };
        assert_eq!(said(read.clone()).as_deref(), Some("proven 2 d ago"));
        let drill = Some(drilled(DrillResult::Proven));
        let want = "proven 2 d ago (postgres, restored in 42.0 s)";
        assert_eq!(said(SnapshotLine { drill, ..read.clone() }).as_deref(), Some(want));
        let drill = Some(drilled(DrillResult::Unchecked));
        assert_eq!(said(SnapshotLine { drill, ..read }).as_deref(), Some("proven 2 d ago"));
        let bad = SnapshotLine { drill: Some(drilled(DrillResult::Unproven)), damaged: true, ..line() };
        assert_eq!(said(bad).as_deref(), Some("postgres found it bad 2 d ago"));
    }

    #[test]
    fn hosts_are_named_where_there_is_more_than_one() {
        let far = SnapshotLine { host: "far".parse().unwrap(), ..line() };
        assert!(shown(&[line(), far], None).starts_with("HOST  SNAPSHOT"));
        assert!(shown(&[line()], None).starts_with("SNAPSHOT"));
    }

    #[test]
    fn stores_are_named_where_there_is_more_than_one() {
        let other = SnapshotLine { store: "file:///srv/other".into(), ..line() };
        let text = shown(&[line(), other], None);
        assert!(
            text.lines().next().is_some_and(|line| line.ends_with("SENT  STORE               NOTES")),
            "{text}"
        );
        assert!(text.ends_with("3.0 MiB  file:///srv/other   idle\n"), "{text}");
        assert!(!shown(&[line(), line()], None).contains("STORE"));
    }

    #[test]
    fn json_lines_carry_the_fixed_fields() {
        let value = serde_json::to_value(line()).unwrap();
        let want = serde_json::json!({
            "id": "db-data@42", "source": "db-data", "host": "vm-1", "taken_at": "2026-11-20T13:00:05Z",
            "kind": "incremental", "consistency": "idle", "files": 1234, "bytes": 5_368_709_120_u64,
            "sent_bytes": 3_145_728, "proven_at": null, "pinned": false, "set": null, "damaged": false,
            "store": "s3://bucket/prefix",
        });
        for (field, want) in want.as_object().unwrap() {
            assert_eq!(&value[field], want, "{field}");
        }
    }
}
