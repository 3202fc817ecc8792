//! One terminal: a program runs in it, keys are typed into it, and what it shows is looked at.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::world::World;

/// Nothing here takes longer, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// So high that nothing scrolls out of sight.
const LINES: &str = "500";

/// What a terminal says of itself to programs, unless a test says otherwise.
const USUAL: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")];

/// See the module.
pub(crate) struct Pane {
    folder: std::path::PathBuf,
    name: String,
}

/// Runs a program, and tells its exit code; an interrupt is for the program alone.
const RUN: &str = "trap : INT; \"$@\"; echo $? >\"$0\"";

impl Pane {
    /// Runs `backupctl ARGS` in a terminal of so many columns.
    pub(crate) fn run(world: &World, columns: u16, args: &[&str]) -> Self {
        Self::run_with(world, columns, &[], args)
    }

    /// The same, with more in its environment; an empty value takes a variable out.
    pub(crate) fn run_with(world: &World, columns: u16, more: &[(&str, &str)], args: &[&str]) -> Self {
        let program = world.program("backupctl");
        let mut words = vec![program.get_program().to_str().unwrap()];
        words.extend(args);
        Self::open(world, columns, more, &words)
    }

    /// Runs a line of a shell; `$backupctl` is the program.
    pub(crate) fn shell(world: &World, columns: u16, line: &str) -> Self {
        let program = world.program("backupctl");
        let path = program.get_program().to_str().unwrap();
        Self::open(world, columns, &[("backupctl", path)], &["sh", "-c", line])
    }

    fn open(world: &World, columns: u16, more: &[(&str, &str)], words: &[&str]) -> Self {
        let pane =
            Self { folder: world.at(""), name: format!("bt-{}", engine::words::RunId::random().unwrap()) };
        let usual = world.program("backupctl");
        let text = |value: &std::ffi::OsStr| value.to_str().unwrap().to_owned();
        let mut environment: Vec<(String, String)> =
            usual.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect();
        let more = USUAL.iter().chain(more);
        environment.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut given: Vec<String> = vec!["env".into(), "-i".into()];
        for (i, (name, value)) in environment.iter().enumerate() {
            let later = environment[i + 1..].iter().any(|(other, _)| other == name);
            given.extend((!later && !value.is_empty()).then(|| format!("{name}={value}")));
        }
        let columns = columns.to_string();
        // Of the program that ended the terminal still tells how, and shows nothing of its own.
        let begin = "start-server ; set-option -g exit-empty off ; set-option -g remain-on-exit on ; \
                     set-option -g remain-on-exit-format  ; set-option -g status off ; new-session -d -s seen";
        let mut args: Vec<&str> = begin.split(' ').collect();
        args.extend(["-c", pane.folder.to_str().unwrap(), "-x", &columns, "-y", LINES, "--"]);
        args.extend(given.iter().map(String::as_str));
        let ended = pane.ended().display().to_string();
        args.extend(["sh", "-c", RUN, &ended]);
        args.extend(words);
        let begun = pane.tmux(&args);
        assert!(begun.status.success(), "tmux: {}", String::from_utf8_lossy(&begun.stderr));
        pane
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        // It shows letters beyond ASCII whatever the locale of this test is.
        command.args(["-u", "-L", &self.name, "-f", "/dev/null"]).args(args);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TMUX_TMPDIR", &self.folder)
            .env("LC_ALL", "C.UTF-8");
        command.output().unwrap()
    }

    fn captured(&self, flags: &[&str]) -> String {
        let output = self.tmux(&[&["capture-pane", "-p", "-t", "seen"], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What stands on it now, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.captured(&[]).lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The same as one text.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// What stands on it now, with its colours.
    pub(crate) fn painted(&self) -> String {
        self.captured(&["-e"])
    }

    /// Lines that were longer than the terminal, and went on in the next one by themselves.
    pub(crate) fn wrapped(&self) -> Vec<String> {
        // Of one and the same picture, while something is drawn.
        let (lines, joined) = loop {
            let (before, joined) = (self.lines(), self.captured(&["-J"]));
            if self.lines() == before {
                break (before, joined);
            }
        };
        joined.lines().map(|line| line.trim_end().to_owned()).filter(|line| !lines.contains(line)).collect()
    }

    /// Types text, as it stands.
    pub(crate) fn types(&self, text: &str) {
        self.press(&["-l", text]);
    }

    /// Presses a key by its name: `Enter`, `C-c`.
    pub(crate) fn key(&self, name: &str) {
        self.press(&[name]);
    }

    fn press(&self, keys: &[&str]) {
        let pressed = self.tmux(&[&["send-keys", "-t", "seen"], keys].concat());
        assert!(pressed.status.success(), "{}", String::from_utf8_lossy(&pressed.stderr));
    }

    /// Somebody drags the window.
    pub(crate) fn resize(&self, columns: u16) {
        let resized = self.tmux(&["resize-window", "-t", "seen", "-x", &columns.to_string(), "-y", LINES]);
        assert!(resized.status.success(), "{}", String::from_utf8_lossy(&resized.stderr));
    }

    /// Waits until it shows what is wanted.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, shown: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !shown(&self.text()) {
            assert!(began.elapsed() < PATIENCE, "{what} did not come:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the program's end, and until all that it wrote is shown; gives the code that its shell saw.
    #[track_caller]
    pub(crate) fn end(&self) -> i32 {
        let began = Instant::now();
        loop {
            let output = self.tmux(&["display-message", "-p", "-t", "seen", "#{pane_dead}"]);
            let code = std::fs::read_to_string(self.ended()).unwrap_or_default();
            if let (b"1\n", Ok(code)) = (output.stdout.as_slice(), code.trim().parse()) {
                return code;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the exit code is told: tmux itself does not always hear of it.
    fn ended(&self) -> std::path::PathBuf {
        self.folder.join(&self.name)
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        // Whatever runs in it ends with it.
        let _ended = self.tmux(&["kill-server"]);
    }
}
