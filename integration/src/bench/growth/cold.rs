//! Many small files of which nothing is in memory: then a backup waits for the disk, and how it asks is what counts.

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use super::{Growing, of_count, settle};
use crate::bench::peers::Attempt;
use crate::bench::results::median;
use crate::bench::server::{Server, ServerKind};
use crate::bench::table::seconds;
use crate::bench::tools::Tool;

/// Backups that a median is of.
const TIMES: u32 = 3;

/// Beside ours: what asks for one file after another, and what reads two at a time.
const TOOLS: [Tool; 3] = [Tool::Backupctl, Tool::TarZstd, Tool::Restic];

/// Measures the files that are there, and gives the part of the document.
pub(super) fn cold(growing: &Growing<'_>, say: &dyn Fn(&str)) -> io::Result<String> {
    let mut rows = Vec::new();
    for tool in TOOLS {
        say(&format!("nothing in memory, {}", tool.name()));
        let (mut full, mut unchanged) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let server = Server::start(ServerKind::Ours)?;
            let attempt = Attempt::new(tool, growing.docker, &server, &growing.subject)?;
            full.push(timed(&attempt)?);
            if tool.is_incremental() {
                unchanged.push(timed(&attempt)?);
            }
        }
        rows.push((tool, median(full), median(unchanged)));
    }
    Ok(table(&of_count(growing.size), &rows))
}

/// A backup by somebody who has to fetch all of it from the disk.
fn timed(attempt: &Attempt<'_>) -> io::Result<f64> {
    settle();
    forget_files()?;
    Ok(attempt.back_up()?.wall.as_secs_f64())
}

/// Has the kernel forget files, folders and inodes.
fn forget_files() -> io::Result<()> {
    let told = OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches");
    told.and_then(|mut file| file.write_all(b"3\n")).map_err(|why| {
        io::Error::other(format!("cannot empty the kernel's memory of files, which takes root: {why}"))
    })
}

fn table(what: &str, rows: &[(Tool, Option<f64>, Option<f64>)]) -> String {
    let mut out = format!(
        "{what} of two kilobytes, where the kernel remembers none of them, nor any program. Medians of {TIMES}.\n\n\
         | | full, s | nothing changed, s |\n| --- | ---: | ---: |\n"
    );
    for (tool, full, unchanged) in rows {
        let cells = [full, unchanged].map(|time| time.map_or_else(|| "-".to_owned(), seconds));
        out.push_str(&format!("| {} | {} |\n", tool.name(), cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_knows_nothing_has_no_second_figure() {
        let table = table(
            "100 k files",
            &[(Tool::Backupctl, Some(2.0), Some(0.5)), (Tool::TarZstd, Some(9.0), None)],
        );
        assert!(table.ends_with("| backupctl | 2.00 | 0.50 |\n| tar+zstd | 9.00 | - |\n"), "{table}");
    }
}
