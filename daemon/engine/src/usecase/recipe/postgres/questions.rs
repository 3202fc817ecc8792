//! What a PostgreSQL server is asked, and what its answers say.
//!
//! Always true: whatever may hold any character, paths and the label, comes in hexadecimal digits, so an answer is never
//! mistaken for its end, nor a name for two; and nothing that is put into a question comes from outside.

use super::wal::position;
use crate::words::RunId;

/// The oldest version whose backup mode is known to be this one, as `server_version_num` tells it.
pub(super) const OLDEST: u32 = 130_000;

/// Backup mode has had its present name since.
const RENAMED: u32 = 150_000;

/// No time limit of the server's settings ends what takes long. A session that says nothing for half an hour is ended
/// where the server can do that: then we are gone, and nobody would end it.
pub(super) const SETTLE: &str = "\
    SELECT count(set_config(name, CASE name WHEN 'idle_session_timeout' THEN '30min' ELSE '0' END, false)) \
    FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout', \
    'idle_session_timeout');";

/// Answered by [`Facts`].
pub(super) const FACTS: &str = "\
    SELECT current_setting('server_version_num'), pg_is_in_recovery(), \
    (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'), \
    encode(convert_to(current_setting('data_directory'), getdatabaseencoding()), 'hex');";

/// Answered by [`texts`]: where tablespaces are.
pub(super) const TABLESPACES: &str = "\
    SELECT encode(convert_to(pg_tablespace_location(oid), getdatabaseencoding()), 'hex') \
    FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '';";

/// Answered by [`control`]: the file that says where recovery begins, if there is no label, and which server this is.
pub(super) const CONTROL: &str = "SELECT encode(pg_read_binary_file('global/pg_control'), 'hex');";

/// Its length, in all versions.
const CONTROL_BYTES: usize = 8192;

/// Whether the session is there.
pub(super) const ALIVE: &str = "SELECT 1;";

/// Keeps the log from being removed until the session ends.
pub(super) fn keep_log(run: &RunId) -> String {
    format!("SELECT 1 FROM pg_create_physical_replication_slot('backupd_{}', true, true);", run.as_str())
}

/// Begins backup mode, with a checkpoint at once.
pub(super) fn start(version: u32, run: &RunId) -> String {
    let run = run.as_str();
    match version < RENAMED {
        true => format!("SELECT 1 FROM pg_start_backup('backupd {run}', true, false);"),
        false => format!("SELECT 1 FROM pg_backup_start('backupd {run}', true);"),
    }
}

/// Ends backup mode. Answered by [`Stopped`].
pub(super) fn stop(version: u32) -> String {
    let stop = if version < RENAMED { "pg_stop_backup(false, false)" } else { "pg_backup_stop(false)" };
    let hex =
        |column: &str| format!("encode(convert_to(coalesce({column}, ''), getdatabaseencoding()), 'hex')");
    let (label, map) = (hex("labelfile"), hex("spcmapfile"));
    format!("SELECT lsn, pg_walfile_name(lsn), {label}, {map} FROM {stop};")
}

/// What must be known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// `150018`.
    pub(super) version: u32,
    /// It follows another one.
    pub(super) is_standby: bool,
    /// Length of a segment of its log.
    pub(super) segment_bytes: u64,
    /// As its configuration names it.
    pub(super) data: String,
}

impl Facts {
    pub(super) fn read(lines: &[String]) -> Option<Self> {
        let [version, recovers, segment_bytes, data] = fields(lines)?;
        let is_standby = match recovers {
            "t" => true,
            "f" => false,
            _ => return None,
        };
        let (version, segment_bytes) = (version.parse().ok()?, segment_bytes.parse().ok()?);
        Some(Self { version, is_standby, segment_bytes, data: text(data)? })
    }

    /// `15.18`.
    pub(super) fn version_words(&self) -> String {
        format!("{}.{}", self.version / 10_000, self.version % 10_000)
    }
}

/// What the end of backup mode gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stopped {
    /// The end of the log that is needed.
    pub(super) at: u64,
    /// The segment that holds it, as the server says.
    pub(super) segment: String,
    /// To be `backup_label`.
    pub(super) label: Vec<u8>,
    /// To be `tablespace_map`, if it is not empty.
    pub(super) tablespace_map: Vec<u8>,
}

