//! News on their way: to places that hear, that are away for a while, and that never do.

use std::sync::Arc;

use engine::adapter::clock::SystemClock;
use engine::usecase::host::{Effort, Settings};

use super::*;
use crate::keeping::Unsettled;

struct World {
    dir: tempfile::TempDir,
    host: Host,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            store: "s3://bucket/prefix".into(),
            host: "h1".parse().unwrap(),
            state: dir.path().join("state"),
            docker: None,
            effort: Effort::default(),
        };
        let host = Host::open(settings, Arc::new(SystemClock::start())).await.unwrap();
        Self { dir, host }
    }

    /// A new process, to whose news a file that is there is a program that hears.
    fn teller(&self) -> Teller {
        let command = |name: &str| {
            let (door, heard) = (self.dir.path().join(name), self.dir.path().join(format!("{name}.heard")));
            let script = format!("test -e {} && cat >>{}", door.display(), heard.display());
            ["/bin/sh", "-c", &script].map(str::to_owned).to_vec()
        };
        let on = policies::policy::Event::ALL.to_vec();
        let usual = Notify { command: command("door"), on, ..Notify::default() };
        let tries = Tries {
            patience: Duration::from_secs(10),
            pauses: Vec::new(),
            rests: [Duration::from_millis(1); 2],
        };
        let mut teller = Teller { usual, outbox: Outbox::new(tries, None), ..Teller::default() };
        teller.remember(&self.host).unwrap();
        teller
    }

    fn open_door(&self) {
        std::fs::File::create(self.dir.path().join("door")).unwrap();
    }

    fn heard(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("door.heard")).unwrap_or_default();
        let line = |line: &str| {
            let said: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", said["event"].as_str().unwrap(), said["source"].as_str().unwrap())
        };
        text.lines().map(line).collect()
    }

    /// A look at a host on which `failing` are, and all that is told then.
    async fn look(&self, teller: &mut Teller, failing: &[String]) {
        let one = |source: &String| Unsettled {
            source: source.clone(),
            policy: "p".into(),
            text: format!("`{source}` is not backed up"),
        };
        let unsettled: Vec<Unsettled> = failing.iter().map(one).collect();
        let stand = Stand { unsettled: &unsettled, ..Stand::default() };
        teller.tell(&self.host, &Folder::default(), &stand, |_| true).unwrap();
        teller.finish(&self.host).await.unwrap();
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s{n:03}")).collect()
}

/// Whoever is away when it happens hears it later, once, and after a restart as well.
#[tokio::test]
async fn a_place_that_is_away_hears_it_later() {
    for restarts in [false, true] {
        let world = World::new().await;
        let mut teller = world.teller();
        for _ in 0..3 {
            world.look(&mut teller, &names(1)).await;
        }
        assert_eq!(world.heard(), [""; 0]);
        if restarts {
            teller = world.teller();
        }
        world.open_door();
        for _ in 0..3 {
            world.look(&mut teller, &names(1)).await;
        }
        assert_eq!(world.heard(), ["failure s000"], "{restarts}");
        let mut teller = world.teller();
        world.look(&mut teller, &names(1)).await;
        assert_eq!(world.heard().len(), 1, "it is remembered");
    }
}

#[tokio::test]
async fn many_at_once_are_all_heard() {
    let world = World::new().await;
    world.open_door();
    let mut teller = world.teller();
    for _ in 0..3 {
        world.look(&mut teller, &names(300)).await;
    }
    let mut heard = world.heard();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 300);
}

/// One that never hears does not make the others hear twice, and what waits for it does not grow for ever.
#[tokio::test]
async fn a_place_that_never_hears_is_in_nobodys_way() {
    let world = World::new().await;
    world.open_door();
    let mut teller = world.teller();
    teller.usual.webhook = Some("http://127.0.0.1:1/".into());
    for n in 0..12 {
        world.look(&mut teller, &names(n % 2)).await;
        world.look(&mut teller, &names(n % 2)).await;
    }
    assert_eq!(world.heard(), ["failure s000"; 6]);
    assert!(teller.open.len() <= OPEN_MAX, "{}", teller.open.len());

    // Policies that name somebody else tell those.
    teller.usual.webhook = None;
    teller.policies_changed();
    world.look(&mut teller, &names(1)).await;
    assert!(teller.open.is_empty(), "{}", teller.open.len());
}
