//! What is said about files that are wrong.

use super::{check, check_more, said};

#[test]
fn unknown_keys_are_told_with_the_nearest_or_their_right_place() {
    check_more("jiter = 1", &["1:1: unknown key `jiter`; did you mean `jitter`?"]);
    check_more("[keep]\ndayly = 3\nlast = 1", &["2:1: unknown key `dayly`; did you mean `daily`?"]);
    check_more("daily = 3", &["1:1: unknown key `daily` here; it belongs into `[keep]`"]);
    check_more(
        "[keep]\nlast = 1\njitter = \"1m\"",
        &["3:1: unknown key `jitter` in `[keep]`; write it above the first `[table]`"],
    );
    check_more(
        "[pack]\nzzzzzz = 1",
        &["2:1: unknown key `zzzzzz`; known here: `level`, `full_every`, `max_packs`"],
    );
    check_more(
        "\"a\\u001b[2J\" = 1",
        &["1:1: unknown key `a\\u{1b}[2J`; known here: `nothing`, `schedule`, `time_zone`, `jitter`, \
             `store`, `select`, `consistency`, `keep`, `guard`, `drill`, `limits`, `notify`, `pack`"],
    );
}

#[test]
fn values_of_the_wrong_kind_are_told_with_the_right_one() {
    let time = "a time in quotes with its unit, as \"90s\", \"15m\", \"2h\" or \"7d\"";
    check_more("jitter = 30", &[&format!("1:10: `jitter` must be {time}, not an integer")]);
    check_more("keep.within = \"30\"", &[&format!("1:15: `within` must be {time}")]);
    check_more("keep.daily = \"30d\"", &["1:14: `daily` must be a whole number, not a string"]);
    check_more("keep = 3", &["1:8: `keep` must be a table, `[keep]`, not an integer"]);
    check_more("guard.identity = \"yes\"", &["1:18: `identity` must be `true` or `false`, not a string"]);
    check_more("[select]\nrest = 1", &["2:8: `rest` must be `true` or `false`, not an integer"]);
    check_more(
        "limits.bandwidth = \"20MB/s\"",
        &["1:20: `bandwidth` must be a speed in quotes with its unit, as \"20MiB/s\""],
    );
    check_more(
        "drill = { every = \"1d\", memory = \"2G\" }",
        &["1:34: `memory` must be a size in quotes with its unit, as \"512MiB\" or \"2GiB\""],
    );
    check_more(
        "select.volumes = \"db\"",
        &["1:18: `volumes` must be a list of texts in quotes, `[\"…\", \"…\"]`, not a string"],
    );
    check_more("select.volumes = [\"a\", 3]", &["1:24: `volumes` must be a text in quotes, not an integer"]);
    check_more(
        "select.volumes = []",
        &["1:18: `volumes` must have between 1 and 1000 entries; leave the key out if it has none"],
    );
    check_more(
        "notify = { command = [\"x\"], on = [\"failed\"] }",
        &[
            "1:35: `on` must be one of `failure`, `recovery`, `overdue`, `guard`, `vanished`, not `failed`; did you mean \
             `failure`?",
        ],
    );
    check(
        "schedule = \"0 2 * * *\"\nconsistency.mode = \"postgresql\"\n",
        &["p.toml:2:20: `mode` must be one of `live`, `pause`, `stop`, `hooks`, `postgres`, `mysql`, \
             `redis`, `rrd`, `dump`, not `postgresql`; did you mean `postgres`?"],
    );
}

#[test]
fn bounds_are_told_with_their_meaning() {
    check(
        "schedule = \"0 2 * * *\"\n[consistency]\nmode = \"pause\"\nmax_freeze = \"61m\"\n",
        &["p.toml:4:14: `max_freeze` must be between 1s and 1h: how long writers may stand still; past it \
             they run again and the backup fails; 60s if left out"],
    );
    for (text, column, bounds) in [
        ("keep = { last = 1, grace = \"5m\" }", 28, "`grace` must be between 1h and 365d"),
        ("keep.daily = -1", 14, "`daily` must be between 0 and 10000"),
        ("keep.daily = 99999999999999999999", 14, "`daily` must be between 0 and 10000"),
        ("guard.shrink_percent = 0", 24, "`shrink_percent` must be between 1 and 100"),
        ("drill = { every = \"1d\", memory = \"1MiB\" }", 34, "`memory` must be between 32MiB and 1TiB"),
        ("limits.nice = 20", 15, "`nice` must be between 0 and 19"),
        ("limits.concurrency = 0", 22, "`concurrency` must be between 1 and 64"),
        ("pack.level = 20", 14, "`level` must be between 1 and 19"),
        ("pack.full_every = \"1h\"", 19, "`full_every` must be between 1d and 3650d"),
        ("jitter = \"25h\"", 10, "`jitter` must be between 0s and 1d"),
        ("limits.bandwidth = \"2TiB/s\"", 20, "`bandwidth` must be between 1KiB/s and 1TiB/s"),
    ] {
        let said = said(&format!("{}{text}\n", super::LEAST));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("p.toml:3:{column}: {bounds}: ")), "{said:?}");
    }
}

