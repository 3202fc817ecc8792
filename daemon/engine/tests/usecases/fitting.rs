//! Restores under another version of the server, or another owner.

use std::fs;
use std::path::Path;

use engine::failure::{Class, Failure};
use engine::port::docker::{Container, ContainerState};
use engine::usecase::backup::{BackupRequest, backup};
use engine::usecase::restore::{RestorePlan, RestoreRequest, plan_restore};
use engine::usecase::watch::Silent;
use policies::policy::{Consistency, Mode};

use crate::support::tree::{but_root_time, differences};
use crate::support::world::{World, back_up, backup_request, container, restore_as, restore_request};

/// A server on `db`, of an image that nobody else runs.
fn server(image: &str, at: &str) -> Container {
    let mut server = container("server", "db", ContainerState::Running, "always");
    image.clone_into(&mut server.image);
    server.image_id = format!("sha256:{image}");
    at.clone_into(&mut server.mounts[0].at);
    server
}

fn pg(image: &str) -> Container {
    server(image, "/var/lib/postgresql/data")
}

fn my(image: &str) -> Container {
    server(image, "/var/lib/mysql")
}

/// A world whose only snapshot was taken while `then` ran, and in which `now` has its place.
async fn world(then: Option<Container>, mode: Mode, now: Option<Container>) -> World {
    let world = World::new();
    world.volume("db", 1).await;
    if let Some(then) = then {
        world.docker.put_container(then);
    }
    let consistency = Consistency { mode, ..Consistency::default() };
    let request = BackupRequest { consistency, ..backup_request("db") };
    backup(&world.host().await, &request, &Silent::default()).await.unwrap();
    if let Some(now) = now {
        world.docker.put_container(now);
    }
    world
}

async fn planned(world: &World) -> Result<RestorePlan, Failure> {
    plan_restore(&world.host().await, &restore_request("db", 1, None)).await
}

#[track_caller]
fn refused(planned: Result<RestorePlan, Failure>, words: &[&str]) {
    let failure = planned.unwrap_err();
    assert_eq!(failure.class, Class::Unsafe, "{failure}");
    let said = format!("{failure}; {}", failure.hint.as_deref().unwrap_or_default());
    for word in words.iter().chain(&["--accept-version"]) {
        assert!(said.contains(word), "{said}");
    }
}

#[track_caller]
fn warned(planned: Result<RestorePlan, Failure>, word: &str) {
    let warnings = planned.unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
}

#[tokio::test]
async fn another_major_version_of_the_server_is_refused_unless_it_is_accepted() {
    let world = world(Some(pg("postgres:14")), Mode::Live, Some(pg("postgres:15"))).await;
    let now = world.replant("db", 2);
    refused(
        planned(&world).await,
        &["`db@1` is of PostgreSQL 14", "`server` runs PostgreSQL 15 (`postgres:15`)"],
    );
    let host = world.host().await;
    let request = restore_request("db", 1, None);
    assert_eq!(restore_as(&host, &request).await.unwrap_err().class, Class::Unsafe);
    assert_eq!(differences(&but_root_time(world.tree("db")), &but_root_time(now)), "", "nothing was touched");
    let beside = RestoreRequest { into: Some("look".to_owned()), ..request.clone() };
    restore_as(&host, &beside).await.unwrap();
    let accepted = RestoreRequest { accept_version: true, ..request };
    warned(plan_restore(&host, &accepted).await, "may refuse the files");
    restore_as(&host, &accepted).await.unwrap();
}

#[tokio::test]
async fn another_image_of_the_same_major_version_is_a_warning() {
    let world = world(Some(pg("postgres:14.2")), Mode::Live, Some(pg("postgres:14.9-alpine"))).await;
    warned(planned(&world).await, "ran `postgres:14.2` then and runs `postgres:14.9-alpine` now");
}

#[tokio::test]
async fn an_image_that_names_no_version_is_known_by_what_it_sets_or_not_at_all() {
    let mut latest = pg("postgres:latest");
    let world = world(Some(pg("postgres:14")), Mode::Live, Some(latest.clone())).await;
    planned(&world).await.unwrap();
    latest.versions.insert("PG_MAJOR".to_owned(), "17".to_owned());
    world.docker.put_container(latest);
    refused(planned(&world).await, &["PostgreSQL 17"]);
}

#[tokio::test]
async fn where_no_container_tells_what_lies_there_now_does() {
    let world = world(None, Mode::Live, None).await;
    let file = world.docker.volume_folder("db").join("PG_VERSION");
    fs::rename(&file, file.with_extension("old")).unwrap();
    planned(&world).await.unwrap();
    fs::copy(file.with_extension("old"), &file).unwrap();
    planned(&world).await.unwrap();
    write(&file, "15\n");
    refused(planned(&world).await, &["what lies in `db` now is of PostgreSQL 15"]);
    // Somebody who went back to the old image after an upgrade is who the snapshot is for.
    world.docker.put_container(pg("postgres:14"));
    planned(&world).await.unwrap();
}

fn write(path: &Path, text: &str) {
    use std::io::Write as _;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_cluster_below_the_top_is_found() {
    let world = World::new();
    world.volume("db", 1).await;
    let (root, place) = (world.docker.volume_folder("db"), "15/main/global");
    fs::create_dir_all(root.join(place)).unwrap();
    fs::remove_file(root.join("PG_VERSION")).unwrap();
    write(&root.join("15/main/PG_VERSION"), "15\n");
    write(&root.join("15/main/global/pg_control"), "x");
    world.docker.put_container(server("postgres", "/var/lib/postgresql"));
    back_up(&world.host().await, "db").await.unwrap();
    world.docker.put_container(server("postgres:18", "/var/lib/postgresql"));
    refused(planned(&world).await, &["of PostgreSQL 15, and container `server` runs PostgreSQL 18"]);
}

#[tokio::test]
async fn a_newer_mariadb_gets_only_what_was_written_down() {
    let newer = || Some(my("mariadb:11.4"));
    let paused = world(Some(my("mariadb:10.11")), Mode::Pause, newer()).await;
    refused(planned(&paused).await, &["of MariaDB 10.11", "MariaDB 11.4", "recover"]);
    let stopped = world(Some(my("mariadb:10.11")), Mode::Stop, newer()).await;
    warned(planned(&stopped).await, "changes the files to its own version");
    let older = world(Some(my("mariadb:11.4")), Mode::Stop, Some(my("mariadb:10.11"))).await;
    refused(planned(&older).await, &["of MariaDB 11.4"]);
    let other = world(Some(my("mysql:8.0")), Mode::Stop, Some(my("mariadb:10.11"))).await;
    refused(planned(&other).await, &["of MySQL 8.0"]);
    let redis =
        world(Some(server("redis:7.2", "/data")), Mode::Stop, Some(server("redis:6.2", "/data"))).await;
    refused(planned(&redis).await, &["of Redis 7.2"]);
}

#[tokio::test]
async fn another_owner_is_told_with_both() {
    let world = world(None, Mode::Live, None).await;
    assert_eq!(planned(&world).await.unwrap().warnings, Vec::<String>::new());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(world.docker.volume_folder("db"), Some(70), Some(71)).unwrap();
        warned(planned(&world).await, "belongs to 0:0 in the snapshot and to 70:71 now");
    }
}
