//! Redis and Valkey: their own programs check the files as they lie, then a server loads them.
//!
//! The server is told to append exactly if there are append-only files: one that appends begins empty where there are
//! none, and says nothing. A log that was copied while it grew may end within a command, which a server leaves out when it
//! loads: that is no damage, if it is that one command and nothing behind it.

use std::time::Duration;

use super::shell::{first_of, line};
use super::signs::{Place, Signs};
use super::stage::{Answer, Asked, Ended, Found, Ready, Stage, first_lines};
use crate::failure::{Class, Failure};
use crate::usecase::guest::Said;

const STOP_GRACE: Duration = Duration::from_secs(60);

/// Lines of a checker that are told.
const LINES: usize = 3;

/// Arguments: a file, how many bytes of its end were not understood. Ends well if no other command begins in these.
const CUT: &str =
    "[ \"$(tail -c \"$2\" \"$1\" | LC_ALL=C sed -n '/^\\*[0-9][0-9]*.\\{0,1\\}$/p' | wc -l)\" -le 1 ]\n";

/// The files of a server.
pub(super) struct Files<'a> {
    pub(super) stage: &'a Stage<'a>,
    pub(super) signs: &'a Signs,
    pub(super) place: &'a Place,
    /// The folder of the snapshot's root in the trial, without a slash at the end.
    pub(super) root: String,
}

impl Files<'_> {
    /// Refuses an image without a server before anything is fetched for it.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        let ended =
            self.stage.ask_image(first_of(&["redis-server", "valkey-server"], &["--version"])).await?;
        if ended.status == 0 {
            return Ok(());
        }
        let image = &self.stage.image_name;
        Err(Failure::new(Class::NotFound, format!("image `{image}` has no server of Redis"))
            .because(ended.why)
            .hint("name an image with `--image`, or `image` in `[drill]` of its policy"))
    }

    /// Judges the restored files.
    pub(super) async fn judge(&self) -> Result<Found, Failure> {
        let mut left_out = 0;
        if let Some(rdb) = self.signs.rdb.first() {
            let (ended, _file) = self.check("redis-check-rdb", "valkey-check-rdb", rdb).await?;
            if let Some(found) = not_whole("redis-check-rdb", &ended) {
                return Ok(found);
            }
        }
        if let Some(aof) = self.signs.aof.first() {
            let (ended, file) = self.check("redis-check-aof", "valkey-check-aof", aof).await?;
            if let Some(found) = not_whole("redis-check-aof", &ended) {
                left_out = self.cut(&ended.said, &file).await?;
                if left_out == 0 {
                    return Ok(found);
                }
            }
        }
        let mut server = self.stage.server(self.start(), &self.place.user()).await?;
        let info = client(&["INFO", "persistence"]);
        match server.ready(&info, loaded).await? {
            Ready::Up => {}
            Ready::Down(why) | Ready::Refused(why) => return Ok(Found::Bad(why)),
        }
        let keys = server.ask(&client(&["INFO", "keyspace"])).await;
        // Its words are kept whatever was found.
        let stopped = server.stop(STOP_GRACE).await;
        let (keys, _stopped) = (keys?, stopped?);
        let keys = match keys {
            Asked::Said(said) => said,
            Asked::Gone(why) => return Ok(Found::Bad(why)),
        };
        if keys.status != 0 {
            return Ok(Found::Bad(format!("it was loaded and does not answer: {}", keys.last_words)));
        }
        let whole = match left_out {
            0 => "its files are whole".to_owned(),
            bytes => format!(
                "its files are whole, but for a last command of {bytes} bytes that was being written and is left out"
            ),
        };
        Ok(Found::Good(format!("{whole}, and {} keys were loaded from them", count(&keys.stdout))))
    }

    /// What the program of either name says of a file.
    async fn check(&self, program: &str, other: &str, place: &Place) -> Result<(Ended, String), Failure> {
        let file = format!("{}/{}", self.root, place.file);
        let ended = self.stage.once(first_of(&[program, other], &[&file]), &self.place.user()).await?;
        Ok((ended, file))
    }

    /// How many bytes of an unfinished command a log ends with, by what its checker said; 0 if that is not all.
    async fn cut(&self, said: &str, checked: &str) -> Result<u64, Failure> {
        let Some(tail) = tail_of(said) else { return Ok(0) };
        // A log of several files is checked by its manifest, which lies beside them.
        let file = match (tail.file, checked.rsplit_once('/')) {
            (Some(name), Some((folder, _manifest))) => format!("{folder}/{name}"),
            (Some(_), None) | (None, _) => checked.to_owned(),
        };
        let argv = line(CUT, &[&file, &tail.bytes.to_string()]);
        let ended = self.stage.once(argv, &self.place.user()).await?;
        Ok(if ended.status == 0 { tail.bytes } else { 0 })
    }

    fn start(&self) -> Vec<String> {
        let folder = match self.place.folder.is_root() {
            true => self.root.clone(),
            false => format!("{}/{}", self.root, self.place.folder),
        };
        let ours = [
            "--port",
            "0",
            "--unixsocket",
            "/tmp/redis.sock",
            "--save",
            "",
            "--auto-aof-rewrite-percentage",
            "0",
            // In front of us, speaking to us, and asking us for no password.
            "--daemonize",
            "no",
            "--logfile",
            "",
            "--requirepass",
            "",
            "--dir",
        ];
        let mut arguments = self.stage.arguments.clone();
        arguments.extend(ours.map(str::to_owned));
        arguments.push(folder);
        let appends = self.signs.aof.first();
        arguments.extend(["--appendonly", if appends.is_some() { "yes" } else { "no" }].map(str::to_owned));
        let names: Vec<&[u8]> = appends.map(|place| place.file.components().collect()).unwrap_or_default();
        if let [.., folder, file] = names[..]
            && let Some(name) = file.strip_suffix(b".manifest")
        {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            arguments.extend(["--appenddirname".to_owned(), text(folder)]);
            arguments.extend(["--appendfilename".to_owned(), text(name)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        first_of(&["redis-server", "valkey-server"], &arguments)
    }
}

fn not_whole(program: &str, ended: &Ended) -> Option<Found> {
    match ended.status {
        0 => None,
        127 => Some(Found::Missing(format!("the image has no `{program}`"))),
        _ => Some(Found::Bad(format!("{program}: {}", first_lines(last_part(&ended.said), LINES)))),
    }
}

/// The end of a log that was not understood.
#[derive(Debug, PartialEq, Eq)]
struct Tail<'a> {
    file: Option<&'a str>,
    bytes: u64,
}

/// Of a log that ended where more was expected: `AOF analyzed: filename=a.1.incr.aof, size=9, ok_up_to=5, …, diff=4`. Old
/// servers have one file, and do not name it.
fn tail_of(said: &str) -> Option<Tail<'_>> {
    let is_short = |line: &str| {
        let after = |word| line.split(word).nth(1)?.split(' ').next()?.parse::<u64>().ok();
        line.contains("Unexpected EOF")
            || after("got ").zip(after("to read ")).is_some_and(|(got, of)| got < of)
    };
    let analyzed = said.lines().rfind(|line| line.contains("AOF analyzed:"))?;
    let field = |name: &str| analyzed.split(name).nth(1)?.split(',').next().map(str::trim);
    let bytes = field("diff=")?.parse().ok().filter(|bytes| *bytes > 0)?;
    said.lines().any(is_short).then_some(Tail { file: field("filename="), bytes })
}

