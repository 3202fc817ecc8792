//! H6, H7: whatever is done to the policies, what held before holds, and somebody is told what is wrong, and where.

use std::os::unix::fs::symlink;

use super::*;

/// One thing that goes wrong with a folder of policies, and what must be said of it.
type Spoilt = (fn(&Path), &'static str);

const ALL: [Spoilt; 11] = [
    (|folder| write(&folder.join("new.toml"), "schedule = \"0 2 * *"), "new.toml:1:"),
    (|folder| write(&folder.join("new.toml"), "schedule = \"0 2 * * *\"\nconsist"), "new.toml:2:"),
    (|folder| write(&folder.join("new.toml"), ""), "new.toml:1:"),
    (|folder| symlink("/nowhere/new.toml", folder.join("new.toml")).unwrap(), "is a link to nothing"),
    (|folder| new(folder, "time_zone = \"Europe/Brelin\"\n", ""), "did you mean `Europe/Berlin`"),
    (|folder| new(folder, "", "[keep]\ndaily = 0\n"), "`[keep]` keeps nothing"),
    (|folder| write(&folder.join("new.toml"), &text("0 0 30 2 *", "x")), "new.toml:1:"),
    (|folder| write(&folder.join("new.toml"), &"#\n".repeat(5 << 20)), "new.toml:"),
    (|folder| std::fs::create_dir(folder.join("new.toml")).unwrap(), "is no regular file"),
    (|folder| std::fs::remove_dir_all(folder).unwrap(), "there is no folder of policies"),
    (|folder| std::fs::remove_file(folder.join("night.toml")).unwrap(), "there is no policy in `"),
];

fn new(folder: &Path, top: &str, bottom: &str) {
    write(&folder.join("new.toml"), &format!("{top}{}{bottom}", text("0 2 * * *", "x")));
}

#[tokio::test]
async fn policies_that_go_bad_hold_as_they_were() {
    for (at, (spoil, words)) in ALL.into_iter().enumerate() {
        let world = World::new();
        world.policy("night.toml", &text("0 2 * * *", "db"));
        world.volume("db").await;
        let mut keeping = world.keeping().await;
        turn(&mut keeping).await;
        spoil(&world.dir.path().join("policies"));
        keeping.reload();
        let told = keeping.trouble().unwrap_or_default();
        assert!(told.contains(words), "{at}: {told}");
        assert!(!told.contains('\n') && told.len() < 1000, "{at}: {told}");
        let events = world.host().await.catalog().events(10).unwrap();
        assert!(events.iter().any(|event| event.text == told), "{at}: {events:?}");
        world.pass(&mut keeping, 15).await;
        assert_eq!(world.began("db").await, ["21T02:00"], "{at}");
    }
}

#[tokio::test]
async fn a_source_that_two_policies_claim_is_an_alarm_until_it_is_settled() {
    let world = World::new();
    let heard = world.dir.path().join("heard");
    let notify = format!("[notify]\ncommand = [\"/bin/sh\", \"-c\", \"cat >>{}\"]\n", heard.display());
    world.policy("night.toml", &(text("0 2 * * *", "d*") + &notify));
    world.policy("noon.toml", &text("0 12 * * *", "*b"));
    for name in ["db", "dc"] {
        world.volume(name).await;
    }
    let mut keeping = world.keeping().await;
    keeping.tell_by(Teller::default());
    for _ in 0..3 {
        turn(&mut keeping).await;
        keeping.sight().unwrap();
        keeping.teller.finish(&keeping.host).await.unwrap();
    }
    let lines = || std::fs::read_to_string(&heard).unwrap_or_default();
    assert!(lines().lines().count() == 1 && lines().contains("`db` is not backed up: "), "{}", lines());
    let told = keeping.trouble().unwrap_or_default();
    assert!(told.starts_with("`db` is not backed up: ") && told.contains("night"), "{told}");
    let events = world.host().await.catalog().events(10).unwrap();
    assert_eq!(events.iter().filter(|event| event.text == told).count(), 1, "told once: {events:?}");
    world.pass(&mut keeping, 15).await;
    assert_eq!((world.began("db").await.len(), world.began("dc").await.len()), (0, 1));

    world.policy("noon.toml", &text("0 12 * * *", "*x"));
    keeping.reload();
    turn(&mut keeping).await;
    assert_eq!(keeping.trouble(), None);
    keeping.sight().unwrap();
    keeping.teller.finish(&keeping.host).await.unwrap();
    assert!(lines().lines().count() == 2 && lines().contains("is under policy `night` again"), "{}", lines());
}

/// Nothing but the schedule is lost with the ledger, and a damaged one is said to be.
#[tokio::test]
async fn a_ledger_that_cannot_be_read_begins_anew() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    drop(keeping);
    write(&world.dir.path().join("state/schedule.json"), "{\"sources\": {\"db\"");
    let mut keeping = world.keeping().await;
    turn(&mut keeping).await;
    world.pass(&mut keeping, 15).await;
    assert_eq!(world.began("db").await, ["21T02:00"]);
}

/// A folder at the usual place, which nobody has to name.
async fn unnamed(world: &World) -> Keeping {
    let policies = world.dir.path().join("policies");
    let places = Places { policies, named: false, folders: Vec::new() };
    Keeping::begin(world.host().await, places, 2, Arc::default())
}

