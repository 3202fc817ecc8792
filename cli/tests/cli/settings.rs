//! The settings file, seen from outside.

use crate::place::Place;

#[test]
fn all_that_is_wrong_with_the_file_is_told_with_its_place() {
    let place = Place::new();
    place.file("backupd.toml", "stroe = \"file:///x\"\n[effort]\nlevel = 99\n");
    let gave = place.run(&["snapshots"]);
    let want = "\
error: [PLACE]/backupd.toml:1:1: unknown key `stroe`; did you mean `store`?; \
[PLACE]/backupd.toml:3:9: `level` must be between 1 and 19
  hint: correct `[PLACE]/backupd.toml`, or name another file with `--config`
";
    assert_eq!((gave.code, gave.stdout.as_str(), gave.stderr.as_str()), (2, "", want));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let gave = Place::new().run(&["--config", "/nowhere/b.toml", "snapshots"]);
    assert_eq!(gave.code, 10);
    assert_eq!(gave.stderr, "error: settings file `/nowhere/b.toml` does not exist\n");
}

#[test]
fn a_flag_comes_before_the_environment() {
    let place = Place::new();
    let gave = place.run(&["--host", "not a name", "snapshots"]);
    assert_eq!(gave.code, 2);
    assert!(
        gave.stderr.starts_with("error: name of this host: `not a name` is not a host name"),
        "{}",
        gave.stderr
    );
    let output = place.backupctl().args(["snapshots"]).env("BACKUPD_HOST", "a/b").output().unwrap();
    let gave = place.gave(output);
    assert!(gave.stderr.starts_with("error: name of this host: `a/b` is not a host name"), "{}", gave.stderr);
}
