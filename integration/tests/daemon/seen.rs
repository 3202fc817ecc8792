//! The status page as a browser shows it: Chromium, without a window, without scripts, and without a way out of this host.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::docker::Docker;
use integration::private_engine::PrivateEngine;

use crate::rig::{Rig, put};
use crate::service::Service;

/// Colours of the page: a bar of the chart, a bar that was read back and found good, an alarm.
const BAR: &str = "5b7fa6";
const GOOD: &str = "1a7f37";
const BAD: &str = "c62828";

/// Prints width and height of a picture, and each colour that it has with the number of its pixels.
const COLOURS: &str = r#"
import collections, struct, sys, zlib
data = open(sys.argv[1], "rb").read()
at, packed = 8, b""
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    if kind == b"IHDR":
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
    elif kind == b"IDAT":
        packed += body
    at += 12 + length
assert depth == 8 and colour in (2, 6) and not interlaced, (depth, colour, interlaced)
size = 3 if colour == 2 else 4
raw, line, at = zlib.decompress(packed), bytearray(width * size), 0
counted = collections.Counter()
for _ in range(height):
    how, row, at = raw[at], bytearray(raw[at + 1:at + 1 + width * size]), at + 1 + width * size
    for i in range(width * size):
        left = row[i - size] if i >= size else 0
        up = line[i]
        corner = line[i - size] if i >= size else 0
        if how == 1:
            row[i] = (row[i] + left) & 255
        elif how == 2:
            row[i] = (row[i] + up) & 255
        elif how == 3:
            row[i] = (row[i] + (left + up) // 2) & 255
        elif how == 4:
            near = min((abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner))
            row[i] = (row[i] + near[2]) & 255
    line = row
    counted.update(row[i:i + 3].hex() for i in range(0, width * size, size))
print(width, height)
for colour, pixels in counted.items():
    print(colour, pixels)
"#;

/// No page may run scripts: as where somebody turned them off.
const PREFERENCES: &[u8] = br#"{"profile":{"default_content_setting_values":{"javascript":2}}}"#;

/// Chromium at one page; what it keeps lies in a folder of the test.
struct Browser {
    folder: PathBuf,
    url: String,
}

impl Browser {
    fn new(folder: PathBuf, url: String) -> Self {
        std::fs::create_dir_all(folder.join("Default")).unwrap();
        put(&folder.join("Default/Preferences"), PREFERENCES);
        Self { folder, url }
    }

    fn run(&self, width: u32, more: &str) -> Output {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new("timeout");
        // As root in a container there is neither a sandbox nor much shared memory, nor a need of them for a page of ours.
        command.args(["180", "chromium", "--headless", "--no-sandbox", "--disable-dev-shm-usage"]);
        command.args(["--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions"]);
        command.args([
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        ]);
        command.arg(format!("--user-data-dir={}", at(""))).arg(format!("--log-net-log={}", at("asked")));
        command.arg(format!("--window-size={width},1100")).arg(more).arg(&self.url);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.folder).env("TZ", "UTC");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The page as the browser understood it.
    fn dom(&self, width: u32) -> String {
        String::from_utf8(self.run(width, "--dump-dom").stdout).unwrap()
    }

    /// The page as somebody sees it.
    fn picture(&self, width: u32) -> PathBuf {
        let path = self.folder.join(format!("seen-{width}.png"));
        self.run(width, &format!("--screenshot={}", path.display()));
        path
    }

    /// What the page made the browser ask for the last time. What browsers ask their makers is not on account of a page.
    fn asked(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.join("asked")).unwrap();
        let of_page =
            log.lines().filter(|line| line.contains("\"network_isolation_key\":\"http://127.0.0.1 "));
        let urls = of_page.filter_map(|line| line.split_once("\"url\":\"")?.1.split('"').next());
        let mut urls: Vec<String> = urls.map(str::to_owned).collect();
        urls.sort_unstable();
        urls.dedup();
        urls
    }
}

