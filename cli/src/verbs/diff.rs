//! `backupctl diff`.

mod movers;

use engine::failure::Failure;
use engine::usecase::browse::{Change, DiffTotals, Difference, diff};
use engine::words::SnapshotName;
use serde_json::{Value, json};

use self::movers::Movers;
use crate::screen::listing::Listing;
use crate::screen::units;
use crate::session::{Ending, Session};

/// Compare two snapshots
///
/// `+` was added, `-` removed, `M` changed in content, `a` only in attributes. The sum is on stderr, and of a long list what
/// grew or shrank most.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl diff db-data@41 db-data@42
  backupctl diff db-data@41 db-data@latest --json")]
pub(crate) struct Args {
    /// The earlier one
    #[arg(value_name = "SNAP_A")]
    a: SnapshotName,

    /// The later one
    #[arg(value_name = "SNAP_B")]
    b: SnapshotName,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<Ending, Failure> {
    let host = session.open().await?;
    let (at_a, at_b) = (session.having(&host, &args.a).await?, session.having(&host, &args.b).await?);
    let mut listing = Listing::new(&session.screen);
    let mut movers = Movers::default();
    let mut each = |found: &Difference| {
        movers.add(found);
        listing.item(|| line(found), || json(found))
    };
    let totals = diff((&at_a, &args.a), (&at_b, &args.b), &mut each).await?;
    listing.end()?;
    let screen = &session.screen;
    let (width, paint) = screen.beside();
    screen.say(&movers.table(width, paint));
    screen.say(&sum(&totals));
    Ok(Ending::Done)
}

fn line(found: &Difference) -> String {
    let letter = match found.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => 'M',
        Change::Attributes => 'a',
    };
    let sizes = match (found.before, found.after) {
        (Some(before), Some(after)) if before != after => {
            format!("  {} -> {}", units::bytes(before), units::bytes(after))
        }
        (Some(size), _) | (None, Some(size)) => format!("  {}", units::bytes(size)),
        (None, None) => String::new(),
    };
    format!("{letter} {}{sizes}", found.path)
}

fn json(found: &Difference) -> Value {
    let change = match found.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
        Change::Attributes => "attributes",
    };
    json!({ "path": found.path.to_string(), "change": change, "before": found.before, "after": found.after })
}

/// One line for all of it.
pub(crate) fn sum(totals: &DiffTotals) -> String {
    if is_same(totals) {
        return format!("identical: {}\n", units::bytes(totals.bytes_after));
    }
    format!(
        "{} added, {} removed, {} changed, {} with other attributes; {} before, {} after\n",
        units::count(totals.added),
        units::count(totals.removed),
        units::count(totals.changed),
        units::count(totals.attributes),
        units::bytes(totals.bytes_before),
        units::bytes(totals.bytes_after),
    )
}

/// Whether there is no difference at all.
pub(crate) fn is_same(totals: &DiffTotals) -> bool {
    totals.added + totals.removed + totals.changed + totals.attributes == 0
}

#[cfg(test)]
mod tests {
    use engine::archive::path::TreePath;

    use super::*;

    #[test]
    fn each_difference_is_a_line_with_a_letter() {
        let row = |path: &[u8], change, before, after| Difference {
            path: TreePath::parse(path.to_vec()).unwrap(),
            change,
            before,
            after,
        };
        for (found, text, value) in [
            (
                row(b"new\n", Change::Added, None, Some(9)),
                "+ new\\n  9 B",
                r#"{"after":9,"before":null,"change":"added","path":"new\\n"}"#,
            ),
            (
                row(b"gone", Change::Removed, Some(1024), None),
                "- gone  1.0 KiB",
                r#"{"after":null,"before":1024,"change":"removed","path":"gone"}"#,
            ),
            (
                row(b"f", Change::Changed, Some(1024), Some(2048)),
                "M f  1.0 KiB -> 2.0 KiB",
                r#"{"after":2048,"before":1024,"change":"changed","path":"f"}"#,
            ),
            (
                row(b"d", Change::Attributes, None, None),
                "a d",
                r#"{"after":null,"before":null,"change":"attributes","path":"d"}"#,
            ),
        ] {
            assert_eq!((line(&found).as_str(), json(&found).to_string().as_str()), (text, value));
        }
    }

    #[test]
    fn the_sum_says_identical_only_without_any_difference() {
        let none =
            DiffTotals { added: 0, removed: 0, changed: 0, attributes: 0, bytes_before: 5, bytes_after: 5 };
        assert_eq!(sum(&none), "identical: 5 B\n");
        for some in [
            DiffTotals { added: 1, ..none },
            DiffTotals { removed: 1, ..none },
            DiffTotals { changed: 1, ..none },
            DiffTotals { attributes: 1, ..none },
        ] {
            assert!(!is_same(&some) && !sum(&some).contains("identical"), "{some:?}");
        }
    }
}