/// What stands in where there are no policies is for hosts that never had any.
#[tokio::test]
async fn a_folder_that_is_gone_is_not_taken_for_one_that_never_was() {
    let world = World::new();
    world.policy("night.toml", &text("0 2 * * *", "db"));
    world.volume("db").await;
    let mut keeping = unnamed(&world).await;
    turn(&mut keeping).await;
    let (folder, away) = (world.dir.path().join("policies"), world.dir.path().join("away"));
    engine::durable::rename_synced(&folder, &away).unwrap();
    keeping.reload();
    let told = keeping.trouble().unwrap_or_default();
    assert!(told.contains("there is no folder of policies `") && told.contains("any more"), "{told}");
    world.pass(&mut keeping, 15).await;
    assert_eq!(world.began("db").await, ["21T02:00"]);
    symlink("nowhere", &folder).unwrap();
    keeping.reload();
    assert!(keeping.trouble().unwrap_or_default().contains("a link to nothing"), "{:?}", keeping.trouble());
    drop(keeping);

    // A process that begins without it does what it can, and says whom it cannot protect.
    let mut keeping = unnamed(&world).await;
    turn(&mut keeping).await;
    assert!(keeping.trouble().unwrap_or_default().contains("a link to nothing"), "{:?}", keeping.trouble());
    std::fs::remove_file(&folder).unwrap();
    let mut keeping = unnamed(&world).await;
    for _ in 0..2 {
        turn(&mut keeping).await;
        let told = keeping.trouble().unwrap_or_default();
        assert!(told.starts_with("`db` is not backed up any more: its policy `night` went"), "{told}");
    }
    engine::durable::rename_synced(&away, &folder).unwrap();
    keeping.reload();
    turn(&mut keeping).await;
    assert_eq!(keeping.trouble(), None);
    world.pass(&mut keeping, 24).await;
    assert_eq!(world.began("db").await, ["21T02:00", "22T02:00"]);
}

/// The settings of a host whose people read that file.
fn told_to(heard: &Path) -> policies::policy::Notify {
    let command = ["/bin/sh".to_owned(), "-c".to_owned(), format!("cat >>{}", heard.display())];
    let on = policies::policy::Event::ALL.to_vec();
    policies::policy::Notify { command: command.to_vec(), on, ..Default::default() }
}

/// What a process that begins anew finds is emptied, or bad: nobody is backed up, and people hear of it and of its end.
#[tokio::test]
async fn policies_that_went_before_a_start_are_told_to_people() {
    for (file, spoilt, words) in [
        ("night.toml", None, "there is no policy in `"),
        ("night.toml", Some("schedul = 1\n"), "night.toml:1:1"),
    ] {
        let world = World::new();
        world.policy(file, &text("0 2 * * *", "db"));
        world.volume("db").await;
        let mut keeping = world.keeping().await;
        turn(&mut keeping).await;
        drop(keeping);
        let path = world.dir.path().join("policies").join(file);
        match spoilt {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => write(&path, text),
        }

        let heard = world.dir.path().join("heard");
        let mut keeping = world.keeping().await;
        keeping.tell_by(Teller::new(told_to(&heard), None));
        // Also where nobody can look: Docker is on its way up, say.
        let look = async |keeping: &mut Keeping| {
            keeping.sight().unwrap();
            keeping.teller.finish(&keeping.host).await.unwrap();
            turn(keeping).await;
            keeping.sight().unwrap();
            keeping.teller.finish(&keeping.host).await.unwrap();
            std::fs::read_to_string(&heard).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let said = look(&mut keeping).await;
        assert!(
            said.len() == 1 && said[0].contains(words) && said[0].contains("nothing is backed up"),
            "{said:?}"
        );
        // Its sources are not forgotten, however long that takes.
        world.clock.advance(60 * 24 * 60);
        assert_eq!(look(&mut keeping).await.len(), 1);
        assert!(keeping.trouble().unwrap_or_default().contains(words), "{:?}", keeping.trouble());
        world.policy(file, &text("0 2 * * *", "db"));
        let said = look(&mut keeping).await;
        assert!(said.len() == 2 && said[1].contains("its policies are good again"), "{said:?}");
        assert_eq!((keeping.trouble(), world.began("db").await.len()), (None, 1), "{spoilt:?}");
    }
}

/// A Docker that is restarted is nobody's business, and one that stays away is.
#[tokio::test]
async fn a_host_that_cannot_be_looked_at_is_told_after_a_while() {
    let world = World::new();
    let heard = world.dir.path().join("heard");
    let mut keeping = world.keeping().await;
    keeping.tell_by(Teller::new(told_to(&heard), None));
    let away = Failure::failed("ask Docker");
    for (failed, left, said) in [
        (Some(&away), None, 0),
        (Some(&away), None, 1),
        (Some(&away), None, 1),
        (Some(&away), Some("an upload"), 1),
        (None, Some("an upload"), 3),
        (None, None, 4),
    ] {
        keeping.note_trouble(failed, left.map(str::to_owned));
        world.clock.advance(4);
        keeping.note_trouble(failed, left.map(str::to_owned));
        keeping.sight().unwrap();
        keeping.teller.finish(&keeping.host).await.unwrap();
        let lines = std::fs::read_to_string(&heard).unwrap_or_default();
        assert_eq!(lines.lines().count(), said, "{lines}");
    }
}
