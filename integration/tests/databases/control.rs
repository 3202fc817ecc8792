//! Plain copies of a volume that is written to: the checkers find that they are bad. That of a server at rest is good, so it is
//! not the copying that they find.

use integration::databases::Server;
use integration::databases::cycle::Subject;
use integration::databases::place::Place;
use integration::databases::points::Points;
use integration::databases::postgres::Postgres;
use integration::torture::COPY_BYTES_PER_SECOND;

/// Nearly every one is bad. If none of so many is, the checker finds nothing.
const COPIES: u32 = 5;

#[track_caller]
fn found_bad(server: &dyn Server) {
    let place = Place::new().unwrap();
    let mut subject = Subject::new(&place, server, &[]).unwrap();
    let writer = subject.write().unwrap();
    let is_bad = |_copy: u32| subject.naive(&writer, COPY_BYTES_PER_SECOND).unwrap().is_err();
    assert!((0..COPIES).any(is_bad), "{server:?}: none of {COPIES} copies is found to be bad");
    let before = writer.ledger();
    subject.end(writer, before);
    assert_eq!(subject.naive_at_rest().unwrap(), Ok(()), "{server:?}: a copy of it at rest");
}

#[test]
fn copies_of_a_live_postgres() {
    found_bad(&Postgres { scale: 1 });
}

#[test]
fn copies_of_live_whisper_files() {
    found_bad(&Points);
}