fn client(words: &[&str]) -> Vec<String> {
    first_of(&["redis-cli", "valkey-cli"], &[&["-s", "/tmp/redis.sock"][..], words].concat())
}

/// It answers while it still loads.
fn loaded(said: &Said) -> Answer {
    let has = |line: &str| said.stdout.lines().any(|one| one.trim() == line);
    if said.status == 0 && has("loading:0") { Answer::Ready } else { Answer::NotYet }
}

/// `12` of `db0:keys=10,expires=0` and `db3:keys=2,…`.
fn count(keyspace: &str) -> u64 {
    let keys = keyspace
        .lines()
        .filter_map(|line| line.split("keys=").nth(1)?.split(',').next()?.trim().parse::<u64>().ok());
    keys.sum::<u64>()
}

/// What a checker says at last matters; before it come lines of progress.
fn last_part(said: &str) -> &str {
    let starts = said.char_indices().filter(|(_, c)| *c == '\n').map(|(at, _)| at);
    let from = starts.rev().nth(LINES).unwrap_or(0);
    &said[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_too_early_is_told_from_one_that_is_wrong() {
        let short = "0x           7718d: Expected to read 202 bytes, got 102 bytes\n\
                     AOF analyzed: filename=a.1.incr.aof, size=487923, ok_up_to=487779, ok_up_to_line=14005, diff=144\n\
                     AOF a.1.incr.aof is not valid. Use the --fix option to try fixing it.\n";
        assert_eq!(tail_of(short), Some(Tail { file: Some("a.1.incr.aof"), bytes: 144 }));
        let old =
            "0x  1: Expected to read 5 bytes, got 0 bytes\nAOF analyzed: size=19, ok_up_to=15, diff=4\n";
        assert_eq!(tail_of(old), Some(Tail { file: None, bytes: 4 }));
        let wrong = short.replace("Expected to read 202 bytes, got 102 bytes", "Expected \\r\\n, got: 4b46");
        assert_eq!(tail_of(&wrong), None);
        assert_eq!(tail_of("Cannot open file"), None);
    }

    /// One that lies about a length reads on into the commands behind it.
    #[test]
    fn a_cut_is_the_end_of_one_command() {
        let check = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file.as_file(), text.as_bytes()).unwrap();
            let argv = line(CUT, &[file.path().to_str().unwrap(), &text.len().to_string()]);
            std::process::Command::new(&argv[0]).args(&argv[1..]).status().unwrap().success()
        };
        assert!(check("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9\r\n12"));
        assert!(check("*3\r\n$3\r\nSE") && check("*") && check("*3\r"));
        assert!(!check("*3\r\n$3\r\nSET\r\n$999\r\na\r\n$1\r\n1\r\n*1\r\n$4\r\nPING\r\n"));
    }

    #[test]
    fn keys_of_all_databases_count() {
        assert_eq!(count("# Keyspace\r\ndb0:keys=10,expires=0,avg_ttl=0\r\ndb3:keys=2,expires=2\r\n"), 12);
        assert_eq!(count("# Keyspace\r\n"), 0);
    }

    #[test]
    fn a_server_is_up_when_it_has_loaded() {
        let said = |stdout: &str| Said { status: 0, stdout: stdout.to_owned(), last_words: String::new() };
        assert!(matches!(loaded(&said("# Persistence\r\nloading:0\r\n")), Answer::Ready));
        assert!(matches!(loaded(&said("# Persistence\r\nloading:1\r\n")), Answer::NotYet));
        assert!(matches!(loaded(&said("async_loading:0\r\n")), Answer::NotYet));
    }

    #[test]
    fn the_last_lines_of_a_checker_are_told() {
        assert_eq!(first_lines(last_part("a\nb\nc\nd\ne\n"), LINES), "c; d; e");
        assert_eq!(last_part("a"), "a");
    }
}
