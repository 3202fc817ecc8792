//! A helper's container, its channel and its end.

use std::time::{Duration, Instant};

use engine::adapter::docker::HelperImage;
use engine::port::docker::{Access, Docker as _, DockerErrorKind, Helper, HelperSpec, Leftover, RUN_LABEL};
use engine::testing::docker_contract::spec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{PATIENCE, Rig, confined, docker_cli, order};

/// B9, B11, Q4: no log file, nothing that removes itself, limits, labels, an own name.
#[tokio::test]
async fn the_container_is_made_as_the_design_says() {
    let rig = Rig::new(false, Some(confined()));
    let volume = rig.volume().await;
    let spec = spec(&volume, Access::Read);
    let helper = rig.docker.open_helper(&spec).await.unwrap();
    let left = rig.docker.leftovers().await.unwrap();
    let id = &left.iter().find(|l| l.run == spec.run).unwrap().id;
    let all: serde_json::Value = serde_json::from_str(&docker_cli(&["inspect", id])).unwrap();
    let (all, host) = (&all[0], &all[0]["HostConfig"]);
    assert_eq!(all["LogPath"], "");
    assert_eq!(all["Image"], rig.docker.helper_image_id());
    assert_eq!(all["Config"]["Labels"][RUN_LABEL], spec.run.as_str());
    assert_eq!(all["NetworkSettings"]["IPAddress"], "");
    assert!(all["Name"].as_str().unwrap().starts_with(&format!("/backupd-{}-", spec.run)));
    assert_eq!((&host["AutoRemove"], &host["Privileged"]), (&false.into(), &false.into()));
    assert_eq!(host["LogConfig"]["Type"], "none");
    assert_eq!(host["Mounts"][0]["VolumeOptions"]["NoCopy"], true);
    assert_eq!(host["Memory"], spec.memory_bytes);
    assert_eq!(host["MemorySwap"], spec.memory_bytes);
    assert_eq!(host["PidsLimit"], spec.pids);
    helper.life.kill().await.unwrap();
    rig.end(&volume).await;
}

