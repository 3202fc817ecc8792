//! K3: everything that an intruder in the helper's place tries.

use std::collections::BTreeSet;
use std::path::Path;

use engine::port::docker::{Access, Docker as _, Helper, HelperMount, HelperSpec};
use engine::testing::docker_contract::spec;
use tokio::io::AsyncReadExt as _;

use crate::rig::{PATIENCE, Rig, confined, order};

/// Lets `confined` try, to the end.
async fn battery(helper: &mut Helper) -> String {
    order(helper, b"b").await;
    let mut answer = String::new();
    helper.from.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("end\n"), "{answer}");
    answer
}

/// For reading and for writing, on both channels.
#[tokio::test]
async fn a_helper_that_was_taken_over_cannot_get_out() {
    // What writing is for. A device can be made, since volumes hold some, and not be opened.
    let write = ["write to the source", "remove from the source", "chmod in the source", "mknod a disk"];
    // Bit 2; and bits 0, 1, 3, 4, 27, 31.
    let cases = [
        (Access::Read, "0000000000000004", BTreeSet::new()),
        (Access::Write, "000000008800001b", BTreeSet::from(write)),
    ];
    for attach in [false, true] {
        for (access, capabilities, expected) in &cases {
            let rig = Rig::new(attach, Some(confined()));
            let volume = rig.volume().await;
            let folder = rig.docker.volume(&volume).await.unwrap().unwrap().mountpoint.unwrap();
            std::fs::File::create(Path::new(&folder).join("keep")).unwrap();
            let mut helper = rig.docker.open_helper(&spec(&volume, *access)).await.unwrap();
            let answer = battery(&mut helper).await;
            let said = |word: &'static str| answer.lines().filter_map(move |line| line.strip_prefix(word));
            assert_eq!(said("allowed ").collect::<BTreeSet<_>>(), *expected, "{answer}");
            assert!(said("denied ").count() >= 60, "{answer}");
            for status in [
                format!("CapEff:\t{capabilities}"),
                format!("CapPrm:\t{capabilities}"),
                format!("CapBnd:\t{capabilities}"),
                "NoNewPrivs:\t1".to_owned(),
                "Seccomp:\t2".to_owned(),
            ] {
                assert!(said("status ").any(|line| line == status), "{status} is not in\n{answer}");
            }
            helper.life.finish(PATIENCE).await.unwrap();
            rig.end(&volume).await;
        }
    }
}

/// A folder of the host is seen as it is, and read-only.
#[tokio::test]
async fn a_folder_of_the_host_is_not_written_to() {
    let rig = Rig::new(false, Some(confined()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("keep")).unwrap();
    let mount = HelperMount::Folder(folder.path().display().to_string());
    let mut helper = rig.docker.open_helper(&HelperSpec { mount, ..spec("-", Access::Read) }).await.unwrap();
    let answer = battery(&mut helper).await;
    assert!(answer.contains("denied remove from the source: Read-only file system"), "{answer}");
    helper.life.finish(PATIENCE).await.unwrap();
    assert!(folder.path().join("keep").exists());
}
