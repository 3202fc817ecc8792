//! Which database a folder holds: the few bytes by which each tells itself from every other one.
//!
//! A server that finds its folder empty makes a new database there, which looks as healthy as the old one and is
//! empty. Its size may tell, its identity does. Always true: only regular files are read, so many bytes of each at
//! most, and what they hold is compared and shown, never obeyed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{FileType, OFlags};

use crate::beneath;

/// More of a file is not read.
const BYTES_MAX: u64 = 4096;

/// A version is shorter.
const VERSION_BYTES_MAX: usize = 64;

/// PostgreSQL numbers the layout of its control file like this, since its eighth version.
const CONTROL_VERSIONS: std::ops::RangeInclusive<u32> = 800..=99_999;

/// How the control file of Aria begins, the engine of MariaDB's own tables.
const ARIA_MAGIC: &[u8] = b"\xfe\xfe\x0c";

type Reader = fn(&[u8]) -> Option<String>;

/// Files that name their database, and how they do.
const PLACES: &[(&[u8], Reader)] =
    &[(b"global/pg_control", postgres), (b"auto.cnf", mysql), (b"aria_log_control", mariadb)];

/// What the folder says of itself, as `KIND:ID`; `None` if it holds no database that we know, or none that can be read.
pub(crate) fn identity(root: BorrowedFd<'_>) -> Option<String> {
    PLACES.iter().find_map(|(path, reader)| {
        // A file that is gone or torn names nobody; the guard then says that it named somebody before.
        let bytes = beginning(root, path).ok()?;
        reader(&bytes)
    })
}

/// Files in which a server notes its version. What is copied to another folder takes them along, so they tell of the data.
const VERSION_FILES: [&str; 3] = ["PG_VERSION", "mariadb_upgrade_info", "mysql_upgrade_info"];

/// The name of such a file, and the version in it; a text of a few printable characters, whoever wrote it.
pub(crate) fn version(root: BorrowedFd<'_>) -> Option<(String, String)> {
    VERSION_FILES.iter().find_map(|name| {
        let bytes = beginning(root, name.as_bytes()).ok()?;
        let line = bytes.trim_ascii().split(|byte| *byte == b'\n').next()?;
        let plain =
            line.len() <= VERSION_BYTES_MAX && line.iter().all(u8::is_ascii_graphic) && !line.is_empty();
        let text = std::str::from_utf8(line).ok().filter(|_| plain)?;
        Some(((*name).to_owned(), text.to_owned()))
    })
}

fn beginning(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<Vec<u8>> {
    let itself = beneath::open_itself(root, path)?;
    if beneath::file_type(&rustix::fs::fstat(itself.as_fd())?) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = beneath::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let mut bytes = Vec::new();
    File::from(file).take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The system identifier, and the version of the layout that it stands in.
fn postgres(bytes: &[u8]) -> Option<String> {
    let (system, rest) = bytes.split_first_chunk::<8>()?;
    let (version, _rest) = rest.split_first_chunk::<4>()?;
    let system = u64::from_ne_bytes(*system);
    (CONTROL_VERSIONS.contains(&u32::from_ne_bytes(*version)) && system != 0)
        .then(|| format!("postgres:{system}"))
}

/// `server-uuid=…`
fn mysql(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let id = text.lines().find_map(|line| line.trim().strip_prefix("server-uuid=")).map(str::trim)?;
    let plain = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    plain.then(|| format!("mysql:{}", id.to_ascii_lowercase()))
}

/// The UUID of its log, made with the database; a byte after the magic tells the version.
fn mariadb(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(ARIA_MAGIC)?.get(1..)?;
    let (id, _rest) = rest.split_first_chunk::<16>()?;
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    id.iter().any(|byte| *byte != 0).then(|| format!("mariadb:{digits}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check(path: &str, bytes: &[u8], want: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        io::Write::write_all(&mut File::create(file).unwrap(), bytes).unwrap();
        let root = File::open(folder.path()).unwrap();
        assert_eq!(identity(root.as_fd()).as_deref(), want, "{path}");
    }

    #[test]
    fn databases_name_themselves() {
        let control =
            [&7_123_456_789_012_345_678_u64.to_ne_bytes()[..], &1300_u32.to_ne_bytes(), &[9; 200]].concat();
        check("global/pg_control", &control, Some("postgres:7123456789012345678"));
        let cnf = b"[auto]\nserver-uuid=3E11FA47-71CA-11E1-9E33-C80AA9429562\n";
        check("auto.cnf", cnf, Some("mysql:3e11fa47-71ca-11e1-9e33-c80aa9429562"));
        let aria = [ARIA_MAGIC, &[1], &[0xab; 16], &[0; 40]].concat();
        check("aria_log_control", &aria, Some(&format!("mariadb:{}", "ab".repeat(16))));
    }

    #[test]
    fn versions_are_read_from_their_files_and_are_short_and_plain() {
        for (name, bytes, want) in [
            ("PG_VERSION", &b"15\n"[..], Some("15")),
            ("mysql_upgrade_info", b"8.0.36", Some("8.0.36")),
            ("mariadb_upgrade_info", b"10.11.6-MariaDB\0", None),
            ("PG_VERSION", b"\x1b[2J", None),
            ("PG_VERSION", &[b'1'; 65], None),
            ("PG_VERSION", b"\n", None),
            ("version", b"15", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            io::Write::write_all(&mut File::create(folder.path().join(name)).unwrap(), bytes).unwrap();
            let root = File::open(folder.path()).unwrap();
            let want = want.map(|text| (name.to_owned(), text.to_owned()));
            assert_eq!(version(root.as_fd()), want, "{name}");
        }
    }

    #[test]
    fn what_names_nobody_is_no_identity() {
        check("readme", b"server-uuid=3e11fa47-71ca-11e1-9e33-c80aa9429562", None);
        check("global/pg_control", &[0; 200], None);
        check("global/pg_control", &[7; 11], None);
        check("auto.cnf", b"server-uuid=\x1b[2J\n", None);
        check("auto.cnf", b"server-uuid=short\n", None);
        check("aria_log_control", &[0xfe; 40], None);
        check("aria_log_control", &[ARIA_MAGIC, &[1], &[0; 40]].concat(), None);
        check("aria_log_control", ARIA_MAGIC, None);
    }

    #[test]
    fn neither_a_link_nor_a_fifo_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let cnf = "server-uuid=3e11fa47-71ca-11e1-9e33-c80aa9429562\n";
        io::Write::write_all(&mut File::create(folder.path().join("cnf")).unwrap(), cnf.as_bytes()).unwrap();
        std::os::unix::fs::symlink("cnf", folder.path().join("auto.cnf")).unwrap();
        let fifo = folder.path().join("aria_log_control");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let root = File::open(folder.path()).unwrap();
        assert_eq!(identity(root.as_fd()), None);
    }
}