impl Stopped {
    pub(super) fn read(lines: &[String]) -> Option<Self> {
        let [at, segment, label, map] = fields(lines)?;
        Some(Self {
            at: position(at)?,
            segment: segment.to_owned(),
            label: bytes(label).filter(|label| !label.is_empty())?,
            tablespace_map: bytes(map)?,
        })
    }
}

/// The bytes of the control file.
pub(super) fn control(lines: &[String]) -> Option<Vec<u8>> {
    let [hex] = fields(lines)?;
    bytes(hex).filter(|control| control.len() == CONTROL_BYTES)
}

/// An answer of one text a line.
pub(super) fn texts(lines: &[String]) -> Option<Vec<String>> {
    lines.iter().map(|line| text(line)).collect()
}

/// The fields of an answer of one row.
fn fields<const N: usize>(lines: &[String]) -> Option<[&str; N]> {
    let [line] = lines else { return None };
    line.split('|').collect::<Vec<_>>().try_into().ok()
}

/// A text, which has been in use as a path, so that it is not empty.
fn text(hex: &str) -> Option<String> {
    String::from_utf8(bytes(hex)?).ok().filter(|text| !text.is_empty())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn facts_are_read_or_there_are_none() {
        let want = Facts {
            version: 150_018,
            is_standby: false,
            segment_bytes: 16 << 20,
            data: "/data |\n".to_owned(),
        };
        assert_eq!(Facts::read(&lines("150018|f|16777216|2f64617461207c0a")), Some(want.clone()));
        assert_eq!(want.version_words(), "15.18");
        for bad in [
            "",
            "150018|f|16777216|",
            "150018|f|16777216|2f6",
            "150018|f|16777216|ff",
            "150018|x|16777216|2f",
            "150018|f||2f",
            "15.18|f|16777216|2f",
            "150018|f|16777216|2f|2f",
            "150018|f|16777216|2f\n150018|f|16777216|2f",
        ] {
            assert_eq!(Facts::read(&lines(bad)), None, "{bad}");
        }
    }

    #[test]
    fn the_end_is_read_byte_for_byte() {
        let stopped = Stopped::read(&lines("0/3000100|000000010000000000000003|53540AFF|")).unwrap();
        assert_eq!((stopped.at, stopped.segment.as_str()), (0x300_0100, "000000010000000000000003"));
        assert_eq!(
            (stopped.label.as_slice(), stopped.tablespace_map.as_slice()),
            (&b"ST\n\xff"[..], &b""[..])
        );
        let map = Stopped::read(&lines("0/3000100|x|53|3136")).unwrap().tablespace_map;
        assert_eq!(map, b"16");
        for bad in ["", "0/3000100|x||", "0|x|53|", "0/1|x|5|", "0/1|x|53", "0/1|x|5g|"] {
            assert_eq!(Stopped::read(&lines(bad)), None, "{bad}");
        }
    }

    #[test]
    fn the_control_file_has_its_length() {
        assert_eq!(control(&lines(&"0f".repeat(8192))), Some(vec![15; 8192]));
        assert_eq!(control(&lines(&"0f".repeat(8191))), None);
        assert_eq!(control(&[]), None);
    }

    #[test]
    fn texts_are_one_a_line() {
        assert_eq!(texts(&[]), Some(vec![]));
        assert_eq!(texts(&lines("2f61\n2f62")), Some(vec!["/a".to_owned(), "/b".to_owned()]));
        assert_eq!(texts(&lines("2f61\n/b")), None);
        assert_eq!(texts(&lines("2f61\n\n")), None);
    }

    #[test]
    fn each_version_is_asked_in_its_words() {
        let run: RunId = "00112233445566ff".parse().unwrap();
        assert!(start(149_999, &run).contains("pg_start_backup('backupd 00112233445566ff', true, false)"));
        assert!(start(150_000, &run).contains("pg_backup_start('backupd 00112233445566ff', true)"));
        assert!(stop(140_000).contains("FROM pg_stop_backup(false, false);"));
        assert!(stop(170_000).contains("FROM pg_backup_stop(false);"));
        assert!(keep_log(&run).contains("'backupd_00112233445566ff', true, true"));
        // An end of a line within a question would be none to the client, but every question is one statement.
        for question in [SETTLE, FACTS, TABLESPACES, CONTROL, ALIVE, &stop(150_000), &start(150_000, &run)] {
            assert!(question.ends_with(';') && question.matches(';').count() == 1, "{question}");
        }
    }
}
