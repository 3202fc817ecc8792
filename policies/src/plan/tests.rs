//! Two folders over the same sources.

use super::{Effect, plan};
use crate::policy::Folder;
use crate::select::{Source, SourceKind};

fn folder(policies: &[(&str, &str)]) -> Folder {
    let files = policies.iter().map(|(name, text)| {
        let rule = if text.starts_with("nothing") {
            ""
        } else {
            "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n"
        };
        (format!("{name}.toml"), format!("{rule}{text}\n"))
    });
    Folder::judge(files).unwrap_or_else(|e| panic!("{e}"))
}

fn volumes(names: &[&str]) -> Vec<Source> {
    let source = |name: &&str| Source {
        name: (*name).to_owned(),
        kind: SourceKind::Volume,
        driver: "local".to_owned(),
        labels: [].into(),
        users: Vec::new(),
    };
    names.iter().map(source).collect()
}

#[test]
fn what_starts_stops_and_moves_is_named() {
    let before = folder(&[
        ("a", "select.volumes = [\"one\", \"two\", \"four\"]"),
        ("old", ""),
        ("b", "select.volumes = [\"five\"]"),
    ]);
    let after = folder(&[
        ("a", "select.volumes = [\"two\", \"three\"]"),
        ("b", "select.volumes = [\"four\", \"five\"]"),
        ("cache", "nothing = \"because it is a cache\"\nselect.volumes = [\"six\"]"),
    ]);
    let plan = plan(&before, &after, &volumes(&["one", "two", "three", "four", "five", "six", "seven"]));
    let changes: Vec<(Effect, String)> = plan.changes.iter().map(|c| (c.effect(), c.to_string())).collect();
    let still = "no label and no policy asks for it: label its volume or container `backupd.policy=<name>`, \
     name it in a policy's `[select]`, or decide against it with `nothing = \"because …\"`";
    assert_eq!(changes, [
        (Effect::Stops, format!("`one` stops being backed up by policy `a`: {still}")),
        (Effect::Starts, "`three` starts to be backed up, by policy `a`".to_owned()),
        (Effect::Moves, "`four` moves from policy `a` to `b`".to_owned()),
        (
            Effect::Stays,
            "`six` is still not backed up: policy `cache` says nothing to back up, because it is a cache: \
             `volumes` has `six`"
                .to_owned()
        ),
    ]);
    assert_eq!(
        (plan.added, plan.removed, plan.edited),
        (vec!["cache".to_owned()], vec!["old".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn a_folder_that_clashes_stops_what_it_clashes_about() {
    let before = folder(&[("a", "select.volumes = [\"x*\"]")]);
    let after = folder(&[("a", "select.volumes = [\"x*\"]"), ("b", "select.volumes = [\"*y\"]")]);
    let plan = plan(&before, &after, &volumes(&["xy", "xx"]));
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].effect(), Effect::Stops);
    assert!(
        plan.changes[0]
            .to_string()
            .starts_with("`xy` stops being backed up by policy `a`: several claim it; ")
    );
    assert!(plan.edited.is_empty());
}

#[test]
fn the_same_folder_changes_nothing() {
    let same = folder(&[("a", "select.volumes = [\"x*\"]")]);
    assert_eq!(plan(&same, &same, &volumes(&["x", "y"])), super::Plan::default());
}