/// A9: whoever hangs up in the middle of a start, as an interrupted run does, and sweeps, leaves nothing.
#[tokio::test]
async fn a_start_that_was_given_up_leaves_nothing() {
    let rig = Rig::new(false, Some(confined()));
    let volume = rig.volume().await;
    for millis in [1, 3, 6, 10, 20, 40, 80, 160] {
        let spec = spec(&volume, Access::Read);
        let patience = Duration::from_millis(millis);
        if let Ok(helper) = tokio::time::timeout(patience, rig.docker.open_helper(&spec)).await {
            helper.unwrap().life.kill().await.unwrap();
        }
        let of_it =
            |all: Vec<Leftover>| all.into_iter().filter(|one| one.run == spec.run).collect::<Vec<_>>();
        for left in of_it(rig.docker.leftovers().await.unwrap()) {
            rig.docker.remove_leftover(&left).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(of_it(rig.docker.leftovers().await.unwrap()), [], "after {millis} ms");
    }
    rig.end(&volume).await;
}

/// The real helper stands back as far as it is told: for the processor by its share, for the disk by its priority.
#[tokio::test]
async fn a_nice_helper_has_a_low_priority_and_a_small_share() {
    for (attach, nice, shares) in [(false, 10, 110), (true, 19, 15), (false, 0, 0)] {
        let rig = Rig::new(attach, None);
        let volume = rig.volume().await;
        let spec = HelperSpec { nice, ..spec(&volume, Access::Read) };
        let mut helper = rig.docker.open_helper(&spec).await.unwrap();
        // It says hello when all of it is set up.
        helper.from.read_u8().await.unwrap();
        let left = rig.docker.leftovers().await.unwrap();
        let id = &left.iter().find(|l| l.run == spec.run).unwrap().id;
        let all: serde_json::Value = serde_json::from_str(&docker_cli(&["inspect", id])).unwrap();
        assert_eq!(all[0]["HostConfig"]["CpuShares"], shares);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", all[0]["State"]["Pid"])).unwrap();
        // proc(5): the name in brackets is the second field, the priority that people set the nineteenth.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!(fields[16], nice.to_string(), "{stat}");
        helper.life.kill().await.unwrap();
        rig.end(&volume).await;
    }
}

/// B7: the cause is told, whatever became of the channel.
#[tokio::test]
async fn the_cause_of_a_helpers_death_is_told() {
    for attach in [false, true] {
        let rig = Rig::new(attach, Some(confined()));
        let volume = rig.volume().await;
        let spec = HelperSpec { memory_bytes: 16 << 20, ..spec(&volume, Access::Read) };
        for (what, words) in [(b"m", "memory limit"), (b"f", "status 1")] {
            let mut helper = rig.docker.open_helper(&spec).await.unwrap();
            order(&mut helper, what).await;
            let mut rest = Vec::new();
            // A clean end or a reset, depending on the channel: neither says anything.
            helper.from.read_to_end(&mut rest).await.ok();
            assert_eq!(rest, b"");
            let died = helper.life.finish(PATIENCE).await.unwrap_err();
            assert_eq!(died.kind, DockerErrorKind::HelperDied);
            assert!(died.why.contains(words), "{died}");
            if attach && what == b"f" {
                assert!(died.why.contains("failed as it was told"), "{died}");
            }
        }
        rig.end(&volume).await;
    }
}

/// B23: an image that was pruned is loaded again; and one that cannot run fails at once and leaves nothing.
#[tokio::test]
async fn an_image_that_went_away_is_loaded_again() {
    let rig = Rig::new(false, Some(HelperImage::of(rig_name().as_bytes()).unwrap()));
    let volume = rig.volume().await;
    let image = rig.docker.helper_image_id();
    for _again in 0..2 {
        let spec = spec(&volume, Access::Read);
        let began = Instant::now();
        // It is no executable, but it is loaded before that shows.
        assert!(rig.docker.open_helper(&spec).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(rig.docker.leftovers().await.unwrap().iter().all(|l| l.run != spec.run));
        assert_eq!(docker_cli(&["image", "inspect", "-f", "{{.Id}}", &image]), image);
        docker_cli(&["rmi", &image]);
    }
    rig.end(&volume).await;
}

/// Content that no other image has.
fn rig_name() -> String {
    engine::words::RunId::random().unwrap().to_string()
}

/// Both directions at once, in more bytes than any buffer holds.
#[tokio::test]
async fn both_channels_carry_bytes_unchanged() {
    const BYTES: usize = 40 << 20;
    for attach in [false, true] {
        let rig = Rig::new(attach, Some(confined()));
        let volume = rig.volume().await;
        let Helper { mut from, mut to, life } =
            rig.docker.open_helper(&spec(&volume, Access::Read)).await.unwrap();
        let sent: Vec<u8> = (0..BYTES as u64).map(|i| ((i * i) >> 7).to_le_bytes()[0]).collect();
        let send = async {
            to.write_all(b"e").await.unwrap();
            to.write_all(&sent).await.unwrap();
            to.flush().await.unwrap();
        };
        let mut got = vec![0; BYTES];
        let ((), read) = tokio::join!(send, from.read_exact(&mut got));
        assert_eq!(read.unwrap(), BYTES);
        assert!(got == sent, "bytes changed on the way");
        life.kill().await.unwrap();
        rig.end(&volume).await;
    }
}

/// Not a test but a figure; `--ignored --nocapture` shows it.
#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    const BYTES: u64 = 1 << 30;
    for attach in [false, true] {
        let rig = Rig::new(attach, Some(confined()));
        let volume = rig.volume().await;
        for bytes in [0, 0, 0, BYTES] {
            let began = Instant::now();
            let mut helper = rig.docker.open_helper(&spec(&volume, Access::Read)).await.unwrap();
            let connected = began.elapsed();
            let mut told = b"g".to_vec();
            told.extend(bytes.to_le_bytes());
            order(&mut helper, &told).await;
            let began = Instant::now();
            let mut buffer = vec![0; 1 << 20];
            let mut left = bytes;
            while left > 0 {
                left -= helper.from.read(&mut buffer).await.unwrap() as u64;
            }
            let read = began.elapsed();
            let began = Instant::now();
            helper.life.finish(PATIENCE).await.unwrap();
            let removed = began.elapsed();
            println!("attach {attach}: connected {connected:?}, {bytes} bytes {read:?}, removed {removed:?}");
        }
        rig.end(&volume).await;
    }
}
