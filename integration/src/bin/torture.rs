//! `make torture`: recipes many times over with real servers, and a table of what came out.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use integration::bench::marks::Part;
use integration::torture::recipe::recipes;
use integration::torture::row::{Row, table};
use integration::torture::{Amount, COPY_BYTES_PER_SECOND, torture};

const USAGE: &str =
    "usage: torture [--cycles N] [--controls N] [--kills N] [--minutes N] [--only WORD] [--write DOCUMENT]";

struct Asked {
    amount: Amount,
    only: String,
    document: Option<PathBuf>,
}

fn asked() -> io::Result<Asked> {
    let minute = Duration::from_secs(60);
    let amount = Amount { cycles: 200, controls: 20, kills: 20, longest: 24 * 60 * minute };
    let mut asked = Asked { amount, only: String::new(), document: None };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| io::Error::other(USAGE))?;
        let number = || value.parse::<u32>().map_err(|_e| io::Error::other(USAGE));
        match flag.as_str() {
            "--cycles" => asked.amount.cycles = number()?,
            "--controls" => asked.amount.controls = number()?,
            "--kills" => asked.amount.kills = number()?,
            "--minutes" => asked.amount.longest = minute * number()?,
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

/// Gives what is not as it should be. The document has all that is done so far after each recipe, and of those that this
/// run is not about what an earlier one wrote.
fn run(asked: &Asked) -> io::Result<Vec<String>> {
    let (began, all) = (Instant::now(), recipes());
    let order: Vec<&str> = all.iter().map(|recipe| recipe.name).collect();
    let recipes: Vec<_> = all.iter().filter(|recipe| recipe.name.contains(&asked.only)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (done, recipe) in recipes.iter().enumerate() {
        // Those that are left share the time that is left.
        let left = asked.amount.longest.saturating_sub(began.elapsed());
        let share = left / u32::try_from(recipes.len() - done).unwrap_or(u32::MAX);
        let amount = Amount { longest: share, ..asked.amount };
        rows.push(torture(recipe, amount, |row| {
            eprintln!("torture: {}: {} of {}", row.name, row.cycles, amount.cycles);
        }));
        match &asked.document {
            Some(document) => {
                let earlier = std::fs::read_to_string(document)?;
                Part::Torture.write(document, &table(&conditions()?, &order, &rows, &earlier))?;
            }
            None => println!("{}", table(&conditions()?, &order, &rows, "")),
        }
    }
    Ok(rows.iter().flat_map(Row::faults).collect())
}

fn conditions() -> io::Result<String> {
    Ok(format!(
        "{} on {} cores; a recipe's row is of its newest run, which may have been bounded by time instead of cycles; naive \
         copies are made file after file at {} MiB/s.",
        if cfg!(debug_assertions) { "Debug build" } else { "Release build" },
        std::thread::available_parallelism()?,
        COPY_BYTES_PER_SECOND >> 20,
    ))
}