#[test]
fn time_zones_exist_and_schedules_have_fields() {
    check_more(
        "time_zone = \"Europe/Brelin\"",
        &["1:13: `time_zone` must be the IANA name of a time zone, and `Europe/Brelin` is none; did you \
             mean `Europe/Berlin`?"],
    );
    for bad in ["", "CEST+", "../../etc/passwd", "Etc/Unknown"] {
        assert_eq!(said(&format!("{}time_zone = \"{bad}\"\n", super::LEAST)).len(), 1, "{bad}");
    }
    for bad in ["", "* * * *", "daily", "0 0 0 0 0 0 0", "61 2 * * *", "0 0 31 2 *"] {
        let said = said(&format!("schedule = \"{bad}\"\nconsistency.mode = \"live\"\n"));
        assert!(said.len() == 1 && said[0].starts_with("p.toml:1:12: `schedule` "), "{said:?}");
    }
}

#[test]
fn what_is_missing_is_asked_for() {
    check(
        "jitter = \"1m\"\n",
        &[
            "p.toml:2:1: `schedule` is missing: when does it run? `schedule = \"0 2 * * *\"`, above the \
             first `[table]`, is every night at two",
            "p.toml:2:1: `mode` is missing: below `[consistency]`, write `mode = \"…\"` with one of `live`, \
             `pause`, `stop`, `hooks`, `postgres`, `mysql`, `redis`, `rrd`, `dump`",
        ],
    );
    check_more(
        "[drill]\ntimeout = \"1h\"",
        &["1:2: `[drill]` does not say how often; write `every = \"7d\"` below it"],
    );
}

#[test]
fn empty_and_half_written_files_are_no_policies() {
    let empty = "p.toml:1:1: this file says nothing: was it written to its end? to back nothing up, say so: \
                 `nothing = \"because …\"`; to have no such policy, remove the file";
    for text in ["", "\n", "# schedule = \"0 2 * * *\"\n"] {
        check(text, &[empty]);
    }
    let least = super::LEAST;
    check(
        &format!("{least}[keep]\ndaily = 1"),
        &["p.toml:4:10: the last line has no end: was the file written to its end? end it with a line break"],
    );
    check(&format!("{least}# the end"), &[]);
    check(&format!("{least}[keep]\nda"), &["p.toml:4:3: key with no value, expected `=`"]);
    let large = format!("{least}# {}\n", "x".repeat(300 << 10));
    check(&large, &["p.toml:1:1: this is no policy: it is larger than 256 KiB"]);
    let deep = format!("{least}jitter = {}\n", "[".repeat(100_000));
    assert_eq!(said(&deep).len(), 4);
}

#[test]
fn keeping_nothing_is_refused() {
    let nothing = "`[keep]` keeps nothing; give it a count or a time, as `daily = 14` or `within = \
     \"30d\"`, or leave it out to keep everything";
    for text in ["[keep]", "[keep]\ndaily = 0\nlast = 0", "[keep]\ngrace = \"2d\"\nby_hand = \"2d\""] {
        check_more(text, &[&format!("1:2: {nothing}")]);
    }
    check_more("[keep]\nlast = 1", &[]);
    check_more("[keep]\nwithin = \"1d\"", &[]);
}

#[test]
fn hooks_and_their_mode_come_together() {
    let hooks = |mode: &str, more: &str| {
        format!("schedule = \"0 2 * * *\"\n[consistency]\nmode = \"{mode}\"\n{more}\n")
    };
    check(
        &hooks("hooks", ""),
        &["p.toml:3:1: mode `hooks` has no hooks; write `before = [\"program\", \"argument\"]`, `after = \
             […]` or both beside it"],
    );
    check(&hooks("hooks", "after = [\"resume\"]"), &[]);
    check(
        &hooks("pause", "before = [\"sync\"]"),
        &["p.toml:4:1: hooks run in mode `hooks` only, and this is `pause`; change it or remove them"],
    );
    check(
        &hooks("hooks", "before = \"rm -rf /\""),
        &["p.toml:4:10: `before` must be a list of texts in quotes, `[\"…\", \"…\"]`, not a string"],
    );
    check(
        &hooks("live", "max_freeze = \"5s\""),
        &["p.toml:4:1: `max_freeze` means nothing in mode `live`, which holds no writer; remove it"],
    );
}

#[test]
fn beside_nothing_only_select_may_stand() {
    check(
        "nothing = \"because\"\nschedule = \"0 2 * * *\"\n[keep]\n",
        &[
            "p.toml:2:1: `schedule` means nothing beside `nothing`, which backs nothing up; remove one of \
             the two",
            "p.toml:3:2: `keep` means nothing beside `nothing`, which backs nothing up; remove one of the \
             two",
        ],
    );
    check(
        "nothing = \" \"\n",
        &["p.toml:1:11: `nothing` must say why in one line: `nothing = \"because it is a cache\"`"],
    );
    check("nothing = true\n", &["p.toml:1:11: `nothing` must be a text in quotes, not a boolean"]);
}

