//! What runs inside containers of the twin: a server of each kind, as a backup speaks to it, and the hooks of a policy.

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use engine::port::exec::{ExecEnd, ExecSpec};
use engine::testing::fake_docker::Program;

/// What is going on in there, and how it is going to answer.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// What was done, in order, by whoever writes it down.
    pub(crate) log: Vec<String>,
    /// Ends every program that begins: status and last words.
    pub(crate) refuses: Option<(i64, &'static str)>,
    /// Where servers keep their files.
    pub(crate) folder: &'static str,
    /// Version of the MySQL server.
    pub(crate) version: &'static str,
    /// The statement at which a session of MySQL dies.
    pub(crate) dies_at: Option<&'static str>,
    /// What MySQL says of its settings beside the usual ones.
    pub(crate) settings: &'static str,
    /// Tables of MySQL for which somebody has named a place.
    pub(crate) outside: &'static str,
    /// `before` was run, and `after` not since.
    pub(crate) is_quiet: bool,
    /// Statuses of `before` and `after`; `before` does what it does only after a while if it is negative.
    pub(crate) hooks_end: (i64, i64),
    /// Redis has an append-only log.
    pub(crate) has_log: bool,
    /// Its `auto-aof-rewrite-percentage`.
    pub(crate) percentage: String,
    /// So many times it says that it is still saving.
    pub(crate) saves_for: u32,
    /// How often it wrote its log anew.
    pub(crate) rewrites: u32,
    /// How the last save ended.
    pub(crate) saved: &'static str,
    /// What is found where rrdcached is looked for.
    pub(crate) rrdcached: &'static str,
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            log: Vec::new(),
            refuses: None,
            folder: "/data",
            version: "10.11.14-MariaDB",
            dies_at: None,
            settings: "",
            outside: "",
            is_quiet: false,
            hooks_end: (0, 0),
            has_log: true,
            percentage: "100".to_owned(),
            saves_for: 0,
            rewrites: 0,
            saved: "ok",
            rrdcached: "none",
        }
    }
}

/// Shared by the test and the programs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Inside>>);

impl Shared {
    pub(crate) fn new(inside: Inside) -> Self {
        Self(Arc::new(Mutex::new(inside)))
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.look().log.push(what.into());
    }

    /// As the programs of every container.
    pub(crate) fn programs(&self) -> Program {
        let shared = self.clone();
        Arc::new(move |spec, input, output| {
            if let Some((status, last_words)) = shared.look().refuses {
                return ended(status, last_words);
            }
            shared.serve(spec, input, output)
        })
    }

    fn serve(&self, spec: &ExecSpec, input: &mut dyn BufRead, output: &mut dyn Write) -> ExecEnd {
        let words: Vec<&str> = spec.argv.iter().map(String::as_str).collect();
        match words[..] {
            ["hook", which] => self.hook(which),
            ["sh", "-c", script, "backupd"] if script.contains("mariadb") => self.mysql(input, output),
            ["sh", "-c", script, "backupd", ref words @ ..] if script.contains("redis-cli") => {
                let said = self.redis(words);
                ended(i64::from(output.write_all(said.as_bytes()).is_err()), "")
            }
            ["sh", "-c", script, "backupd", ref places @ ..] if script.contains("rrdcached") => {
                self.rrd(places, output)
            }
            ["sh", "-c", script, "backupd", mark, "--", ..] if script.contains("backupd_mark") => {
                self.note("dump");
                let said = format!("all of it\n\n{mark} 0\n");
                ended(i64::from(output.write_all(said.as_bytes()).is_err()), "")
            }
            ["cat", manifest] if manifest.ends_with(".manifest") => {
                let said = format!("file base.{}.rdb\n", self.look().rewrites);
                ended(i64::from(output.write_all(said.as_bytes()).is_err()), "")
            }
            _ => ended(127, "no such program"),
        }
    }

    fn hook(&self, which: &str) -> ExecEnd {
        self.note(which);
        let (before, after) = self.look().hooks_end;
        let status = if which == "before" { before } else { after };
        if status < 0 {
            std::thread::sleep(Duration::from_secs(2));
        }
        self.look().is_quiet = which == "before";
        ended(status, if status == 0 { "" } else { "it went wrong" })
    }

    fn mysql(&self, input: &mut dyn BufRead, output: &mut dyn Write) -> ExecEnd {
        for line in input.lines().map_while(Result::ok) {
            let Inside { version, folder, dies_at, settings, .. } = self.look().clone();
            if dies_at.is_some_and(|statement| line.starts_with(statement)) {
                return ended(1, "ERROR 2013 (HY000): Lost connection to server during query");
            }
            let answer = match line.trim_end_matches(';') {
                show if show.starts_with("SHOW GLOBAL VARIABLES") => {
                    format!(
                        "datadir\t{folder}/\ninnodb_log_group_home_dir\t./\nversion\t{version}\n{settings}"
                    )
                }
                select if select.contains("information_schema") => self.look().outside.to_owned(),
                "SELECT CONNECTION_ID()" => "7\n".to_owned(),
                select if select.starts_with("SELECT '") => {
                    format!("{}\n", select.trim_start_matches("SELECT ").trim_matches('\''))
                }
                other => {
                    self.note(other);
                    String::new()
                }
            };
            if output.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
        ended(0, "")
    }

    fn redis(&self, words: &[&str]) -> String {
        let mut inside = self.look();
        match words {
            ["INFO"] => {
                let saving = u32::from(inside.saves_for > 0);
                inside.saves_for = inside.saves_for.saturating_sub(1);
                format!(
                    "# Server\r\nrun_id:abc\r\nloading:0\r\naof_enabled:{}\r\naof_rewrite_in_progress:{saving}\r\n\
                     aof_rewrites:{}\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:{}\r\n",
                    u32::from(inside.has_log),
                    inside.rewrites,
                    inside.saved,
                )
            }
            ["CONFIG", "GET", "dir"] => format!("dir\n{}\n", inside.folder),
            ["CONFIG", "GET", name] => format!("{name}\n{}\n", inside.percentage),
            ["CONFIG", "SET", name, value] => {
                inside.log.push(format!("{name} {value}"));
                inside.percentage = (*value).to_owned();
                "OK\n".to_owned()
            }
            ["BGSAVE"] => {
                inside.log.push("BGSAVE".to_owned());
                "Background saving started\n".to_owned()
            }
            _ => "ERR unknown command\n".to_owned(),
        }
    }

    fn rrd(&self, places: &[&str], output: &mut dyn Write) -> ExecEnd {
        let found = self.look().rrdcached;
        self.note(format!("flush {}", places.join(" ")));
        if found.is_empty() {
            return ended(127, "rrdcached runs here, and `rrdtool` is missing");
        }
        ended(i64::from(writeln!(output, "{found}").is_err()), "")
    }
}

fn ended(status: i64, last_words: &str) -> ExecEnd {
    ExecEnd { status, last_words: last_words.to_owned() }
}
