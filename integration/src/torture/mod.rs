//! `make torture`: every recipe many times over, with backups that are killed on the way, beside copies that are made
//! naively. Writes what came out, and nothing that did not.

pub mod freeze;
pub mod recipe;
pub mod row;

use std::io;
use std::time::{Duration, Instant};

use self::recipe::Recipe;
use self::row::Row;
use crate::databases::Verdict;
use crate::databases::cycle::Subject;
use crate::databases::place::Place;

/// A server starts on a new volume after so many cycles, so that neither it nor its ledger grows without end.
const FRESH_AFTER: u32 = 10;

/// A plain copy takes seconds, as one over a network or onto a slower disk does.
pub const COPY_BYTES_PER_SECOND: u64 = 5 << 20;

/// A kill that is due is repeated until one came while somebody was held, each within half the time of the one before.
const KILLS_MAX: u32 = 8;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Of each recipe.
    pub cycles: u32,
    /// Naive copies beside them, of each server once.
    pub controls: u32,
    /// Killed backups beside them, of each recipe.
    pub kills: u32,
    /// Of each recipe: no cycle is begun afterwards.
    pub longest: Duration,
}

impl Amount {
    /// Whether one of `of`, spread evenly over all cycles, is due with this cycle.
    fn is_due(&self, of: u32, cycle: u32) -> bool {
        let before = u64::from(cycle) * u64::from(of) / u64::from(self.cycles.max(1));
        let after = u64::from(cycle + 1) * u64::from(of) / u64::from(self.cycles.max(1));
        after > before
    }
}

/// Does one recipe. `tell` hears of every cycle. What stops it before its time is a fault of the row, which stays.
pub fn torture(recipe: &Recipe, amount: Amount, tell: impl FnMut(&Row)) -> Row {
    let mut row = Row::new(recipe);
    if let Err(why) = servers(recipe, amount, &mut row, tell) {
        row.complaints.push(format!("it broke off: {why}"));
    }
    row
}

fn servers(recipe: &Recipe, amount: Amount, row: &mut Row, mut tell: impl FnMut(&Row)) -> io::Result<()> {
    let began = Instant::now();
    while row.cycles < amount.cycles && began.elapsed() < amount.longest {
        let place = Place::named("bkd-torture")?;
        let mut subject = recipe.subject(&place)?;
        // What earlier servers acknowledged was judged with them.
        let mut counted = 0;
        for _cycle in 0..FRESH_AFTER {
            if row.cycles == amount.cycles || began.elapsed() >= amount.longest {
                break;
            }
            beside(&mut subject, recipe, amount, row)?;
            let cycle = subject.cycle(recipe.mode)?;
            let broken = cycle.verdict.is_err();
            row.add(&cycle, cycle.acknowledged - counted);
            counted = cycle.acknowledged;
            tell(row);
            // What is broken stays broken: the next cycle begins with a new server.
            if broken {
                break;
            }
        }
    }
    Ok(())
}

/// What is due beside the next cycle: naive copies, and backups that are killed.
fn beside(subject: &mut Subject<'_>, recipe: &Recipe, amount: Amount, row: &mut Row) -> io::Result<()> {
    if recipe.has_control && amount.is_due(amount.controls, row.cycles) {
        row.add_control(&control(recipe)?);
    }
    if !amount.is_due(amount.kills, row.cycles) {
        return Ok(());
    }
    let writer = subject.write()?;
    // Any moment of a freeze, or of a whole backup where nobody is held.
    let (mut longest, once_held) = match recipe.holds() {
        true => (row.longest_freeze.max(0.05), true),
        false => (row.longest_backup.max(0.5), false),
    };
    let mut has_held = false;
    for _try in 0..if once_held { KILLS_MAX } else { 1 } {
        let share =
            f64::from(getrandom::u32().map_err(|e| io::Error::other(e.to_string()))?) / f64::from(u32::MAX);
        let cut = subject.cut(&writer, recipe.mode, Duration::from_secs_f64(longest * share), once_held)?;
        row.add_cut(&cut);
        has_held = cut.held;
        if has_held {
            break;
        }
        // Most freezes are far shorter than the longest one, and what it took to begin it counts as held.
        longest /= 2.0;
    }
    row.missed += u32::from(once_held && !has_held);
    // Its numbers were said and need not be there; those of the cycle come after.
    subject.forget(writer);
    Ok(())
}

/// A naive copy of a server that is new. The journals of an older one are copied first, and by the turn of the newest rrdcached
/// has written what it held back when the copy began: nothing would be missing.
fn control(recipe: &Recipe) -> io::Result<Verdict> {
    let place = Place::named("bkd-torture")?;
    let subject = recipe.subject(&place)?;
    let writer = subject.write()?;
    subject.naive(&writer, COPY_BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_beside_is_spread_evenly() {
        let amount = Amount { cycles: 200, controls: 20, kills: 500, longest: Duration::MAX };
        let due = |of: u32| (0..200).filter(|cycle| amount.is_due(of, *cycle)).count();
        assert_eq!((due(amount.controls), due(amount.kills), due(0)), (20, 200, 0));
        assert!(!amount.is_due(20, 0) && amount.is_due(20, 9));
    }
}
