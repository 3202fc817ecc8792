//! The line that is drawn while something lasts, and that it is gone afterwards.

use integration::noise::noise;

use crate::pane::Pane;
use crate::scene::Scene;
use crate::world::put;

/// A scene with a volume whose backup takes seconds.
fn slow() -> Scene {
    let scene = Scene::new();
    put(&scene.world.at("backupd.toml"), b"[effort]\nlevel = 19\nworkers = 1\n");
    let place = scene.world.docker.volume(&scene.new).unwrap().unwrap();
    put(&place.join("noise"), &noise(5, 24 << 20));
    scene
}

/// Backs up, then says so, as a shell's prompt would.
fn backup(scene: &Scene, columns: u16) -> Pane {
    let line = format!("$backupctl backup {}; echo after", scene.new);
    let pane = Pane::shell(&scene.world, columns, &line);
    pane.until("progress", |text| text.contains("MiB"));
    pane
}

#[test]
fn progress_is_one_line_and_nothing_of_it_is_left() {
    let scene = slow();
    for columns in [80, 40] {
        let pane = backup(&scene, columns);
        // It was caught between two lines at worst.
        assert!(pane.lines().len() <= 2, "{}", pane.text());
        assert!(pane.wrapped().is_empty(), "{}", pane.text());
        assert_eq!(pane.end(), 0);
        let lines = pane.lines();
        assert!(lines[0].starts_with(&format!("{}@", scene.new)), "{lines:#?}");
        assert_eq!(lines.last().map(String::as_str), Some("after"));
        let said = lines[..lines.len() - 1].join(" ");
        assert!(said.contains("sent ") && !said.contains('%') && !said.contains("reading"), "{lines:#?}");
        assert!(lines.len() <= 4, "{lines:#?}");
        let place = scene.world.docker.volume(&scene.new).unwrap().unwrap();
        put(&place.join("noise"), &noise(6, 24 << 20));
    }
}

#[test]
fn a_window_that_becomes_narrower_meanwhile_is_left_clean_too() {
    let scene = slow();
    let pane = backup(&scene, 120);
    for columns in [100, 50, 30, 80] {
        pane.resize(columns);
        // A terminal needs a moment for it, and the line is drawn anew in the next one.
        std::thread::sleep(std::time::Duration::from_millis(600));
    }
    assert_eq!(pane.end(), 0);
    let lines = pane.lines();
    let said = lines.join(" ");
    assert!(lines[0].starts_with(&format!("{}@", scene.new)), "{lines:#?}");
    assert!(!said.contains('%') && !said.contains("reading"), "{lines:#?}");
}

#[test]
fn ctrl_c_stops_cleans_up_and_leaves_no_line_behind() {
    let scene = slow();
    let pane = Pane::run(&scene.world, 80, &["backup", &scene.new]);
    pane.until("progress", |text| text.contains("MiB"));
    pane.key("C-c");
    assert_eq!(pane.end(), 130);
    let lines = pane.lines();
    assert!(lines[0].trim_start_matches("^C").starts_with("error: "), "{lines:#?}");
    assert!(!pane.text().contains('%') && !pane.text().contains("once more"), "{lines:#?}");
    scene.assert_nothing_left();
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_leaves_no_line_behind_either() {
    let scene = slow();
    let pane =
        Pane::shell(&scene.world, 80, &format!("trap : INT; $backupctl backup {}; echo after", scene.new));
    pane.until("progress", |text| text.contains("MiB"));
    pane.key("C-c");
    pane.key("C-c");
    assert_eq!(pane.end(), 0);
    let text = pane.text();
    assert!(text.lines().any(|line| line.trim_start_matches("^C") == "after"), "{text}");
    assert!(!text.contains('%') && !text.contains("once more") && !text.contains("reading"), "{text}");
    // It may have left what a crash leaves, which the next run puts right.
    let next = scene.world.program("backupctl").args(["backup", &scene.db]).status().unwrap();
    assert!(next.success());
    scene.assert_nothing_left();
}

/// `docker compose` and cron show what a pipe gets; an editor's shell is a terminal that cannot move its cursor.
#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_plain_lines() {
    let scene = Scene::new();
    let pane = Pane::run_with(&scene.world, 80, &[("TERM", "dumb")], &["backup", &scene.new]);
    assert_eq!(pane.end(), 0);
    let lines = pane.lines();
    assert!(lines.iter().any(|line| line.starts_with("reading ")), "{lines:#?}");
    assert!(lines.last().unwrap().contains("sent "), "{lines:#?}");
}
