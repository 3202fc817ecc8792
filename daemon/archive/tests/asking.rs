//! A helper that asks over its channel while it packs, and engines that answer, answer wrongly, or are gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/lineage.rs"]
mod lineage;

use std::fs::File;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use archive::base::Ask;
use archive::channel::{
    Failed, FailedCause, Job, PackJob, Packed, RecordKind, parse_json, read_record, write_json, write_record,
};
use archive::clones::Scratch;
use lineage::{How, Lineage};

/// What an engine does with a question.
type Answer<'a> = &'a dyn Fn(&Ask, &mut UnixStream);

/// Serves a job to an engine that answers so; gives what came of it and how many questions there were.
fn pack(root: &Path, job: PackJob, answer: Answer<'_>) -> (Result<Packed, Failed>, usize) {
    let (mut engine, helper) = UnixStream::pair().unwrap();
    let root = File::open(root).unwrap().into();
    let input = helper.try_clone().unwrap();
    let served = thread::spawn(move || archive::serve::serve(input, helper, Ok(root), &Scratch::NONE));
    let mut payload = Vec::new();
    assert_eq!(read_record(&mut engine, &mut payload).unwrap(), RecordKind::Hello);
    write_json(&mut engine, RecordKind::Job, &Job::Pack(job)).unwrap();
    let (mut bytes, mut asked) = (0, 0);
    let done = loop {
        match read_record(&mut engine, &mut payload).unwrap() {
            RecordKind::Bytes => bytes += payload.len() as u64,
            RecordKind::Progress => {}
            RecordKind::Ask => {
                asked += 1;
                answer(&parse_json(&payload).unwrap(), &mut engine);
            }
            RecordKind::Done => break Ok(parse_json::<Packed>(&payload).unwrap()),
            RecordKind::Failed => break Err(parse_json(&payload).unwrap()),
            other @ (RecordKind::Hello
            | RecordKind::Job
            | RecordKind::Rows
            | RecordKind::Frame
            | RecordKind::End
            | RecordKind::Answer
            | RecordKind::Differing
            | RecordKind::Pictured) => panic!("{other:?}"),
        }
    };
    assert_eq!(served.join().unwrap().unwrap(), done.is_ok());
    assert!(done.as_ref().is_ok_and(|packed| packed.length == bytes) || done.is_err());
    (done, asked)
}

#[test]
fn questions_are_answered_one_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    std::io::Write::write_all(&mut File::create(root.path().join("file")).unwrap(), &[7; 100_000]).unwrap();
    let mut lineage = Lineage::default();
    let first = lineage.snapshot(root.path(), &How::default());
    let job = lineage.job(&How { reread: true, ..How::default() });

    let honest = |ask: &Ask, engine: &mut UnixStream| {
        write_record(engine, RecordKind::Answer, &lineage.answer(ask)).unwrap();
    };
    let (done, asked) = pack(root.path(), job.clone(), &honest);
    let packed = done.unwrap();
    assert_eq!((packed.raw_bytes, packed.used.get(&4), asked), (0, first.used.get(&4), 4));

    let check = |answer: Answer<'_>, cause, why: &str| {
        let failed = pack(root.path(), job.clone(), answer).0.unwrap_err();
        assert!(failed.cause == cause && failed.message.contains(why), "{failed:?}");
    };
    let noise =
        |_: &Ask, engine: &mut UnixStream| write_record(engine, RecordKind::Answer, &[9; 99]).unwrap();
    check(&noise, FailedCause::Tree, "entries table of the snapshot before");
    let other = |_: &Ask, engine: &mut UnixStream| write_record(engine, RecordKind::End, b"{}").unwrap();
    check(&other, FailedCause::Channel, "instead of an answer");
    let gone = |_: &Ask, engine: &mut UnixStream| engine.shutdown(Shutdown::Write).unwrap();
    check(&gone, FailedCause::Channel, "cannot ask the engine");
}
