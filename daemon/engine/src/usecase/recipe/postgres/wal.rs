//! Segments of the write-ahead log by their names: those that a copy needs to become a database again.
//!
//! Always true of [`Segments`]: they are of one timeline and follow each other without a gap, the first holds what the
//! label begins with, and the last the byte before the end of the backup.

/// A copy that needs more is refused: the helper is told of each by name.
const SEGMENTS_MAX: u64 = 20_000;

/// What a line of the label begins with that says where recovery begins.
const START: &str = "START WAL LOCATION: ";

/// Segments from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    timeline: u32,
    first: u64,
    last: u64,
    /// Length of each.
    pub(super) bytes: u64,
}

impl Segments {
    /// What a copy needs with this label, whose backup ended at `stop`, of a server with segments of so many bytes.
    pub(super) fn needed(label: &[u8], stop: u64, bytes: u64) -> Result<Self, String> {
        if !bytes.is_power_of_two() || !(1 << 20..=1 << 30).contains(&bytes) {
            return Err(format!("the server has segments of {bytes} bytes, which cannot be"));
        }
        let label = String::from_utf8_lossy(label);
        let (start, file) = start_of(&label).ok_or("its label does not say where recovery begins")?;
        let timeline = file.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let timeline = timeline.ok_or_else(|| format!("its label names the segment `{file}`"))?;
        let (first, last) = (start / bytes, stop.saturating_sub(1) / bytes);
        let needed = Self { timeline, first, last, bytes };
        if needed.name(first) != file {
            return Err(format!(
                "its label names the segment `{file}`, and begins in `{}`",
                needed.name(first)
            ));
        }
        if stop <= start {
            return Err("it ended before it had begun".to_owned());
        }
        if last - first >= SEGMENTS_MAX {
            let gigabytes = ((last - first) * bytes) >> 30;
            return Err(format!("while it was copied {gigabytes} GiB of write-ahead log were written"));
        }
        Ok(needed)
    }

    fn name(&self, number: u64) -> String {
        let in_one = (1 << 32) / self.bytes;
        format!("{:08X}{:08X}{:08X}", self.timeline, number / in_one, number % in_one)
    }

    /// All of them.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(|number| self.name(number))
    }

    /// Where recovery begins.
    pub(super) fn first(&self) -> String {
        self.name(self.first)
    }

    /// Where it may end.
    pub(super) fn last(&self) -> String {
        self.name(self.last)
    }

    /// Whether the server gives this name to the segment of the end. At a border some versions name the next one.
    pub(super) fn ends_in(&self, name: &str) -> bool {
        name == self.last() || name == self.name(self.last + 1)
    }
}

/// Position and segment of the label's first line, `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)`.
fn start_of(label: &str) -> Option<(u64, &str)> {
    let line = label.lines().find_map(|line| line.strip_prefix(START))?;
    let (at, file) = line.split_once(" (file ")?;
    Some((position(at)?, file.strip_suffix(')')?))
}

/// A position in the log as it is written, `16/B374D848`.
pub(super) fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let number = |digits: &str| {
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    Some((u64::from(number(high)?) << 32) | u64::from(number(low)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(at: &str, file: &str) -> Vec<u8> {
        let rest = "CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n";
        format!("START WAL LOCATION: {at} (file {file})\n{rest}LABEL: backupd\nSTART TIMELINE: 1\n").into()
    }

    #[track_caller]
    fn check(at: &str, file: &str, stop: &str, bytes: u64, want: &[&str]) {
        let needed = Segments::needed(&label(at, file), position(stop).unwrap(), bytes).unwrap();
        assert_eq!(needed.names().collect::<Vec<_>>(), want);
        assert_eq!((needed.first(), needed.last()), (want[0].into(), want[want.len() - 1].into()));
        assert!(needed.ends_in(want[want.len() - 1]) && !needed.ends_in("000000020000000000000002"));
    }

    #[test]
    fn names_follow_each_other() {
        let one = "000000010000000000000002";
        check("0/2000028", one, "0/2000100", 16 << 20, &[one]);
        check("0/2000028", one, "0/3000000", 16 << 20, &[one]);
        check("0/2000028", one, "0/3000001", 16 << 20, &[one, "000000010000000000000003"]);
        let over = ["0000000A00000001000000FF", "0000000A0000000200000000", "0000000A0000000200000001"];
        check("1/FFFFFF28", over[0], "2/1800000", 16 << 20, &over);
        let small = ["000000010000000000000FFF", "000000010000000100000000"];
        check("0/FFF00028", small[0], "1/100000", 1 << 20, &small);
        let large = ["000000010000000000000003", "000000010000000100000000"];
        check("0/C0000028", large[0], "1/1", 1 << 30, &large);
    }

    #[test]
    fn at_a_border_the_next_name_will_do() {
        let file = "000000010000000000000002";
        let needed = Segments::needed(&label("0/2000028", file), 0x300_0000, 16 << 20).unwrap();
        assert!(needed.ends_in("000000010000000000000003") && !needed.ends_in("000000010000000000000004"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let file = "000000010000000000000002";
        #[track_caller]
        fn refused(label: &[u8], stop: &str, bytes: u64, want: &str) {
            let why = Segments::needed(label, position(stop).unwrap(), bytes).unwrap_err();
            assert!(why.contains(want), "{why}");
        }
        let fine = label("0/2000028", file);
        refused(&fine, "0/2000028", 16 << 20, "before it had begun");
        refused(&fine, "0/0", 16 << 20, "before it had begun");
        refused(&fine, "0/3000000", 32 << 20, "names the segment");
        refused(&fine, "0/3000000", 0, "cannot be");
        refused(&fine, "0/3000000", 3 << 20, "cannot be");
        refused(&fine, "0/3000000", 2 << 30, "cannot be");
        refused(&fine, "FF/0", 16 << 20, "1019 GiB");
        refused(b"", "0/3000000", 16 << 20, "does not say");
        refused(b"\xff\n", "0/3000000", 16 << 20, "does not say");
        refused(&label("0/2000028", "x"), "0/3000000", 16 << 20, "`x`");
        refused(&label("0/2000028", "äöüäöüäöü"), "0/3000000", 16 << 20, "äöü");
        refused(&label("0-2000028", file), "0/3000000", 16 << 20, "does not say");
    }

    #[test]
    fn positions_are_two_numbers() {
        for (text, want) in [
            ("0/0", Some(0)),
            ("16/B374D848", Some(0x16_B374_D848)),
            ("FFFFFFFF/FFFFFFFF", Some(u64::MAX)),
            ("1/100000000", None),
            ("1", None),
            ("/1", None),
            ("1/", None),
            ("+1/1", None),
            ("x/1", None),
        ] {
            assert_eq!(position(text), want, "{text}");
        }
    }
}
