//! Mode `dump`: what its tables become, and what is said about wrong ones.

use std::time::Duration;

use super::{check, policy};
use crate::policy::{Dump, Mode, Secret};

const HEAD: &str = "schedule = \"0 2 * * *\"\n[consistency]\n";

#[test]
fn every_key_of_a_dump_is_read() {
    let text = r#"
        schedule = "0 2 * * *"
        [consistency]
        mode = "dump"
        only = false
        [[consistency.dumps]]
        file = "shop.dump"
        run = ["pg_dump", "-Fc", "-Z0", "shop"]
        container = "shop-db-1"
        user = "postgres"
        environment = ["PGPASSWORD=file:///etc/backupd/shop", "_X2=file:///x"]
        ends_with = "-- done"
        max_silence = "1h"
        [[consistency.dumps]]
        file = "globals.sql"
        run = ["pg_dumpall", "--globals-only"]
        service = "db"
    "#;
    let policy = policy(text);
    let consistency = &policy.terms().unwrap().consistency;
    assert_eq!((consistency.mode, consistency.only), (Mode::Dump, false));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let secret = |name: &str, file: &str| Secret { name: name.into(), file: file.into() };
    let want = [
        Dump {
            file: "shop.dump".into(),
            run: words(&["pg_dump", "-Fc", "-Z0", "shop"]),
            container: Some("shop-db-1".into()),
            service: None,
            user: Some("postgres".into()),
            environment: vec![secret("PGPASSWORD", "/etc/backupd/shop"), secret("_X2", "/x")],
            ends_with: Some("-- done".into()),
            max_silence: Duration::from_secs(3_600),
        },
        Dump {
            file: "globals.sql".into(),
            run: words(&["pg_dumpall", "--globals-only"]),
            service: Some("db".into()),
            ..Dump::default()
        },
    ];
    assert_eq!(consistency.dumps, want);
    assert_eq!(want[1].max_silence, Duration::from_secs(600));
}

#[test]
fn a_dump_that_leaves_much_unsaid_leaves_the_files_out() {
    let text = format!("{HEAD}mode = \"dump\"\n[[consistency.dumps]]\nfile = \"a\"\nrun = [\"b\"]\n");
    assert!(policy(&text).terms().unwrap().consistency.only);
}

#[test]
fn dumps_and_their_mode_come_together() {
    let dump = "[[consistency.dumps]]\nfile = \"a\"\nrun = [\"b\"]\n";
    check(
        &format!("{HEAD}mode = \"dump\"\n"),
        &[
            "p.toml:3:1: mode `dump` has no dumps; write `[[consistency.dumps]]` below, with `file = \"NAME\"` and \
           `run = [\"program\", \"argument\"]`",
        ],
    );
    check(
        &format!("{HEAD}mode = \"pause\"\nonly = true\n{dump}"),
        &[
            "p.toml:4:1: `only` is for mode `dump`, and this is `pause`; change it or remove that",
            "p.toml:5:15: `dumps` is for mode `dump`, and this is `pause`; change it or remove that",
        ],
    );
    check(
        &format!("{HEAD}mode = \"dump\"\nset = true\nmax_freeze = \"9s\"\n{dump}"),
        &[
            "p.toml:4:1: `set` means nothing in mode `dump`, which holds no writer; remove it",
            "p.toml:5:1: `max_freeze` means nothing in mode `dump`, which holds no writer; remove it",
        ],
    );
}

#[test]
fn a_wrong_dump_is_told_with_its_place() {
    let with = |lines: &str| format!("{HEAD}mode = \"dump\"\n{lines}\n");
    check(
        &with("[consistency.dumps]\nfile = \"a\""),
        &["p.toml:4:1: `dumps` must be tables, each below `[[consistency.dumps]]`, not a table"],
    );
    check(
        &with("dumps = []"),
        &["p.toml:4:9: `dumps` must be between 1 and 1000 tables, each below `[[consistency.dumps]]`"],
    );
    check(
        &with("[[consistency.dumps]]\nfile = \"a\""),
        &["p.toml:4:1: `[[consistency.dumps]]` does not say `run`"],
    );
    let entry = |line: &str| with(&format!("[[consistency.dumps]]\nfile = \"a\"\nrun = [\"b\"]\n{line}"));
    for (line, want) in [
        ("comand = 1", "7:1: unknown key `comand`; "),
        ("run2 = 1", "7:1: unknown key `run2`; did you mean `run`?"),
        ("schedule = \"x\"", "7:1: unknown key `schedule` in `[consistency.dumps]`; write it above"),
        ("service = \"a*\"", "7:11: `service` must be one name: "),
        (
            "container = \"a\"\nservice = \"b\"",
            "8:11: `service` stands beside `container`; say one of the two",
        ),
        ("ends_with = \"\"", "7:13: `ends_with` must be how one line begins"),
        ("max_silence = \"2d\"", "7:15: `max_silence` must be between 1s and 1d"),
        (
            "environment = [\"PGPASSWORD=hunter2\"]",
            "7:16: `environment` must be `NAME=file:///etc/backupd/NAME`: ",
        ),
        ("environment = [\"1=file:///x\"]", "7:16: `environment` must be"),
        ("environment = [\"A=file://x\"]", "7:16: `environment` must be"),
        (
            "[[consistency.dumps]]\nfile = \"a\"\nrun = [\"c\"]",
            "8:8: `file` is the name of another dump, too",
        ),
        ("[[consistency.dumps]]\nfile = \"../a\"\nrun = [\"c\"]", "8:8: `file` must be the name of a file"),
        ("[[consistency.dumps]]\nfile = \".a\"\nrun = [\"c\"]", "8:8: `file` must be the name of a file"),
    ] {
        let said = super::said(&entry(line));
        let at = format!("p.toml:{want}");
        assert!(said.len() == 1 && said[0].starts_with(&at), "{line}: {said:?}");
        assert!(!said[0].contains("hunter2"), "{said:?}");
    }
}