#[test]
fn secrets_in_urls_are_refused_without_repeating_them() {
    let web = "must not carry a password or token: everybody may read this file; write the whole URL into a \
     file that only root can read, and here `file:///etc/backupd/NAME`";
    for url in ["https://me:hunter2@example.org/x", "https://example.org/x?token=hunter2"] {
        check_more(&format!("notify.webhook = \"{url}\""), &[&format!("1:18: `webhook` {web}")]);
        check_more(&format!("notify.heartbeat = \"{url}\""), &[&format!("1:20: `heartbeat` {web}")]);
    }
    check_more("notify.webhook = \"https://example.org/@me?room=x\"", &[]);
    check_more("notify.webhook = \"credential:hook\"", &[]);
    let credential = "must name a credential of the unit: `credential:NAME`";
    for bad in ["credential:", "credential:../x", "credential:a/b", "credential:.x"] {
        check_more(&format!("notify.webhook = \"{bad}\""), &[&format!("1:18: `webhook` {credential}")]);
    }
}

/// Everybody may read a policy, so no complaint repeats what may be a secret.
#[test]
fn a_store_is_an_address_without_keys() {
    let secret = "must not carry keys: everybody may read this file; give them to the service through the AWS \
         chain (`profile=` in the URL, its environment, a role) and write `s3://bucket/prefix`";
    for bad in
        ["s3://id:hunter2@bucket/p", "s3://b/p?secret_access_key=hunter2", "s3://b/p?endpoint=http://a:b@h"]
    {
        check_more(&format!("store = \"{bad}\""), &[&format!("1:9: `store` {secret}")]);
    }
    for bad in ["", "bucket", "/srv/store", "file://x", "s3://", "s3:///p"] {
        check_more(
            &format!("store = \"{bad}\""),
            &["1:9: `store` must be `file:///dir` or `s3://bucket/prefix`"],
        );
    }
    check_more("store = \"file:///a b\"", &["1:9: `store` must be one word, with `%20` for a space"]);
    check_more("store = 3", &["1:9: `store` must be a text in quotes, not an integer"]);
    check_more("store = \"file:///srv/store\"", &[]);
    check_more(
        "[keep]\nlast = 1\nstore = 1",
        &["3:1: unknown key `store` in `[keep]`; write it above the first `[table]`"],
    );
}

#[test]
fn selections_name_what_can_be_named() {
    check_more(
        "[select]",
        &["1:2: `[select]` chooses nothing; write `volumes = [\"…\"]` below it, or leave it out and label \
             volumes or containers `backupd.policy=p`"],
    );
    check_more(
        "select.volumes = [\"!x\"]",
        &["1:8: `volumes` only takes away; name first what it takes away from: `\"*\"`"],
    );
    check_more(
        "[select]\nproject = \"x\"\nrest = true",
        &["3:1: `rest` is all that is left, whatever its labels and project; remove it or those conditions"],
    );
    check_more("[select]\nvolumes = [\"x\"]\nrest = true", &[]);
    for (text, column, want) in [
        (
            "volumes = [\"web:/data\"]",
            12,
            "`volumes` must be names of volumes; `container:/mount/point` belongs into `mounts`",
        ),
        (
            "volumes = [\"/srv\"]",
            12,
            "`volumes` must be names of volumes; a folder of the host belongs into `paths`",
        ),
        (
            "volumes = [\"[ab]\"]",
            12,
            "`volumes` must be letters, digits, `.`, `-`, `_`, and `*` or `?` as patterns",
        ),
        ("mounts = [\"web\"]", 11, "`mounts` must be `container:/mount/point`"),
        ("mounts = [\"web:/a/../b\"]", 11, "`mounts` must be `container:/mount/point`"),
        ("labels = [\"=x\"]", 11, "`labels` must be `key` or `key=value`"),
        (
            "container_labels = [\"backupd.policy=p\"]",
            21,
            "`container_labels` must not name our own labels: `backupd.policy` selects by itself",
        ),
    ] {
        check_more(&format!("[select]\n{text}"), &[&format!("2:{column}: {want}")]);
    }
    for bad in ["/", "/srv/", "srv", "/srv/../etc", "/srv//x", ""] {
        check_more(
            &format!("select.paths = [\"{bad}\"]"),
            &["1:17: `paths` must be absolute paths below `/`, without `.`, `..` or a slash at the end: \
                 `/srv/app/data`"],
        );
    }
}

#[test]
fn somebody_is_told_or_nobody_is_named() {
    check_more(
        "[notify]",
        &["1:2: `[notify]` tells nobody; write `webhook`, `command` or `heartbeat` below it"],
    );
    check_more(
        "notify.on = [\"failure\"]",
        &["1:8: `on` needs somebody to tell; write `webhook` or `command` beside it"],
    );
    check_more("notify.heartbeat = \"https://example.org/x\"", &[]);
    check_more(
        "notify.command = [\"\"]",
        &["1:19: `command` must not be empty, longer than 4096 bytes, or hold a zero byte"],
    );
}
