//! The real program over both channels: it speaks first, does one job, and its last record says how it went.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use archive::channel::{
    End, Failed, FailedCause, Hello, Job, Looked, PROTOCOL, Piece, RecordKind, SwapJob, Swapped, Target,
    UnpackJob, Unpacked, parse_json, put_frame, read_record, write_json, write_record,
};
use archive::entry::{Entry, Extent, Kind, Stamp, Witness};
use archive::frame::{Encoder, FrameRow};
use archive::path::TreePath;
use archive::row::put_row;

/// The program, and both ends of its channel.
struct Helper {
    child: Child,
    input: Box<dyn Read>,
    output: Box<dyn Write>,
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backupd-helper"));
    command.arg("--root").arg(root);
    command
}

impl Helper {
    fn over_stdio(root: &Path) -> Self {
        let mut child =
            command(root).arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        Self { child, input: Box::new(input), output: Box::new(output) }.greeted()
    }

    fn over_socket(root: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let child = command(root).arg("--socket").arg(dir.path().join("s")).spawn().unwrap();
        let (socket, _) = listener.accept().unwrap();
        Self { child, input: Box::new(socket.try_clone().unwrap()), output: Box::new(socket) }.greeted()
    }

    fn greeted(mut self) -> Self {
        let (kind, payload) = self.record();
        assert_eq!(kind, RecordKind::Hello);
        assert_eq!(parse_json::<Hello>(&payload).unwrap().protocol, PROTOCOL);
        self
    }

    fn record(&mut self) -> (RecordKind, Vec<u8>) {
        let mut payload = Vec::new();
        let kind = read_record(&mut self.input, &mut payload).unwrap();
        (kind, payload)
    }

    fn job(mut self, job: &Job) -> Self {
        write_json(&mut self.output, RecordKind::Job, job).unwrap();
        self
    }

    /// The last record, progress apart, and whether the program agrees with it.
    fn last(mut self) -> (RecordKind, Vec<u8>) {
        let (kind, payload) = loop {
            let (kind, payload) = self.record();
            if kind != RecordKind::Progress {
                break (kind, payload);
            }
        };
        let status = self.child.wait().unwrap();
        assert_eq!(status.success(), kind == RecordKind::Done, "{status}");
        (kind, payload)
    }

    fn done<T: serde::de::DeserializeOwned>(self) -> T {
        let (kind, payload) = self.last();
        assert_eq!(kind, RecordKind::Done, "{}", String::from_utf8_lossy(&payload));
        parse_json(&payload).unwrap()
    }

    fn failed(self) -> Failed {
        let (kind, payload) = self.last();
        assert_eq!(kind, RecordKind::Failed, "{}", String::from_utf8_lossy(&payload));
        parse_json(&payload).unwrap()
    }
}

fn entry(path: &[u8], kind: Kind) -> Entry {
    Entry {
        path: TreePath::parse(path.to_vec()).unwrap(),
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        modified: Stamp::default(),
        xattrs: vec![],
        witness: Witness::default(),
    }
}

/// A root and one file of five bytes.
fn send_tree(helper: &mut Helper) {
    let content = vec![Extent::Stored { pack: 1, position: 0, length: 5 }];
    let mut rows = Vec::new();
    put_row(&mut rows, b"", &entry(b"", Kind::Folder));
    put_row(&mut rows, b"", &entry(b"file", Kind::File { size: 5, content }));
    write_record(&mut helper.output, RecordKind::Rows, &rows).unwrap();
    let (stored, hash) = Encoder::new(1).unwrap().encode(b"alive").unwrap();
    let row = FrameRow { offset: 0, stored: 0, raw: 5, hash };
    let piece = Piece { entry: 1, file_offset: 0, frame_offset: 0, length: 5 };
    write_record(&mut helper.output, RecordKind::Frame, &put_frame(&row, &[piece], &stored)).unwrap();
}

fn unpack(into: Target) -> Job {
    Job::Unpack(UnpackJob { run: "r1".to_owned(), workers: 2, into, places: Vec::new() })
}

#[test]
fn a_tree_is_unpacked_swapped_and_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::File::create(root.join("old")).unwrap();
    let mut helper = Helper::over_socket(root).job(&unpack(Target::Staging));
    send_tree(&mut helper);
    write_json(&mut helper.output, RecordKind::End, &End { entries: 2, data_bytes: 5 }).unwrap();
    let done: Unpacked = helper.done();
    assert_eq!((done.totals.entries, done.totals.data_bytes), (2, 5));
    let looked: Looked = Helper::over_stdio(root).job(&Job::Look).done();
    assert_eq!((looked.top_entries, looked.staged.len()), (1, 1));
    let job = Job::Swap(SwapJob { run: "r1".to_owned(), keep_previous: true });
    let swapped: Swapped = Helper::over_stdio(root).job(&job).done();
    assert_eq!(swapped.previous.as_deref(), Some(".backupd-previous-r1"));
    assert_eq!(fs::read(root.join("file")).unwrap(), b"alive");
    assert!(!root.join("old").exists() && root.join(".backupd-previous-r1/old").exists());
}

#[test]
fn a_channel_that_closes_before_the_end_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut helper = Helper::over_stdio(dir.path()).job(&unpack(Target::Staging));
    send_tree(&mut helper);
    helper.output = Box::new(std::io::sink());
    let failed = helper.failed();
    assert_eq!(failed.cause, FailedCause::Channel, "{failed:?}");
    assert!(failed.message.contains("broke off"), "{failed:?}");
    let refused = Helper::over_stdio(dir.path())
        .job(&Job::Swap(SwapJob { run: "r1".to_owned(), keep_previous: false }))
        .failed();
    assert_eq!(refused.cause, FailedCause::Occupied, "{refused:?}");
    let gone: Swapped = Helper::over_stdio(dir.path()).job(&Job::Discard { run: "r1".to_owned() }).done();
    assert!(!gone.swapped);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_side_that_breaks_the_protocol_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, kind: RecordKind, payload: &[u8], want: FailedCause| {
        let mut helper = Helper::over_stdio(dir.path()).job(&unpack(Target::Empty));
        write_record(&mut helper.output, kind, payload).unwrap();
        let failed = helper.failed();
        assert_eq!(failed.cause, want, "{name}: {failed:?}");
    };
    check("a job within a job", RecordKind::Job, b"{}", FailedCause::Channel);
    check("an end that is none", RecordKind::End, b"{", FailedCause::Channel);
    check("an end of nothing", RecordKind::End, br#"{"entries":0,"data_bytes":0}"#, FailedCause::Channel);
    check("rows of noise", RecordKind::Rows, &[0xff; 99], FailedCause::Hostile);
    check("a row that is cut", RecordKind::Rows, b"\x01\x00", FailedCause::Hostile);
    let mut helper = Helper::over_stdio(dir.path());
    write_record(&mut helper.output, RecordKind::Rows, b"").unwrap();
    assert_eq!(helper.failed().cause, FailedCause::Channel);
}

#[test]
fn a_root_that_is_not_there_is_told_over_the_channel() {
    let failed = Helper::over_stdio(Path::new("/nowhere/at/all")).job(&Job::Look).failed();
    assert_eq!(failed.cause, FailedCause::Tree);
    assert!(failed.message.contains("open root"), "{failed:?}");
}

#[test]
fn a_wrong_command_line_exits_with_two() {
    let done = Command::new(env!("CARGO_BIN_EXE_backupd-helper")).arg("--what").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("unknown argument `--what`"));
}
