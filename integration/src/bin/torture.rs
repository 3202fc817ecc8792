//! `make torture`: recipes many times over with real servers, and a table of what came out.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use integration::bench::marks::Part;
use integration::torture::freeze::freezes;
use integration::torture::recipe::{Recipe, recipes};
use integration::torture::row::{Row, table};
use integration::torture::{Amount, COPY_BYTES_PER_SECOND, torture};

const USAGE: &str = "usage: torture [--cycles N] [--controls N] [--kills N] [--minutes N] [--only WORD] [--at-once N] [--write DOCUMENT]\n       \
     torture --freeze MIB [--on xfs|btrfs] [--write DOCUMENT]";

struct Asked {
    amount: Amount,
    only: String,
    /// Recipes at the same time, which makes all of them slower and the whole faster.
    at_once: u32,
    /// A server of so many MiB is held, and nothing else is done.
    freeze: Option<u32>,
    /// Its volume lies on a file system of this kind.
    on: Option<String>,
    document: Option<PathBuf>,
}

fn asked() -> io::Result<Asked> {
    let minute = Duration::from_secs(60);
    let amount = Amount { cycles: 200, controls: 20, kills: 20, longest: 24 * 60 * minute };
    let mut asked = Asked { amount, only: String::new(), at_once: 1, freeze: None, on: None, document: None };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| io::Error::other(USAGE))?;
        let number = || value.parse::<u32>().map_err(|_e| io::Error::other(USAGE));
        match flag.as_str() {
            "--cycles" => asked.amount.cycles = number()?,
            "--controls" => asked.amount.controls = number()?,
            "--kills" => asked.amount.kills = number()?,
            "--minutes" => asked.amount.longest = minute * number()?,
            "--at-once" => asked.at_once = number()?.max(1),
            "--freeze" => asked.freeze = Some(number()?),
            "--on" if ["xfs", "btrfs"].contains(&value.as_str()) => asked.on = Some(value),
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
    if let Some(mib) = asked.freeze {
        let earlier = asked.document.as_ref().map(|document| Part::Freeze.read(document)).transpose()?;
        let earlier = earlier.unwrap_or_default();
        let (table, faults) =
            freezes(mib, asked.on.as_deref(), &earlier, |step| eprintln!("torture: {step}"))?;
        match &asked.document {
            Some(document) => Part::Freeze.write(document, &table)?,
            None => println!("{table}"),
        }
        return Ok(faults);
    }
    let all = recipes();
    let left: VecDeque<&Recipe> = all.iter().filter(|recipe| recipe.name.contains(&asked.only)).collect();
    let work = Work {
        asked,
        began: Instant::now(),
        order: all.iter().map(|recipe| recipe.name).collect(),
        left: Mutex::new(left),
        rows: Mutex::default(),
    };
    thread::scope(|scope| {
        let at_once: Vec<_> = (0..asked.at_once).map(|_| scope.spawn(|| work.go_on())).collect();
        at_once.into_iter().try_for_each(|one| {
            one.join().map_err(|_panic| io::Error::other("BUG: a recipe panicked")).and_then(|done| done)
        })
    })?;
    let rows = work.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(rows.iter().flat_map(Row::faults).collect())
}

/// What is left to do, and what came out so far.
struct Work<'a> {
    asked: &'a Asked,
    began: Instant,
    order: Vec<&'static str>,
    left: Mutex<VecDeque<&'a Recipe>>,
    rows: Mutex<Vec<Row>>,
}

impl Work<'_> {
    /// Does one recipe after another, beside others who do so.
    fn go_on(&self) -> io::Result<()> {
        while let Some((recipe, amount)) = self.next() {
            let row = torture(recipe, amount, |row| {
                eprintln!("torture: {}: {} of {}", row.name, row.cycles, amount.cycles);
            });
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.push(row);
            self.write(&rows)?;
        }
        Ok(())
    }

    /// Those that are left share the time that is left.
    fn next(&self) -> Option<(&Recipe, Amount)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = u32::try_from(left.len()).unwrap_or(u32::MAX).div_ceil(self.asked.at_once);
        let recipe = left.pop_front()?;
        let time = self.asked.amount.longest.saturating_sub(self.began.elapsed());
        Some((recipe, Amount { longest: time / turns.max(1), ..self.asked.amount }))
    }

    fn write(&self, rows: &[Row]) -> io::Result<()> {
        let Some(document) = &self.asked.document else {
            println!("{}", table(&conditions(self.asked.at_once)?, &self.order, rows, ""));
            return Ok(());
        };
        let earlier = std::fs::read_to_string(document)?;
        Part::Torture.write(document, &table(&conditions(self.asked.at_once)?, &self.order, rows, &earlier))
    }
}

fn conditions(at_once: u32) -> io::Result<String> {
    Ok(format!(
        "{} on {} cores, recipes at once: {at_once}; a recipe's row is of its newest run, which may have been bounded by time instead of cycles; naive \
         copies are made file after file at {} MiB/s.",
        if cfg!(debug_assertions) { "Debug build" } else { "Release build" },
        std::thread::available_parallelism()?,
        COPY_BYTES_PER_SECOND >> 20,
    ))
}
