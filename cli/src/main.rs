//! `backupctl`: what people type to back up and restore the data volumes of a Docker host.
//!
//! This file reads the surroundings once, runs one verb and turns its ending into an exit code. All the
//! work is the engine's; all printing is `screen`'s.

mod args;
mod screen;
mod session;
mod settings;
mod signals;
mod verbs;
mod when;

use std::io;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use engine::failure::{Class, Failure};
use jiff::tz::TimeZone;
use serde_json::json;

use args::Cli;
use screen::Surroundings;
use screen::width::Width;
use session::Session;

/// So long the program waits in the end for work that nobody needs any more.
const LINGER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(told) => {
            // Help that nobody reads any more, as with `backupctl --help | head`.
            drop(told.print());
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(Class::Usage.exit_code()));
        }
    };
    log_to_stderr(cli.globals.verbose);
    let session = Session::new(cli.globals.clone(), look_around());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let failure = Failure::failed("start").because(e);
            session.screen.failure(&failure, json!({}));
            return ExitCode::from(failure.class.exit_code());
        }
    };
    let ended = runtime.block_on(cli.verb.run(&session));
    runtime.shutdown_timeout(LINGER);
    match ended {
        Ok(ending) => ExitCode::from(ending.exit_code()),
        // `backupctl ls db@1 | head`: the reader has seen enough.
        Err(_cut) if session.screen.is_reader_gone() => ExitCode::SUCCESS,
        Err(failure) => {
            session.screen.failure(&failure, json!({}));
            ExitCode::from(failure.class.exit_code())
        }
    }
}

fn look_around() -> Surroundings {
    let text = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let terminals = [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    Surroundings {
        terminals,
        width: Width::of(text("COLUMNS").as_deref()),
        no_color: text("NO_COLOR"),
        term: text("TERM"),
        locale: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(text).find(|set| !set.is_empty()),
        zone: TimeZone::system(),
    }
}

/// Logs are for whoever looks for a cause; what people should know comes through `screen`.
fn log_to_stderr(verbose: u8) {
    let filter = match verbose {
        0 => "error",
        1 => "warn,engine=info",
        _ => "info,engine=debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
}
