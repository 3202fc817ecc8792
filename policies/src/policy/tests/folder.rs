//! Folders: all files at once, and what is wrong between them.

use super::LEAST;
use crate::policy::Folder;
use crate::shipped::SHIPPED;

#[track_caller]
fn check(files: &[(&str, &str)], want: &[&str]) {
    let files = files.iter().map(|(name, more)| (*name, format!("{LEAST}{more}\n")));
    let got: Vec<String> = match Folder::judge(files) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints.to_string().lines().map(str::to_owned).collect(),
    };
    assert_eq!(got, want);
}

#[test]
fn all_that_is_wrong_in_all_files_is_told_at_once() {
    check(
        &[("b.toml", "daily = 1"), ("a.toml", "[keep]"), ("c.toml", "")],
        &[
            "a.toml:3:2: `[keep]` keeps nothing; give it a count or a time, as `daily = 14` or `within = \
             \"30d\"`, or leave it out to keep everything",
            "b.toml:3:1: unknown key `daily` here; it belongs into `[keep]`",
        ],
    );
}

#[test]
fn policies_are_found_by_the_names_of_their_files() {
    let folder = Folder::judge([("db.toml", LEAST), ("a.b-c_1.toml", LEAST)]).unwrap();
    assert_eq!(folder.find("db").map(|policy| policy.name.as_str()), Some("db"));
    assert!(folder.find("a.b-c_1").is_some() && folder.find("DB").is_none());
    assert!(Folder::judge(Vec::<(&str, &str)>::new()).unwrap().policies().is_empty());
}

#[test]
fn names_of_files_are_names_of_policies() {
    let rule = "the file's name is the policy's, and must be letters, digits, `.`, `-` and `_`, at most 64 \
     of them; rename the file";
    check(&[(".toml", "")], &[&format!(".toml:1:1: {rule}")]);
    check(&[("-x.toml", "")], &[&format!("-x.toml:1:1: {rule}")]);
    check(&[("a\u{1b}.toml", "")], &[&format!("a\\u{{1b}}.toml:1:1: {rule}")]);
    check(&[("db.yaml", "")], &["db.yaml:1:1: a policy's file is called `NAME.toml`"]);
    check(
        &[("db.toml", ""), ("DB.toml", "")],
        &["db.toml:1:1: this name is the same as `DB.toml`, but for case; rename one of the files"],
    );
}

#[test]
fn two_policies_that_claim_the_same_everywhere_are_told() {
    let same = "`[select]` is the same as in `a.toml`, and a source has one policy; merge the two files";
    check(
        &[
            ("a.toml", "[select]\nvolumes = [\"a*\", \"b\"]\nproject = \"x\""),
            ("b.toml", "[select]\nproject = \"x\"\nvolumes = [\"b\", \"a*\"]"),
        ],
        &[&format!("b.toml:3:2: {same}")],
    );
    check(
        &[("a.toml", "select.rest = true"), ("b.toml", "\nselect = { rest = true, volumes = [\"x\"] }")],
        &["b.toml:4:1: `rest` is true in `a.toml` too, and only one policy can have the rest; remove one"],
    );
    let both = "`volumes` has `db-data`, which `a.toml` claims too, and a source has one policy; remove one";
    for theirs in ["[\"db-data\", \"x\"]", "[\"db*\"]"] {
        check(
            &[
                ("a.toml", &format!("select.volumes = {theirs}")),
                ("b.toml", "select.volumes = [\"db-data\"]"),
            ],
            &[&format!("b.toml:3:1: {both}")],
        );
    }
}

#[test]
fn claims_that_may_differ_on_some_host_are_left_to_selection() {
    check(&[("a.toml", ""), ("b.toml", "")], &[]);
    check(
        &[
            ("a.toml", "select.volumes = [\"db*\", \"!db-data\"]"),
            ("b.toml", "select.volumes = [\"db-data\"]"),
        ],
        &[],
    );
    check(&[("a.toml", "select.volumes = [\"a*\"]"), ("b.toml", "select.volumes = [\"*a\"]")], &[]);
    check(
        &[
            ("a.toml", "select = { volumes = [\"db\"], project = \"x\" }"),
            ("b.toml", "select = { volumes = [\"db\"], project = \"y\" }"),
        ],
        &[],
    );
}

#[test]
fn the_shipped_policies_are_a_good_folder_and_all_of_it() {
    let folder = Folder::judge(SHIPPED.iter().copied()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(folder.policies().len(), SHIPPED.len());
    for policy in folder.policies().iter().filter_map(|policy| policy.terms()) {
        assert!(policy.keep.is_some(), "a shipped policy does not fill a store for ever");
    }
    let mut files: Vec<String> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml") && name != "Cargo.toml")
        .collect();
    files.sort();
    assert_eq!(files, SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

#[test]
fn without_a_folder_the_default_waits_for_labels() {
    let folder = crate::shipped::without_folder().unwrap();
    let [policy] = folder.policies() else { panic!("{folder:?}") };
    assert_eq!((policy.name.as_str(), policy.select.is_empty()), ("default", true));
}
