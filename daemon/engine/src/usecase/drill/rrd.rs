//! RRD files: `rrdtool` opens each and prints all of it. A file has no checksum, so what it cannot tell is whether a value
//! is the right one.

use super::shell::line;
use super::signs::Place;
use super::stage::{Found, Stage, first_lines};
use crate::failure::Failure;

/// Lines that are told.
const LINES: usize = 3;

/// Status of a file that is bad; `find` ends with 1 then.
const CHECK: &str = "command -v rrdtool >/dev/null 2>&1 || exit 127\n\
    exec find \"$1\" -type f -name '*.rrd' -exec sh -c 'for file; do\n\
    rrdtool info \"$file\" >/dev/null && rrdtool dump \"$file\" >/dev/null || { echo \"bad: $file\"; bad=1; }\n\
    done; exit ${bad:-0}' sh {} +\n";

/// Judges the restored files.
pub(super) async fn judge(stage: &Stage<'_>, place: &Place, files: u64) -> Result<Found, Failure> {
    let ended = stage.once(line(CHECK, &[&stage.at]), &place.user()).await?;
    Ok(match ended.status {
        0 => Found::Good(format!("rrdtool reads all of {files} files")),
        127 => Found::Missing("the image has no `rrdtool`".to_owned()),
        _ => Found::Bad(format!("rrdtool: {}", first_lines(&ended.said, LINES))),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A program of that name which takes files for good that hold `good`.
    fn place(with_program: bool) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| {
            std::io::Write::write_all(
                &mut std::fs::File::create(dir.path().join(name)).unwrap(),
                text.as_bytes(),
            )
            .unwrap();
        };
        for folder in ["bin", "data", "data/a"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        make("data/one.rrd", "good");
        make("data/a/two three.rrd", "good");
        if with_program {
            make("bin/rrdtool", "#!/bin/sh\ngrep -q good \"$2\"\n");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(dir.path().join("bin/rrdtool"), mode).unwrap();
        }
        dir
    }

    fn run(dir: &tempfile::TempDir) -> (Option<i32>, String) {
        let argv = line(CHECK, &[dir.path().join("data").to_str().unwrap()]);
        let path = format!("{}:/usr/bin:/bin", dir.path().join("bin").display());
        let done = Command::new(&argv[0]).args(&argv[1..]).env("PATH", path).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    }

    #[test]
    fn one_bad_file_is_found_and_named() {
        let dir = place(true);
        assert_eq!(run(&dir), (Some(0), String::new()));
        std::fs::remove_file(dir.path().join("data/a/two three.rrd")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("data/a/link.rrd")).unwrap();
        assert_eq!(run(&dir), (Some(0), String::new()), "links are not followed");
        drop(std::fs::File::create(dir.path().join("data/a/bad one.rrd")).unwrap());
        let (status, said) = run(&dir);
        assert!(status != Some(0) && said.ends_with("data/a/bad one.rrd\n"), "{status:?} {said}");
    }

    #[test]
    fn without_the_program_nothing_is_said() {
        if !std::path::Path::new("/usr/bin/rrdtool").exists() {
            assert_eq!(run(&place(false)).0, Some(127));
        }
    }
}
