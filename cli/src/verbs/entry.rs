//! One entry of a snapshot as a line and as JSON, the same in `ls` and `find`.

use engine::archive::entry::{Entry, Kind, Stamp};
use engine::archive::path::printable;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::screen::units;

/// `-rw-r-----  999:999  8.0 KiB  2026-11-20 14:00:05  base/1`, in columns that hold most of what there is.
pub(crate) fn line(entry: &Entry, zone: &TimeZone) -> String {
    let owner = format!("{}:{}", entry.uid, entry.gid);
    let size = match &entry.kind {
        Kind::File { size, .. } => units::bytes(*size),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("{major}, {minor}"),
        Kind::Folder | Kind::Symlink { .. } | Kind::Hardlink { .. } | Kind::Fifo | Kind::Socket => {
            "-".to_owned()
        }
    };
    let time = timestamp(entry.modified).map_or_else(|| "-".to_owned(), |at| units::moment(at, zone));
    let more = match &entry.kind {
        Kind::Symlink { target } => format!(" -> {}", printable(target)),
        Kind::Hardlink { target } => format!(" = {target}"),
        Kind::Folder
        | Kind::File { .. }
        | Kind::Fifo
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Socket => String::new(),
    };
    format!("{}  {owner:<11}  {size:>9}  {time:<19}  {}{more}", mode(entry), entry.path)
}

/// The fields that `docs/json.md` fixes.
pub(crate) fn json(entry: &Entry) -> Value {
    let target = match &entry.kind {
        Kind::Symlink { target } => Some(printable(target)),
        Kind::Hardlink { target } => Some(target.to_string()),
        Kind::Folder
        | Kind::File { .. }
        | Kind::Fifo
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. }
        | Kind::Socket => None,
    };
    json!({
        "path": entry.path.to_string(),
        "kind": kind(&entry.kind),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size(),
        "modified": timestamp(entry.modified),
        "target": target,
    })
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Folder => "folder",
        Kind::File { .. } => "file",
        Kind::Symlink { .. } => "symlink",
        Kind::Hardlink { .. } => "hardlink",
        Kind::Fifo => "fifo",
        Kind::CharDevice { .. } => "char_device",
        Kind::BlockDevice { .. } => "block_device",
        Kind::Socket => "socket",
    }
}

/// As `ls -l` writes it.
fn mode(entry: &Entry) -> String {
    let letter = match &entry.kind {
        Kind::Folder => 'd',
        Kind::File { .. } | Kind::Hardlink { .. } => '-',
        Kind::Symlink { .. } => 'l',
        Kind::Fifo => 'p',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Socket => 's',
    };
    let mut out = String::from(letter);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = entry.mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => set,
            (true, false) => unset,
        });
    }
    out
}

/// `None` for a time that no calendar of ours can show; files may carry any.
fn timestamp(stamp: Stamp) -> Option<Timestamp> {
    Timestamp::new(stamp.seconds, i32::try_from(stamp.nanoseconds).ok()?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use engine::archive::path::TreePath;

    use super::*;

    pub(crate) fn entry(path: &[u8], mode: u32, kind: Kind) -> Entry {
        Entry {
            path: TreePath::parse(path.to_vec()).unwrap(),
            kind,
            mode,
            uid: 999,
            gid: 999,
            modified: Stamp { seconds: 1_795_179_605, nanoseconds: 5 },
            xattrs: Vec::new(),
            witness: engine::archive::entry::Witness::default(),
        }
    }

    fn some() -> Vec<Entry> {
        let path = |bytes: &[u8]| TreePath::parse(bytes.to_vec()).unwrap();
        let mut old = entry(b"old", 0o644, Kind::File { size: 3, content: Vec::new() });
        old.modified.seconds = i64::MIN;
        vec![
            entry(b"", 0o1777, Kind::Folder),
            entry(b"base/1", 0o640, Kind::File { size: 8192, content: Vec::new() }),
            entry(b"base/\x1b[31m\xff", 0o6755, Kind::Symlink { target: b"../x\n".to_vec() }),
            entry(b"b", 0o2660, Kind::Hardlink { target: path(b"base/1") }),
            entry(b"null", 0o666, Kind::CharDevice { major: 1, minor: 3 }),
            old,
        ]
    }

    #[test]
    fn lines_read_like_ls_and_cannot_steer_a_terminal() {
        let lines: Vec<String> = some().iter().map(|entry| line(entry, &TimeZone::UTC)).collect();
        let want = [
            "drwxrwxrwt  999:999              -  2026-11-20 13:00:05  .",
            "-rw-r-----  999:999        8.0 KiB  2026-11-20 13:00:05  base/1",
            "lrwsr-sr-x  999:999              -  2026-11-20 13:00:05  base/\\u{1b}[31m\\xff -> ../x\\n",
            "-rw-rwS---  999:999              -  2026-11-20 13:00:05  b = base/1",
            "crw-rw-rw-  999:999           1, 3  2026-11-20 13:00:05  null",
            "-rw-r--r--  999:999            3 B  -                    old",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn json_rows_carry_the_fixed_fields() {
        let rows: Vec<String> = some().iter().skip(1).take(2).map(|entry| json(entry).to_string()).collect();
        let want = [
            r#"{"gid":999,"kind":"file","mode":"0640","modified":"2026-11-20T13:00:05.000000005Z","path":"base/1","size":8192,"target":null,"uid":999}"#,
            r#"{"gid":999,"kind":"symlink","mode":"6755","modified":"2026-11-20T13:00:05.000000005Z","path":"base/\\u{1b}[31m\\xff","size":0,"target":"../x\\n","uid":999}"#,
        ];
        assert_eq!(rows, want);
    }
}
