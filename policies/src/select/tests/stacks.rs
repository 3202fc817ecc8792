//! The shipped policies, all in one folder, over the sources of the stacks that they are for.

use super::{folder, short, volume};
use crate::policy::Folder;
use crate::select::{POLICY_LABEL, Source, Verdict, choose};
use crate::shipped::SHIPPED;

fn shipped() -> Folder {
    Folder::judge(SHIPPED.iter().copied()).unwrap_or_else(|e| panic!("{e}"))
}

fn in_project(name: &str, project: &str, at: &str) -> Source {
    let label = [("com.docker.compose.project", project)];
    let service = name.rsplit('_').next().unwrap_or(name);
    volume(name).label(label[0].0, project).user(&format!("{project}-{service}-1"), at, &label)
}

#[track_caller]
fn check(sources: &[(Source, &str)]) {
    let folder = shipped();
    for (source, want) in sources {
        let outcomes = choose(&folder, std::slice::from_ref(source));
        assert_eq!(short(&outcomes[0]), *want, "{}", source.name);
        assert!(outcomes[0].notes.is_empty());
    }
}

#[test]
fn skyline() {
    let bind = |container: &str, at: &str, path: &str| {
        volume(&format!("{container}:{at}")).folder(path).user(container, at, &[])
    };
    check(&[
        (bind("skyline-mysql-1", "/var/lib/mysql", "/srv/skyline/mysql"), "policy skyline"),
        (bind("skyline-redis-1", "/data", "/srv/skyline/redis"), "policy skyline-redis"),
        (
            bind("skyline-graphite-1", "/opt/graphite/storage", "/srv/skyline/whisper"),
            "policy skyline-graphite",
        ),
        (bind("skyline-mysql-1", "/etc/mysql", "/srv/skyline/etc"), "unprotected"),
    ]);
}

#[test]
fn qis() {
    let data = |container: &str, server: &str, at: &str| {
        volume(&format!("{container}:{at}")).anonymous().user(container, at, &[]).user(server, at, &[])
    };
    check(&[
        (data("qis-db-data", "qis-db", "/var/lib/postgresql/data"), "policy qis"),
        (data("qis-web-data", "qis-web", "/var/www/uploads"), "policy qis-web"),
        (volume("x").anonymous().user("qis-memcached", "/data", &[]), "decided not"),
        (volume("4f1d5c").anonymous(), "unprotected"),
    ]);
}

#[test]
fn concertim() {
    check(&[
        (in_project("concertim_db-data", "concertim", "/var/lib/postgresql/data"), "policy concertim"),
        (
            in_project("concertim_rrd-data", "concertim", "/var/lib/metric-reporting-daemon/rrds"),
            "policy concertim-rrd",
        ),
        (in_project("concertim_static-content", "concertim", "/app/public"), "decided not"),
        (in_project("concertim_concertim-etc", "concertim", "/etc/concertim"), "decided not"),
    ]);
}

#[test]
fn monasca() {
    let volumes = ["mysql-data", "influxdb-data", "kafka-data", "zookeeper-data", "zookeeper-log"];
    let sources: Vec<_> = volumes
        .map(|name| (in_project(&format!("monasca_{name}"), "monasca", "/data"), "policy monasca"))
        .into();
    check(&sources);
    let folder = shipped();
    let terms = folder.find("monasca").and_then(|policy| policy.terms()).expect("monasca is backed up");
    assert!(terms.consistency.set, "they are one set");
}

#[test]
fn registry_and_job_manager() {
    check(&[
        (volume("registry-data").user("registry", "/var/lib/registry", &[]), "policy registry"),
        (volume("jobs_pg").user("jobs-db-1", "/var/lib/postgresql/data", &[]), "policy registry-db"),
        (volume("jobs_media").user("job-manager-web-1", "/app/media", &[]), "policy registry-uploads"),
    ]);
}

#[test]
fn everything_else_is_the_default_and_a_label_wins() {
    check(&[
        (volume("blog"), "policy default"),
        (volume("blog").label(POLICY_LABEL, "registry"), "policy registry"),
    ]);
}

#[test]
fn without_policies_nothing_is_protected_and_nothing_fails() {
    let sources = [volume("a"), volume("b")];
    let outcomes = choose(&folder(&[]), &sources);
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Unprotected { .. })));
}