/// How wide a picture is, and how many pixels have a colour.
fn look(picture: &Path) -> (u32, impl Fn(&str) -> u64) {
    let output = Command::new("python3").args(["-c", COLOURS]).arg(picture).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let width = told.split(' ').next().unwrap().parse().unwrap();
    let pixels = move |colour: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(colour)?.trim().parse().ok());
        line.unwrap_or(0)
    };
    (width, pixels)
}

/// Fails if anything in the page leads away from it.
#[track_caller]
fn assert_local(dom: &str) {
    for word in [
        "src=", "href=", "url(", "@import", "<script", "<link", "<iframe", "<img", "<form", "http:", "https:",
    ] {
        let found = dom.find(word).map(|at| dom[at..].chars().take(60).collect::<String>());
        assert_eq!(found, None, "{word}");
    }
}

/// One source that is well, grows, and was drilled; one that cannot be backed up.
fn scene(rig: &Rig) -> (Service, [String; 2]) {
    let (well, place) = rig.volume("shop-data");
    let (ill, _) = rig.volume("queue");
    rig.policy("* * * * * *", "last = 30");
    put(&place.join("first"), &[7; 9000]);
    let mut service = rig.start();
    for size in [1_usize, 3, 2] {
        let before = rig.newest(&well);
        put(&place.join("grows"), &vec![1; size * 40_000]);
        service.until("a snapshot", |_| rig.newest(&well) > before);
    }
    service.until("a snapshot of the other", |_| rig.newest(&ill) > 0);
    let queue = rig.docker.volume(&ill).unwrap().unwrap();
    std::fs::remove_file(queue.join("file")).unwrap();
    service.until("an alarm", |service| service.page("/").1.contains("failed"));
    let drilled = rig.run(&["drill", &well]);
    assert!(drilled.status.success(), "{}", String::from_utf8_lossy(&drilled.stderr));
    (service, [well, ill])
}

#[test]
fn a_browser_shows_alarms_timelines_drills_and_runs_at_any_width() {
    // Of its own where it can be: a label of somebody else's volume would be an alarm of this service.
    let engine = PrivateEngine::start().unwrap();
    let rig = match &engine {
        Some(engine) => Rig::new(Docker::at(engine.socket()), Some(engine.socket().to_owned()), false),
        None => Rig::new(Docker::of_environment().unwrap(), None, false),
    };
    let (mut service, [well, ill]) = scene(&rig);
    service.until("the drill", |service| service.page("/").1.contains("<h2>Drills"));
    let browser = Browser::new(rig.at("chromium"), service.url("/"));

    let dom = browser.dom(1280);
    assert_local(&dom);
    assert_eq!(browser.asked(), [service.url("/")], "it asked for something beside the page");
    let places =
        ["class=\"verdict bad\"", "class=\"alarms\"", "<h2>Sources", "<svg", "<h2>Drills", "<h2>Runs"];
    let found: Vec<_> = places.iter().map(|text| dom.find(text)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?}\n{dom}");
    assert!(dom.contains("2 sources under a policy, 1 alarm"), "{dom}");
    assert!(dom.matches(&format!("<title>{well}@")).count() >= 3, "a bar for each snapshot: {dom}");
    assert!(dom.contains(&format!("`{ill}`")) && dom.contains("</body></html>"), "{dom}");

    for width in [1280, 400] {
        let picture = browser.picture(width);
        let (wide, pixels) = look(&picture);
        assert_eq!(wide, width, "{}", picture.display());
        for (what, colour) in [("bars", BAR), ("what a drill proved", GOOD), ("alarms", BAD)] {
            assert!(pixels(colour) > 20, "{what} at {width}: {} pixels", pixels(colour));
        }
        if let Some(kept) = std::env::var_os("BACKUPD_KEEP_PICTURES") {
            std::fs::copy(&picture, Path::new(&kept).join(picture.file_name().unwrap())).unwrap();
        }
    }
}
