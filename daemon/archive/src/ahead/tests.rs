//! When looking ahead begins, and what it fetches.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::Advice;

use super::*;

const FILES: usize = 40;

/// A folder of small files that are on the disk, and no longer in memory. `None` where that cannot be had: on a file
/// system that is memory, or one that cannot tell.
fn cold_folder() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let names = (0..FILES).map(name).chain(["probe".to_owned()]);
    for name in names {
        let path = folder.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&[7; 20_000]).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
    (!is_in_memory(&folder.path().join("probe"))).then_some(folder)
}

fn name(number: usize) -> String {
    format!("{number:03}")
}

/// Asks once: the kernel takes the question for a reason to fetch it.
fn is_in_memory(file: &Path) -> bool {
    reading::read_at_once(File::open(file).unwrap().as_fd(), &mut [0], 0) == Ok(1)
}

/// Has all files looked at, and gives how many of them the scouts found not to be in memory.
fn look_at_all(folder: &Path, mut ahead: Ahead) -> u64 {
    assert!(ahead.is_worth_it());
    let names = (0..FILES).map(|number| CString::new(name(number)).unwrap()).collect();
    let upcoming = Upcoming { folder: Arc::new(File::open(folder).unwrap().into()), names, distance: 1 };
    ahead.look_at(upcoming);
    let Scouts { errands, threads } = ahead.scouts.take().unwrap();
    drop(errands);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ahead.shared.reads_missed.load(Ordering::Relaxed)
}

#[test]
fn nothing_is_fetched_where_nobody_waited_for_the_disk() {
    let mut ahead = Ahead::new();
    for _ in 0..1000 {
        ahead.looked(Duration::from_micros(1));
        ahead.read(false);
    }
    assert!(!ahead.is_worth_it() && ahead.scouts.is_none());
}

#[test]
fn files_are_asked_for_before_their_turn_once_some_had_to_be_waited_for() {
    let Some(folder) = cold_folder() else { return };
    let mut ahead = Ahead::new();
    (0..20).for_each(|_| ahead.read(true));
    // A few pages may be held in memory by somebody else.
    assert!(look_at_all(folder.path(), ahead) >= FILES as u64 * 9 / 10);
}

#[test]
fn looking_alone_reads_no_content() {
    let Some(folder) = cold_folder() else { return };
    let mut ahead = Ahead::new();
    (0..200).for_each(|_| ahead.looked(Duration::from_micros(100)));
    assert_eq!(look_at_all(folder.path(), ahead), 0);
}

#[test]
fn a_file_that_is_not_in_memory_is_told_and_read_all_the_same() {
    let Some(folder) = cold_folder() else { return };
    let file = File::open(folder.path().join("000")).unwrap();
    let mut buffer = vec![0; 20_000];
    let (first, missed) = read_first(file.as_fd(), &mut buffer, 0);
    assert_eq!((first.unwrap(), missed), (20_000, true));
    let (second, missed) = read_first(file.as_fd(), &mut buffer, 0);
    assert_eq!((second.unwrap(), missed), (20_000, false));
    assert!(buffer.iter().all(|b| *b == 7));
    let (end, missed) = read_first(file.as_fd(), &mut buffer, 15_000);
    assert_eq!((end.unwrap(), missed), (5000, false));
}
