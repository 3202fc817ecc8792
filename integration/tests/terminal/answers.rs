//! What is asked is answered with keys, and who walks away leaves nothing.

use crate::pane::Pane;
use crate::scene::Scene;

fn content(scene: &Scene) -> Vec<u8> {
    let place = scene.world.docker.volume(&scene.db).unwrap().unwrap();
    std::fs::read(place.join("file")).unwrap()
}

/// A restore of the first snapshot, up to the question.
fn asked(scene: &Scene, columns: u16) -> Pane {
    let pane = Pane::run(&scene.world, columns, &["restore", &scene.db, "--snapshot", "1"]);
    pane.until("the question", |text| text.ends_with("[y/N]"));
    let text = pane.text();
    let (plan, question) = text.split_once("Replace what is").unwrap();
    for word in ["  taken ", "  target ", "  content ", "  loses "] {
        assert!(plan.contains(word), "the plan comes first: {text}");
    }
    assert!(question.contains(&scene.db), "{text}");
    assert!(pane.wrapped().is_empty(), "{text}");
    pane
}

#[test]
fn a_yes_restores_and_anything_else_leaves_all_as_it_is() {
    let scene = Scene::new();
    let pane = asked(&scene, 80);
    pane.types("n");
    pane.key("Enter");
    assert_eq!(pane.end(), 13);
    let said = format!("[y/N] n\nerror: restore `{}`: not agreed to; nothing was changed", scene.db);
    assert!(pane.text().ends_with(&said), "{}", pane.text());
    assert_eq!(content(&scene), b"third");

    let pane = asked(&scene, 40);
    pane.types("yes");
    pane.key("Enter");
    assert_eq!(pane.end(), 0);
    let said: Vec<String> = pane.lines();
    let words = said.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
    assert!(words.contains("every byte checked"), "{}", pane.text());
    assert!(pane.wrapped().is_empty(), "{}", pane.text());
    assert_eq!(content(&scene), b"first");
    scene.assert_nothing_left();
}

#[test]
fn who_walks_away_from_the_question_leaves_nothing() {
    let scene = Scene::new();
    for (key, end) in [("C-c", 130), ("C-d", 13)] {
        let pane = asked(&scene, 80);
        pane.key(key);
        assert_eq!(pane.end(), end, "{key}: {}", pane.text());
        let lines = pane.lines();
        // What comes next stands on a line of its own.
        assert!(!lines.iter().any(|line| line.contains("[y/N] error")), "{key}: {}", pane.text());
        assert_eq!(content(&scene), b"third", "{key}");
        scene.assert_nothing_left();
    }
    // Nor is anything locked.
    scene.world.back_up(&scene.db);
}
