//! What grew and shrank most between two snapshots, which is what one looks for first in a long list of differences.
//!
//! Always true: memory does not grow with the number of differences, and nothing is shown where the list is short enough to
//! be seen at once.

use engine::usecase::browse::Difference;

use crate::screen::paint::Paint;
use crate::screen::table::{Side, Table};
use crate::screen::units;

/// So many are shown.
const SHOWN: usize = 5;

/// The few that moved most, the largest first.
#[derive(Debug, Default)]
pub(super) struct Movers {
    most: Vec<Mover>,
    moved: u64,
}

#[derive(Debug)]
struct Mover {
    bytes: u64,
    grew: bool,
    path: String,
}

impl Movers {
    /// Looks at one difference. One in attributes alone moves nothing.
    pub(super) fn add(&mut self, found: &Difference) {
        let (before, after) = (found.before.unwrap_or(0), found.after.unwrap_or(0));
        let bytes = before.abs_diff(after);
        if bytes == 0 {
            return;
        }
        self.moved += 1;
        let at = self.most.partition_point(|mover| mover.bytes >= bytes);
        if at < SHOWN {
            self.most.insert(at, Mover { bytes, grew: after > before, path: found.path.to_string() });
            self.most.truncate(SHOWN);
        }
    }

    /// As a table; nothing if there were no more than it would show.
    pub(super) fn table(&self, width: Option<usize>, paint: Paint) -> String {
        if self.moved <= SHOWN as u64 {
            return String::new();
        }
        let mut table = Table::new(&[("MOVED MOST", Side::Right), ("PATH", Side::Left)]);
        for Mover { bytes, grew, path } in &self.most {
            let sign = if *grew { '+' } else { '-' };
            table.row(vec![format!("{sign}{}", units::bytes(*bytes)).into(), path.into()]);
        }
        table.render(width, paint)
    }
}

#[cfg(test)]
mod tests {
    use engine::archive::path::TreePath;
    use engine::usecase::browse::Change;

    use super::*;

    fn movers(sizes: &[(Option<u64>, Option<u64>)]) -> String {
        let mut movers = Movers::default();
        for (n, (before, after)) in sizes.iter().enumerate() {
            let path = TreePath::parse(format!("f{n}").into_bytes()).unwrap();
            movers.add(&Difference { path, change: Change::Changed, before: *before, after: *after });
        }
        movers.table(Some(80), Paint::OFF)
    }

    #[test]
    fn the_largest_come_first_whether_they_grew_or_shrank() {
        let kib = |n: u64| Some(n << 10);
        let sizes = [
            (kib(1), kib(2)),
            (kib(9), None),
            (None, kib(5)),
            (kib(100), kib(100)),
            (kib(7), kib(1)),
            (None, kib(3)),
            (None, kib(4)),
        ];
        let want = "MOVED MOST  PATH\n  -9.0 KiB  f1\n  -6.0 KiB  f4\n  +5.0 KiB  f2\n  +4.0 KiB  f6\n  +3.0 KiB  f5\n";
        assert_eq!(movers(&sizes), want);
    }

    #[test]
    fn a_short_list_needs_no_second_one() {
        assert_eq!(movers(&[(Some(1), None); 5]), "");
        assert_eq!(movers(&[(Some(1), Some(1)); 99]), "");
        assert_ne!(movers(&[(Some(1), None); 6]), "");
    }
}
