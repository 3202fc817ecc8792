//! Restores that are killed when most of the content has come: the next one goes on with it.

use integration::noise::noise;
use integration::scripted_s3::{Action, Op};

use crate::rig::Rig;
use crate::s3::S3;
use crate::tree::tree;

const MIB: usize = 1 << 20;

/// More than what is not worth it, in files of several frames.
const FILES: usize = 24;
const FILE_BYTES: usize = 9 * MIB;

#[test]
fn a_restore_goes_on_where_an_earlier_one_was_killed() {
    let rig = Rig::new(Some(S3::start()));
    let s3 = rig.s3.as_ref().unwrap();
    let (volume, folder) = rig.volume("v");
    for n in 0..FILES {
        let mut file = std::fs::File::create(folder.join(format!("file-{n:02}"))).unwrap();
        std::io::Write::write_all(&mut file, &noise(n as u64, FILE_BYTES)).unwrap();
    }
    let want = tree(&folder, &[]);
    rig.back_up(&volume);
    let before = s3.count(Op::Get);
    assert!(rig.content(&volume, "1") == want);
    let gets = s3.count(Op::Get) - before;
    std::fs::remove_file(folder.join("file-00")).unwrap();
    let spoilt = tree(&folder, &[]);

    let new = format!("{}-new", rig.prefix);
    for (target, more) in [(&volume, &[][..]), (&new, &["--into", &new][..])] {
        let args = [&["restore", &volume, "--yes"], more].concat();
        // Once nearly all has been asked for, no answer comes any more.
        s3.script(Op::Get, ".tar.zst", gets * 3 / 4, Action::Stall(300_000));
        let asked = s3.count(Op::Get);
        let mut running = rig.start(&args);
        s3.held_up(&mut running, Op::Get, asked + gets / 2);
        running.kill();
        s3.server.forget_rules();

        // Whoever comes next puts it away, and says so; the target is as it was, or holds nothing.
        let said = rig.run(&["backup", &volume]).expect(0).text();
        assert!(said.contains("gone on with"), "{said}");
        let place = rig.docker.volume(target).unwrap().unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with(".backupd"));
        assert_eq!(names, [".backupd-restore-unfinished"], "{target}");
        if *target == volume {
            let mut now = tree(&place, &[]);
            now.retain(|path, _| !path.starts_with(".backupd"));
            assert_eq!(now, spoilt);
        }

        let done = rig.run(&[&args[..], &["--snapshot", "1"]].concat()).expect(0);
        assert!(done.event("plan")["unfinished_at"].is_string(), "{done:?}");
        let fetched = done.event("done")["fetched_bytes"].as_u64().unwrap();
        // A quarter was not asked for, and what was on its way was lost with the program.
        assert!(fetched < (FILES * FILE_BYTES * 2 / 3) as u64, "{fetched} bytes were fetched again");
        assert!(tree(&place, &[]) == want, "{target}");
    }
    rig.assert_clean(&[&volume, &new], "in the end");
}
