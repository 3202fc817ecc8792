//! Snapshots of one source as a chart: when they were taken, from left to right, and how large they are.
//!
//! Always true: whole numbers, worked out here; the newest moment is at the right edge, the largest snapshot is as high as
//! the chart, and none is so small that it cannot be seen or pointed at.

use std::fmt::Write as _;

use engine::units;
use engine::usecase::history::{Point, Worth};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::screen::escaped;

const WIDTH: i64 = 600;
const HEIGHT: u64 = 44;
const BAR: i64 = 6;
const BAR_HEIGHT_MIN: u64 = 3;

/// What a snapshot is worth: its class in the chart, and in words.
fn worth(point: &Point) -> (&'static str, &'static str) {
    match point.worth {
        Worth::Whole => ("whole", "whole"),
        Worth::Proven => ("proven", "read back and good"),
        Worth::Partial => ("partial", "partial"),
        Worth::Damaged => ("damaged", "damaged"),
    }
}

/// The chart of `points`, the oldest first; nothing if there are none.
pub(super) fn chart(points: &[Point], now: Timestamp, zone: &TimeZone) -> String {
    let Some(first) = points.first() else { return String::new() };
    let span = now.duration_since(first.taken_at).as_secs().max(1);
    let largest = points.iter().map(|point| point.bytes).max().unwrap_or_default().max(1);
    let about = format!(
        "{} since {}, the largest {}",
        units::counted(points.len() as u64, "snapshot", "snapshots"),
        units::moment(first.taken_at, zone),
        units::bytes(largest)
    );
    let mut out = format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\">",
        escaped(&about)
    );
    for point in points {
        let since = point.taken_at.duration_since(first.taken_at).as_secs().clamp(0, span);
        let left = i128::from(since) * i128::from(WIDTH - BAR) / i128::from(span);
        let height = u128::from(point.bytes) * u128::from(HEIGHT) / u128::from(largest);
        let height = u64::try_from(height).unwrap_or(HEIGHT).clamp(BAR_HEIGHT_MIN, HEIGHT);
        let (class, words) = worth(point);
        let tip = format!(
            "{}, {}, {}, sent {}, {words}",
            point.id,
            units::moment(point.taken_at, zone),
            units::bytes(point.bytes),
            units::bytes(point.sent_bytes)
        );
        // Writing into a text cannot fail.
        write!(
            out,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{}\" width=\"{BAR}\" height=\"{height}\"><title>{}</title></rect>",
            HEIGHT - height,
            escaped(&tip)
        )
        .ok();
    }
    // What is left of it and right of it, for whoever has no pointer to hold over a bar.
    let oldest = units::since(first.taken_at, now);
    out + &format!("</svg><div class=\"axis\"><span>{oldest}</span><span>now</span></div>")
}

#[cfg(test)]
mod tests {
    use engine::format::manifest::SnapshotKind;

    use super::*;

    fn point(id: &str, at: &str, bytes: u64, worth: Worth) -> Point {
        let taken_at = format!("2026-11-{at}:00Z").parse().unwrap();
        Point { id: id.into(), taken_at, bytes, sent_bytes: 10, kind: SnapshotKind::Full, worth }
    }

    #[test]
    fn bars_stand_where_their_time_is_and_are_as_high_as_they_are_large() {
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let points = [
            point("db@1", "11T00:00", 1000, Worth::Whole),
            point("db@2", "16T00:00", 500, Worth::Proven),
            point("db@3", "21T00:00", 0, Worth::Damaged),
        ];
        let svg = chart(&points, now, &TimeZone::UTC);
        for bar in [
            "class=\"whole\" x=\"0\" y=\"0\" width=\"6\" height=\"44\"><title>db@1, 2026-11-11 00:00:00, 1000 B",
            "class=\"proven\" x=\"297\" y=\"22\" width=\"6\" height=\"22\"",
            "class=\"damaged\" x=\"594\" y=\"41\" width=\"6\" height=\"3\"",
        ] {
            assert!(svg.contains(bar), "{bar}\n{svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.ends_with("<span>10 d ago</span><span>now</span></div>"), "{svg}");
        assert_eq!(chart(&[], now, &TimeZone::UTC), "");
        // A clock that was set back, and a snapshot of nothing.
        let future = chart(&[point("<x>", "22T00:00", 0, Worth::Partial)], now, &TimeZone::UTC);
        assert!(future.contains("x=\"0\"") && future.contains("&lt;x&gt;"), "{future}");
    }
}
