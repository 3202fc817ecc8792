//! Labels: what they select, what they exclude, and what they may not do.

use proptest::prelude::*;

use super::{check, check_verdict, folder, short, volume, why};
use crate::select::{EXCLUDE_LABEL, POLICY_LABEL, choose};

#[test]
fn a_label_selects_and_wins_over_every_claim() {
    let folder = folder(&[("db", ""), ("all", "volumes = [\"*\"]"), ("no-cache", "")]);
    let labelled = volume("x").label(POLICY_LABEL, "db");
    check(&folder, &labelled, "policy db", "volume `x` has label `backupd.policy=db`");
    let by_container = volume("x").user("web", "/srv", &[(POLICY_LABEL, "db")]).user("other", "/y", &[]);
    check(&folder, &by_container, "policy db", "container `web` has label `backupd.policy=db`");
    let excluded = volume("x").label(EXCLUDE_LABEL, "true");
    check(&folder, &excluded, "decided not", "volume `x` has label `backupd.exclude=true`");
    check(
        &folder,
        &volume("x").label(POLICY_LABEL, "no-cache"),
        "decided not",
        "policy `no-cache` says nothing to back up, because it is a cache: volume `x` has label \
         `backupd.policy=no-cache`",
    );
    let bind = volume("web:/srv").folder("/srv/app").user("web", "/srv", &[(POLICY_LABEL, "db")]);
    check_verdict(&folder, &bind, "policy db");
}

#[test]
fn a_volume_speaks_for_itself_before_its_containers() {
    let folder = folder(&[("db", ""), ("web", "")]);
    let user = ("c", "/x", [(POLICY_LABEL, "web")]);
    let with = |label: (&str, &str)| volume("x").label(label.0, label.1).user(user.0, user.1, &user.2);
    check_verdict(&folder, &with((POLICY_LABEL, "db")), "policy db");
    check_verdict(&folder, &with((EXCLUDE_LABEL, "true")), "decided not");
    check_verdict(&folder, &with((EXCLUDE_LABEL, "false")), "policy web");
    check_verdict(&folder, &with(("other", "x")), "policy web");
}

#[test]
fn two_labels_that_disagree_are_a_clash() {
    let folder = folder(&[("db", ""), ("web", "")]);
    let two = volume("x").user("a", "/x", &[(POLICY_LABEL, "db")]).user("b", "/x", &[(POLICY_LABEL, "web")]);
    check(
        &folder,
        &two,
        "clash db web",
        "container `a` has label `backupd.policy=db`, container `b` has label `backupd.policy=web`; leave \
         one of these labels",
    );
    let agreed =
        volume("x").user("a", "/x", &[(POLICY_LABEL, "db")]).user("b", "/x", &[(POLICY_LABEL, "db")]);
    check_verdict(&folder, &agreed, "policy db");
    let torn = volume("x").label(POLICY_LABEL, "db").label(EXCLUDE_LABEL, "true");
    check_verdict(&folder, &torn, "clash db");
    let other =
        volume("x").user("a", "/x", &[(POLICY_LABEL, "db")]).user("b", "/x", &[(EXCLUDE_LABEL, "true")]);
    check_verdict(&folder, &other, "clash db");
}

#[test]
fn a_policy_that_does_not_exist_is_an_error_even_where_another_would_claim() {
    let db = folder(&[("database", ""), ("all", "rest = true")]);
    check(
        &db,
        &volume("x").label(POLICY_LABEL, "databse"),
        "unknown databse",
        "volume `x` has label `backupd.policy=databse`, but there is no policy of that name; did you mean \
         `database`?",
    );
    check(
        &db,
        &volume("x").label(POLICY_LABEL, "zzz"),
        "unknown zzz",
        "volume `x` has label `backupd.policy=zzz`, but there is no policy of that name; there are `all`, \
         `database`",
    );
    check_verdict(&db, &volume("x").label(POLICY_LABEL, ""), "unknown ");
    let none = folder(&[]);
    let outcomes = [volume("x").label(POLICY_LABEL, "db")];
    assert!(why(&choose(&none, &outcomes)[0]).ends_with("there are no policies at all"));
}

#[test]
fn labels_that_mean_nothing_take_nothing_away_and_are_told() {
    let folder = folder(&[("all", "rest = true")]);
    let source = volume("x").label(EXCLUDE_LABEL, "yes").label("backupd.polcy", "db").label("backupdx", "1");
    let sources = [source.user("c", "/x", &[("backupd.run", "1"), ("backupd.zzzzzzzz", "1")])];
    let outcomes = choose(&folder, &sources);
    assert_eq!(short(&outcomes[0]), "policy all");
    assert_eq!(
        outcomes[0].notes,
        [
            "volume `x` has label `backupd.exclude=yes`, which excludes nothing; only `true` does",
            "volume `x` has label `backupd.polcy`, which means nothing; did you mean `backupd.policy`?",
            "container `c` has label `backupd.zzzzzzzz`, which means nothing",
        ]
    );
}

proptest! {
    #[test]
    fn whatever_labels_say_the_verdict_is_short_and_printable(
        label in prop_oneof![Just(POLICY_LABEL.to_owned()), Just(EXCLUDE_LABEL.to_owned()), "backupd\\.\\PC*", any::<String>()],
        value in any::<String>(),
        long in 1..200_usize,
        users in 0..20_usize,
    ) {
        let folder = folder(&[("db", "labels = [\"a\"]"), ("all", "rest = true")]);
        let mut source = volume("x").label(&label, &value.repeat(long));
        for i in 0..users {
            source = source.user(&format!("c{i}"), &value, &[(POLICY_LABEL, &format!("{value}{i}")), (&label, &value)]);
        }
        let sources = [source];
        let outcomes = choose(&folder, &sources);
        prop_assert_eq!(outcomes.len(), 1);
        for text in outcomes[0].notes.iter().chain([&why(&outcomes[0])]) {
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
            prop_assert!(text.len() < 16_000, "{}", text.len());
        }
    }
}
