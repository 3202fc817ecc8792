//! Redis and Valkey: their own programs check the files as they lie, then a server loads them.
//!
//! The server is told to append exactly if there are append-only files: one that appends begins empty where there are
//! none, and says nothing.

use std::time::Duration;

use super::shell::first_of;
use super::signs::{Place, Signs};
use super::stage::{Answer, Asked, Found, Ready, Stage, first_lines};
use crate::failure::{Class, Failure};
use crate::usecase::guest::Said;

const STOP_GRACE: Duration = Duration::from_secs(60);

/// Lines of a checker that are told.
const LINES: usize = 3;

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
        let rdb = self.signs.rdb.first().map(|place| ("redis-check-rdb", "valkey-check-rdb", place));
        let aof = self.signs.aof.first().map(|place| ("redis-check-aof", "valkey-check-aof", place));
        for (program, other, place) in rdb.into_iter().chain(aof) {
            let file = format!("{}/{}", self.root, place.file);
            let ended = self.stage.once(first_of(&[program, other], &[&file]), &self.place.user()).await?;
            match ended.status {
                0 => {}
                127 => return Ok(Found::Missing(format!("the image has no `{program}`"))),
                _ => {
                    return Ok(Found::Bad(format!(
                        "{program}: {}",
                        first_lines(last_part(&ended.said), LINES)
                    )));
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
        Ok(Found::Good(format!(
            "its files are whole, and {} keys were loaded from them",
            count(&keys.stdout)
        )))
    }

    fn start(&self) -> Vec<String> {
        let folder = match self.place.folder.is_root() {
            true => self.root.clone(),
            false => format!("{}/{}", self.root, self.place.folder),
        };
        let mut arguments: Vec<String> =
            ["--port", "0", "--unixsocket", "/tmp/redis.sock", "--save", "", "--dir"]
                .map(str::to_owned)
                .to_vec();
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
