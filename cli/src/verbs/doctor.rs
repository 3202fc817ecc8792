//! `backupctl doctor`.

use engine::failure::{Class, Failure};
use engine::usecase::doctor::{Check, Verdict, doctor};

use crate::screen::paint::{Paint, Style};
use crate::screen::plain;
use crate::screen::table::{Cell, Side, Table};
use crate::session::{Ending, Session};

/// Check that backing up and restoring would work here
///
/// Looks at the state folder, the catalog, policies, each store (its owner, conditional writes, whether this key may write
/// and delete, its clock, its room), Docker, the helper and drills, and says what to do about each thing that is wrong.
/// Changes nothing that matters; exit code 1 when anything is bad.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backupctl doctor
  backupctl --store s3://bucket/prefix doctor --json")]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<Ending, Failure> {
    let checks = match session.open().await {
        Ok(host) => doctor(&host, session.stores(&host)?.named(), &session.places()?).await,
        // A settings file that makes no sense is no finding about this host.
        Err(failure) if failure.class == Class::Usage => return Err(failure),
        Err(failure) => vec![Check {
            what: "this host".to_owned(),
            verdict: Verdict::Bad,
            found: failure.to_string(),
            fix: failure.hint,
        }],
    };
    let screen = &session.screen;
    if screen.is_json() {
        screen.value(&checks)?;
    } else {
        screen.result(&text(&checks, screen.width(), screen.paint()))?;
    }
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    Ok(if bad { Ending::With(Class::Failed) } else { Ending::Done })
}

/// The table, then what to do; fixes are commands, each on its line.
fn text(checks: &[Check], width: Option<usize>, paint: Paint) -> String {
    let mut table = Table::new(&[("CHECK", Side::Left), ("STATE", Side::Left), ("FOUND", Side::Left)]);
    let mut fixes = String::new();
    for check in checks {
        let (word, style) = match check.verdict {
            Verdict::Good => ("good", Style::Good),
            Verdict::Warning => ("warning", Style::Warning),
            Verdict::Bad => ("bad", Style::Bad),
        };
        table.row(vec![check.what.as_str().into(), Cell::styled(word, style), check.found.as_str().into()]);
        if let Some(fix) = check.fix.as_ref().filter(|_| check.verdict != Verdict::Good) {
            fixes += &format!("\n{}:\n", plain::line(&check.what));
            fixes += &format!("  {} {}\n", paint.style("fix:", Style::Good), plain::line(fix));
        }
    }
    table.render(width, paint) + &fixes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let check = |what: &str, verdict, found: &str, fix: Option<&str>| Check {
            what: what.into(),
            verdict,
            found: found.into(),
            fix: fix.map(str::to_owned),
        };
        vec![
            check("docker", Verdict::Good, "29.1.3 at unix:///var/run/docker.sock", None),
            check("clock", Verdict::Warning, "4 s behind the store", Some("timedatectl set-ntp true")),
            check("store", Verdict::Bad, "connect to `s3\x1b[2J`: refused", Some("check `--store`")),
        ]
    }

    #[test]
    fn every_check_has_a_row_and_every_finding_a_fix() {
        let want = "\
CHECK   STATE    FOUND
docker  good     29.1.3 at unix:///var/run/docker.sock
clock   warning  4 s behind the store
store   bad      connect to `s3\\u{1b}[2J`: refused

clock:
  fix: timedatectl set-ntp true

store:
  fix: check `--store`
";
        assert_eq!(text(&checks(), None, Paint::OFF), want);
    }

    #[test]
    fn on_a_narrow_terminal_what_is_found_is_still_told_whole() {
        let narrow = text(&checks(), Some(46), Paint::OFF);
        let want = "\
docker  good     29.1.3 at
                 unix:///var/run/docker.sock
clock   warning  4 s behind the store
store   bad      connect to `s3\\u{1b}[2J`:
                 refused
";
        assert!(narrow.contains(want), "{narrow}");
    }
}
