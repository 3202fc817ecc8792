//! Looking into snapshots without restoring them.

use std::sync::Arc;

use archive::path::TreePath;
use engine::failure::Class;
use engine::testing::calls::CallLog;
use engine::testing::fake_docker::FakeDocker;
use engine::testing::faulty_store::FaultyStore;
use engine::usecase::browse::{Change, DiffTotals, cat, diff, find, ls};
use engine::usecase::snapshots::{Wanted, WantedHost};

use crate::support::tree::{BIG_BYTES, bytes};
use crate::support::world::{World, back_up, snapshot};

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes().to_vec()).unwrap()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

async fn world() -> World {
    let world = World::new();
    world.volume("db", 1).await;
    back_up(&world.host().await, "db").await.unwrap();
    world
}

#[tokio::test]
async fn ls_shows_a_folder() {
    let (world, name) = (world().await, snapshot("db@latest"));
    let host = world.host().await;
    let cases: [(TreePath, bool, &[&str]); 3] = [
        (path("base/1"), false, &["base/1/data", "base/1/data.link", "base/1/small"]),
        (path("base"), true, &["base/1", "base/1/data", "base/1/data.link", "base/1/small"]),
        (path("PG_VERSION"), false, &["PG_VERSION"]),
    ];
    for (at, recursive, want) in cases {
        let mut names = Vec::new();
        let mut each = |entry: &archive::entry::Entry| {
            names.push(entry.path.to_string());
            Ok(())
        };
        let listed = ls(&host, &name, &at, recursive, &mut each).await.unwrap();
        assert_eq!((names.as_slice(), listed), (&owned(want)[..], want.len() as u64), "{at}");
    }
    let missing = ls(&host, &name, &path("base/2"), false, &mut |_| Ok(())).await.unwrap_err();
    assert_eq!(missing.class, Class::NotFound, "{missing}");
}

/// What lies deeper than a folder costs nothing when the folder is listed.
#[tokio::test]
async fn ls_of_a_folder_fetches_what_holds_it_and_no_more() {
    let world = World::new();
    world.volume("db", 1).await;
    let deep = world.docker.volume_folder("db").join("conf/deep");
    std::fs::create_dir(&deep).unwrap();
    for n in 0..12_000 {
        std::fs::File::create(deep.join(format!("{n:05}-{}", "x".repeat(60)))).unwrap();
    }
    back_up(&world.host().await, "db").await.unwrap();
    let fetched = async |at: &str, recursive: bool| {
        let log = CallLog::recording();
        let store = FaultyStore::new(Arc::new(world.store.clone()), Arc::clone(&log), Vec::new());
        let host = world.host_with(Arc::new(store), Arc::<FakeDocker>::clone(&world.docker)).await;
        let mut names = Vec::new();
        let mut each = |entry: &archive::entry::Entry| {
            names.push(entry.path.to_string());
            Ok(())
        };
        ls(&host, &snapshot("db@1"), &path(at), recursive, &mut each).await.unwrap();
        (names, log.names().iter().filter(|name| name.contains("get_range")).count())
    };
    let (all, of_all) = fetched("", true).await;
    let (top, of_top) = fetched("", false).await;
    let (conf, of_conf) = fetched("conf", false).await;
    assert!(of_all > 8, "{of_all}: too few segments to tell");
    assert!(of_top <= 4 && of_conf <= 4, "{of_top} and {of_conf} of {of_all}");
    let children = |folder: &str| {
        let beneath = |name: &&String| name.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'));
        all.iter().filter(beneath).cloned().collect::<Vec<_>>()
    };
    assert_eq!((top, conf), (children(""), children("conf/")));
}

#[tokio::test]
async fn cat_gives_the_bytes_of_files_and_of_their_links() {
    let (world, name) = (world().await, snapshot("db@1"));
    let host = world.host().await;
    for at in ["base/1/data", "base/1/data.link"] {
        let mut out = Vec::new();
        assert_eq!(cat(&host, &name, &path(at), &mut out).await.unwrap(), BIG_BYTES as u64, "{at}");
        assert!(out == bytes(1, BIG_BYTES), "{at}");
    }
    let mut out = Vec::new();
    cat(&host, &name, &path("sparse"), &mut out).await.unwrap();
    assert_eq!((out.len(), out.last()), ((3 << 20) + 1, Some(&1)));
    assert!(out[..3 << 20].iter().all(|byte| *byte == 0));
    assert_eq!(cat(&host, &name, &path("base"), &mut out).await.unwrap_err().class, Class::Usage);
}

#[tokio::test]
async fn find_looks_through_all_snapshots() {
    let world = world().await;
    world.replant("db", 2);
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let wanted = Wanted { host: WantedHost::This, source: None, deleted: false };
    let mut found = Vec::new();
    let mut each = |hit: &engine::usecase::browse::Found| {
        found.push(format!("{} {}", hit.snapshot, hit.entry.path));
        Ok(())
    };
    let searched = find(&host, "only-*", &wanted, &mut each).await.unwrap();
    assert_eq!((searched.found, searched.unread.len()), (2, 0));
    assert_eq!(found, ["db@2 only-2", "db@1 only-1"]);
}

#[tokio::test]
async fn two_full_snapshots_of_one_tree_do_not_differ() {
    let world = world().await;
    let host = world.host().await;
    back_up(&host, "db").await.unwrap();
    let totals = diff((&host, &snapshot("db@1")), (&host, &snapshot("db@2")), &mut |_| Ok(())).await.unwrap();
    let bytes = totals.bytes_before;
    assert_eq!(totals, DiffTotals { bytes_before: bytes, bytes_after: bytes, ..DiffTotals::default() });
    world.replant("db", 2);
    back_up(&host, "db").await.unwrap();
    let mut seen = Vec::new();
    let mut each = |one: &engine::usecase::browse::Difference| {
        seen.push((one.path.to_string(), one.change));
        Ok(())
    };
    diff((&host, &snapshot("db@1")), (&host, &snapshot("db@3")), &mut each).await.unwrap();
    for want in [
        ("only-1", Change::Removed),
        ("only-2", Change::Added),
        ("base/1/data", Change::Changed),
        ("PG_VERSION", Change::Attributes),
    ] {
        assert!(seen.contains(&(want.0.to_owned(), want.1)), "{want:?} is not in {seen:?}");
    }
}
