//! What `[select]` claims, what is left over, and what clashes.

use super::{check, check_verdict, folder, volume};
use crate::select::missing;

const PROJECT: &str = "com.docker.compose.project";

#[test]
fn names_choose_and_conditions_narrow() {
    let folder = folder(&[
        ("by-name", "volumes = [\"*_db-data\", \"!test_*\"]"),
        ("by-mount", "mounts = [\"web-*:/srv/?ata\"]"),
        ("by-path", "paths = [\"/srv/*/mysql\"]"),
        ("by-label", "labels = [\"tier=db\", \"keep\"]"),
        ("by-container", "container_labels = [\"role=a\", \"part=b\"]"),
        ("by-project", "project = \"shop\"\nvolumes = [\"p-*\"]"),
    ]);
    let web = |at| volume("x").user("web-1", at, &[]);
    for (source, want) in [
        (volume("concertim_db-data"), "policy by-name"),
        (volume("test_db-data"), "unprotected"),
        (volume("concertim_db-data").anonymous(), "unprotected"),
        (web("/srv/data"), "policy by-mount"),
        (web("/srv/data").anonymous(), "policy by-mount"),
        (web("/srv/data").folder("/data"), "policy by-mount"),
        (web("/srv/other"), "unprotected"),
        (volume("x").folder("/srv/a/mysql"), "policy by-path"),
        (volume("x").folder("/srv/a/b/mysql"), "unprotected"),
        (volume("/srv/a/mysql"), "unprotected"),
        (volume("x").label("tier", "db").label("keep", ""), "policy by-label"),
        (volume("x").label("tier", "web").label("keep", ""), "unprotected"),
        (volume("x").label("tier", "db"), "unprotected"),
        (volume("x").user("c", "/x", &[("role", "a"), ("part", "b")]), "policy by-container"),
        (volume("x").user("c", "/x", &[("role", "a")]).user("d", "/x", &[("part", "b")]), "unprotected"),
        (volume("p-1").label(PROJECT, "shop"), "policy by-project"),
        (volume("p-1").user("c", "/x", &[(PROJECT, "shop")]), "policy by-project"),
        (volume("p-1"), "unprotected"),
        (volume("q").label(PROJECT, "shop"), "unprotected"),
    ] {
        check_verdict(&folder, &source, want);
    }
}

#[test]
fn reasons_are_sentences() {
    let folder = folder(&[(
        "db",
        "volumes = [\"*data\"]\nlabels = [\"tier=db\"]\ncontainer_labels = [\"role\"]\nproject = \"sh*\"",
    )]);
    let source = volume("data").label("tier", "db").label(PROJECT, "shop").user("c", "/x", &[("role", "a")]);
    check(
        &folder,
        &source,
        "policy db",
        "`volumes` has `*data`, the volume has label `tier=db`, container `c` has label `role`, its compose \
         project is `shop`",
    );
    check(
        &folder,
        &volume("x"),
        "unprotected",
        "no label and no policy asks for it: label its volume or container `backupd.policy=<name>`, name it \
         in a policy's `[select]`, or decide against it with `nothing = \"because …\"`",
    );
}

#[test]
fn the_rest_is_volumes_that_nobody_claims() {
    let folder =
        folder(&[("db", "volumes = [\"db\"]"), ("rest", "rest = true"), ("no-cache", "volumes = [\"c*\"]")]);
    check_verdict(&folder, &volume("db"), "policy db");
    check_verdict(&folder, &volume("cache"), "decided not");
    check(&folder, &volume("x"), "policy rest", "no other policy claims it, and `rest` is true");
    check_verdict(&folder, &volume("x").anonymous().user("c", "/x", &[]), "policy rest");
    check_verdict(&folder, &volume("x").folder("/etc").user("c", "/x", &[]), "unprotected");
    check(
        &folder,
        &volume("0123abcd").anonymous(),
        "unprotected",
        "no container uses it, and its name was made up by Docker: look inside, then give its data a named \
         volume or remove it",
    );
}

#[test]
fn two_policies_that_claim_one_source_are_a_clash_whatever_they_say() {
    let folder =
        folder(&[("a", "volumes = [\"a*\"]"), ("z", "volumes = [\"*z\"]"), ("no-x", "labels = [\"tmp\"]")]);
    check_verdict(&folder, &volume("ab"), "policy a");
    check(
        &folder,
        &volume("az"),
        "clash a z",
        "policy `a` claims it: `volumes` has `a*`; policy `z` claims it: `volumes` has `*z`; narrow one \
         `[select]`, or label the source `backupd.policy=<name>`",
    );
    check_verdict(&folder, &volume("ab").label("tmp", ""), "clash a no-x");
}

#[test]
fn what_is_named_and_not_there_is_told() {
    let folder = folder(&[("a", "volumes = [\"here\", \"gone\", \"any*\"]\nmounts = [\"c:/x\", \"c:/y\"]")]);
    let sources = [volume("here").user("c", "/x", &[])];
    let told: Vec<String> =
        missing(&folder, &sources).into_iter().map(|m| format!("{}: {}", m.policy, m.why)).collect();
    assert_eq!(
        told,
        [
            "a: `volumes` names `gone`, which is not a source on this host",
            "a: `mounts` names `c:/y`, which is not a source on this host",
        ]
    );
}
