//! `make torture`: recipes many times over with real servers, and a table of what came out.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use integration::bench::marks::Part;
use integration::torture::recipe::recipes;
use integration::torture::row::{Row, table};
use integration::torture::{Amount, torture};

const USAGE: &str =
    "usage: torture [--cycles N] [--controls N] [--kills N] [--hours N] [--only WORD] [--write DOCUMENT]";

struct Asked {
    amount: Amount,
    only: String,
    document: Option<PathBuf>,
}

fn asked() -> io::Result<Asked> {
    let hour = Duration::from_secs(3600);
    let amount = Amount { cycles: 200, controls: 20, kills: 20, longest: 24 * hour };
    let mut asked = Asked { amount, only: String::new(), document: None };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| io::Error::other(USAGE))?;
        let number = || value.parse::<u32>().map_err(|_e| io::Error::other(USAGE));
        match flag.as_str() {
            "--cycles" => asked.amount.cycles = number()?,
            "--controls" => asked.amount.controls = number()?,
            "--kills" => asked.amount.kills = number()?,
            "--hours" => asked.amount.longest = hour * number()?,
            "--only" => asked.only.clone_from(&value),
            "--write" => asked.document = Some(PathBuf::from(&value)),
            _ => return Err(io::Error::other(USAGE)),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run(&asked)) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("torture: {fault}"));
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("torture: {why}");
            ExitCode::from(2)
        }
    }
}

/// Gives what is not as it should be. What was measured before something went wrong is shown all the same.
fn run(asked: &Asked) -> io::Result<Vec<String>> {
    let began = Instant::now();
    let mut rows: Vec<Row> = Vec::new();
    let mut broken = None;
    for recipe in recipes().into_iter().filter(|recipe| recipe.name.contains(&asked.only)) {
        let tell = |row: &Row| {
            eprintln!("torture: {}: {} of {}", row.name, row.cycles, asked.amount.cycles);
        };
        match torture(&recipe, asked.amount, began, tell) {
            Ok(row) => rows.push(row),
            Err(why) => {
                broken = Some(format!("{}: {why}", recipe.name));
                break;
            }
        }
    }
    let profile = if cfg!(debug_assertions) { "Debug build" } else { "Release build" };
    let conditions = format!(
        "{profile} on {} cores, {} minutes; naive copies are made file after file at 20 MiB/s.",
        std::thread::available_parallelism()?,
        began.elapsed().as_secs() / 60
    );
    let text = table(&conditions, &rows);
    println!("{text}");
    if let Some(why) = broken {
        return Err(io::Error::other(why));
    }
    if let Some(document) = &asked.document {
        Part::Torture.write(document, &text)?;
    }
    Ok(rows.iter().flat_map(Row::faults).collect())
}
