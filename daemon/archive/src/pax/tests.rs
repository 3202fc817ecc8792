//! Headers as GNU tar and the `tar` crate read them.

use super::*;
use crate::entry::{Witness, Xattr};
use crate::path::TreePath;

fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: TreePath::parse(path.to_vec()).unwrap(),
        kind,
        mode: 0o4755,
        uid: 0,
        gid: 0,
        modified: Stamp::default(),
        xattrs: vec![],
        witness: Witness::default(),
    }
}

fn file(path: &[u8]) -> Entry {
    entry(path, Kind::File { size: 0, content: vec![] })
}

/// What a reader of tarballs sees: `name type size mode | record; record`.
fn seen(entry: &Entry, body: Body) -> String {
    let mut out = Vec::new();
    put_headers(&mut out, &mut Vec::new(), entry, body);
    assert_eq!(out.len() % BLOCK_BYTES, 0);
    let (records, header) = out.split_at(out.len() - BLOCK_BYTES);
    let header = Header::from_byte_slice(header);
    let sum = header.cksum().unwrap();
    let mut again = header.clone();
    again.set_cksum();
    assert_eq!(again.cksum().unwrap(), sum);
    let mut line = format!(
        "{} {} {} {:o} {}",
        String::from_utf8_lossy(&header.path_bytes()),
        char::from(header.entry_type().as_byte()),
        header.entry_size().unwrap(),
        header.mode().unwrap(),
        header.mtime().unwrap(),
    );
    if !records.is_empty() {
        let length =
            usize::try_from(Header::from_byte_slice(&records[..BLOCK_BYTES]).entry_size().unwrap()).unwrap();
        let mut rest = &records[BLOCK_BYTES..BLOCK_BYTES + length];
        line.push_str(" |");
        while !rest.is_empty() {
            let space = rest.iter().position(|b| *b == b' ').unwrap();
            let whole: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
            assert_eq!(rest[whole - 1], b'\n');
            line.push_str(&format!(" {};", crate::path::printable(&rest[space + 1..whole - 1])));
            rest = &rest[whole..];
        }
    }
    line
}

#[track_caller]
fn check(entry: &Entry, body: Body, want: &str) {
    assert_eq!(seen(entry, body), want);
}

const EMPTY: Body = Body::Plain { size: 0 };

#[test]
fn names_stand_where_they_fit() {
    check(&entry(b"", Kind::Folder), EMPTY, "./ 5 0 4755 0");
    check(&entry(b"a/b", Kind::Folder), EMPTY, "./a/b/ 5 0 4755 0");
    check(&file(b"a"), EMPTY, "./a 0 0 4755 0");
    let fits = "x".repeat(98);
    check(&file(fits.as_bytes()), EMPTY, &format!("./{fits} 0 0 4755 0"));
    let long = "x".repeat(99);
    check(&file(long.as_bytes()), EMPTY, &format!("./{fits} 0 0 4755 0 | path=./{long};"));
    check(&file("é".as_bytes()), EMPTY, "./é 0 0 4755 0 | path=./é;");
    check(&file(b"\xff\n"), EMPTY, "./\u{fffd}\n 0 0 4755 0 | path=./\\xff\\n;");
}

#[test]
fn links_name_their_targets() {
    let linkname = |kind| {
        let mut out = Vec::new();
        put_headers(&mut out, &mut Vec::new(), &entry(b"l", kind), EMPTY);
        let header = Header::from_byte_slice(&out[out.len() - BLOCK_BYTES..]);
        String::from_utf8(header.link_name_bytes().unwrap().into_owned()).unwrap()
    };
    assert_eq!(linkname(Kind::Symlink { target: b"/etc/../x".to_vec() }), "/etc/../x");
    assert_eq!(linkname(Kind::Hardlink { target: TreePath::parse(b"a/b".to_vec()).unwrap() }), "./a/b");
    let long = "t".repeat(101);
    let link = entry(b"l", Kind::Symlink { target: long.clone().into_bytes() });
    check(&link, EMPTY, &format!("./l 2 0 4755 0 | linkpath={long};"));
}

#[test]
fn numbers_that_do_not_fit_stand_in_records() {
    let mut e = file(b"f");
    (e.uid, e.gid) = (0o7_777_777, 0o10_000_000);
    check(&e, EMPTY, "./f 0 0 4755 0 | gid=2097152;");
    e.uid = u32::MAX;
    check(&e, EMPTY, "./f 0 0 4755 0 | uid=4294967295; gid=2097152;");
    check(&file(b"f"), Body::Plain { size: 8 << 30 }, "./f 0 0 4755 0 | size=8589934592;");
    check(&file(b"f"), Body::Plain { size: (8 << 30) - 1 }, "./f 0 8589934591 4755 0");
}

#[test]
fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
    for (seconds, nanoseconds, want) in [
        (7, 0, "./f 0 0 4755 7"),
        (7, 5, "./f 0 0 4755 7 | mtime=7.000000005;"),
        (-1, 0, "./f 0 0 4755 0 | mtime=-1;"),
        (-1, 250_000_000, "./f 0 0 4755 0 | mtime=-0.750000000;"),
        (-5, 999_999_999, "./f 0 0 4755 0 | mtime=-4.000000001;"),
        (i64::MIN, 1, "./f 0 0 4755 0 | mtime=-9223372036854775807.999999999;"),
        (8_589_934_592, 0, "./f 0 0 4755 0 | mtime=8589934592;"),
    ] {
        let mut e = file(b"f");
        e.modified = Stamp { seconds, nanoseconds };
        check(&e, EMPTY, want);
    }
}

#[test]
fn attributes_are_records_and_their_names_are_quoted() {
    let mut e = file(b"f");
    e.xattrs = vec![
        Xattr { name: b"user.a=b%".to_vec(), value: b"v=\n".to_vec() },
        Xattr { name: b"user.empty".to_vec(), value: vec![] },
    ];
    check(&e, EMPTY, "./f 0 0 4755 0 | SCHILY.xattr.user.a%3Db%25=v=\\n; SCHILY.xattr.user.empty=;");
}

#[test]
fn a_sparse_file_says_its_real_name_and_size() {
    let want = "./GNUSparseFile.0/data 0 1024 4755 0 | GNU.sparse.major=1; GNU.sparse.minor=0; \
                GNU.sparse.name=./f; GNU.sparse.realsize=1048576;";
    check(&file(b"f"), Body::Sparse { stored: 1024, size: 1 << 20 }, want);
}

#[test]
fn devices_have_numbers_and_sockets_have_no_headers() {
    let mut out = Vec::new();
    put_headers(
        &mut out,
        &mut Vec::new(),
        &entry(b"d", Kind::BlockDevice { major: 4095, minor: 1_048_575 }),
        EMPTY,
    );
    let header = Header::from_byte_slice(&out);
    assert_eq!(header.device_major().unwrap(), Some(4095));
    assert_eq!(header.device_minor().unwrap(), Some(1_048_575));
    out.clear();
    put_headers(&mut out, &mut Vec::new(), &entry(b"s", Kind::Socket), EMPTY);
    assert!(out.is_empty());
}

#[test]
fn a_record_counts_its_own_length() {
    for length in 0..1200 {
        let mut out = Vec::new();
        put_record(&mut out, b"k", &vec![b'v'; length]);
        let space = out.iter().position(|b| *b == b' ').unwrap();
        let said: usize = std::str::from_utf8(&out[..space]).unwrap().parse().unwrap();
        assert_eq!(said, out.len());
    }
}
