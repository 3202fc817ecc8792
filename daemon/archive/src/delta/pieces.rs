//! Runs of a file's bytes, as sets: what is data, what is hole, what differs.
//!
//! Always true: runs ascend, neither touch nor overlap, and none is empty.

use crate::entry::Extent;
use crate::sparse::Region;

/// Adds a run behind all others, or to the end of the last.
pub(super) fn push(runs: &mut Vec<Region>, start: u64, end: u64) {
    if start >= end {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.start + last.length >= start => {
            last.length = last.length.max(end - last.start);
        }
        Some(_) | None => runs.push(Region { start, length: end - start }),
    }
}

/// What is stored of a file.
pub(super) fn stored(content: &[Extent]) -> Vec<Region> {
    let (mut runs, mut at) = (Vec::new(), 0);
    for extent in content {
        let end = at + extent.length();
        if matches!(extent, Extent::Stored { .. }) {
            push(&mut runs, at, end);
        }
        at = end;
    }
    runs
}

/// What of the first `size` bytes is in none of the runs.
pub(super) fn gaps(runs: &[Region], size: u64) -> Vec<Region> {
    let (mut gaps, mut at) = (Vec::new(), 0);
    for run in runs.iter().take_while(|run| run.start < size) {
        push(&mut gaps, at, run.start);
        at = run.start + run.length;
    }
    push(&mut gaps, at, size);
    gaps
}

/// What is in both.
pub(super) fn common(a: &[Region], b: &[Region]) -> Vec<Region> {
    let (mut common, mut i, mut j) = (Vec::new(), 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (x_end, y_end) = (x.start + x.length, y.start + y.length);
        push(&mut common, x.start.max(y.start), x_end.min(y_end));
        if x_end <= y_end {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// Whether a range has anything in common with the runs.
pub(super) fn touches(runs: &[Region], start: u64, end: u64) -> bool {
    let next = runs.partition_point(|run| run.start + run.length <= start);
    runs.get(next).is_some_and(|run| run.start < end)
}

/// The content of a file of `size` bytes that holds of another's `content` what the runs name, and holes around it.
pub(super) fn excerpt(content: &[Extent], runs: &[Region], size: u64) -> Vec<Extent> {
    let (mut out, mut done) = (Vec::new(), 0);
    let mut extents = content.iter();
    let (mut extent, mut from) = (extents.next(), 0);
    for run in runs {
        let end = run.start + run.length;
        while let Some(there) = extent {
            let to = from + there.length();
            let (start, stop) = (run.start.max(from), end.min(to));
            if let Extent::Stored { pack, position, .. } = there
                && start < stop
            {
                if start > done {
                    out.push(Extent::Hole { length: start - done });
                }
                let (pack, position, length) = (*pack, position + (start - from), stop - start);
                out.push(Extent::Stored { pack, position, length });
                done = stop;
            }
            if to > end {
                break;
            }
            (extent, from) = (extents.next(), to);
        }
    }
    if size > done {
        out.push(Extent::Hole { length: size - done });
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 40;

    /// By the byte, as it is meant.
    fn bits(runs: &[Region]) -> Vec<bool> {
        (0..SIZE as u64).map(|at| touches(runs, at, at + 1)).collect()
    }

    fn runs(bits: &[bool]) -> Vec<Region> {
        let mut runs = Vec::new();
        for (at, bit) in (0..).zip(bits) {
            if *bit {
                push(&mut runs, at, at + 1);
            }
        }
        runs
    }

    fn some_bits() -> impl Strategy<Value = Vec<bool>> {
        proptest::collection::vec(any::<bool>(), SIZE)
    }

    /// Holes and extents of two packs.
    fn some_content() -> impl Strategy<Value = Vec<Extent>> {
        proptest::collection::vec((0..3_u64, 1..9_u64), 1..12).prop_map(|pieces| {
            let (mut left, mut content) = (SIZE as u64, Vec::new());
            for (n, (pack, length)) in (0..).zip(pieces) {
                let length = length.min(left);
                left -= length;
                content.extend((length > 0).then_some(match pack {
                    0 => Extent::Hole { length },
                    pack => Extent::Stored { pack, position: n * 100, length },
                }));
            }
            content.extend((left > 0).then_some(Extent::Hole { length: left }));
            content
        })
    }

    /// Where each byte lies.
    fn bytes(content: &[Extent]) -> Vec<Option<(u64, u64)>> {
        let byte = |extent: &Extent, n| match extent {
            Extent::Hole { .. } => None,
            Extent::Stored { pack, position, .. } => Some((*pack, position + n)),
        };
        content.iter().flat_map(|extent| (0..extent.length()).map(move |n| byte(extent, n))).collect()
    }

    proptest! {
        #[test]
        fn sets_of_runs_are_sets_of_bytes(a in some_bits(), b in some_bits()) {
            let (x, y) = (runs(&a), runs(&b));
            prop_assert_eq!(bits(&x), a.clone());
            let both: Vec<bool> = a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
            prop_assert_eq!(common(&x, &y), runs(&both));
            let not: Vec<bool> = a.iter().map(|a| !a).collect();
            prop_assert_eq!(gaps(&x, SIZE as u64), runs(&not));
        }

        #[test]
        fn an_excerpt_has_what_was_asked_for_where_it_was(content in some_content(), wanted in some_bits()) {
            let all = bytes(&content);
            let is_stored: Vec<bool> = all.iter().map(Option::is_some).collect();
            prop_assert_eq!(bits(&stored(&content)), is_stored);
            let out = excerpt(&content, &runs(&wanted), SIZE as u64);
            let want: Vec<_> = all.iter().zip(&wanted).map(|(byte, wanted)| byte.filter(|_| *wanted)).collect();
            prop_assert_eq!(bytes(&out), want);
        }
    }
}
