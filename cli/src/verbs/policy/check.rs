//! `backupctl policy check`: no Docker, no store; also for the repository in which policies are reviewed.

use std::path::Path;

use engine::failure::{Class, Failure};
use engine::usecase::cover::{Trust, Unread, policies, read_folder};
use policies::complaint::Complaints;
use policies::policy::Folder;
use serde_json::{Value, json};

use crate::screen::{plain, units};
use crate::session::{Ending, Session};

pub(crate) fn run(dir: Option<&Path>, session: &Session) -> Result<Ending, Failure> {
    let judged = match dir {
        Some(dir) => read_folder(dir, Trust::Anybodys),
        None => policies(&session.places()?).map(|policies| policies.folder),
    };
    let screen = &session.screen;
    match judged {
        // Whatever was meant to be backed up, nothing is.
        Ok(folder) if folder.policies().is_empty() => {
            let places = session.places()?;
            let dir = dir.unwrap_or(&places.policies).display();
            return Err(Failure::not_found(format!("there is no policy in `{dir}`"))
                .hint("policies are files `NAME.toml`; is it the right folder?"));
        }
        Ok(folder) if screen.is_json() => screen.value(&json!([])).map(|()| folder.policies().len()),
        Ok(folder) => screen.result(&content(&folder)).map(|()| folder.policies().len()),
        Err(Unread::Folder(failure)) => return Err(failure),
        Err(Unread::Files(complaints)) => {
            if screen.is_json() {
                screen.value(&values(&complaints))?;
            } else {
                screen.result(&format!("{}\n", lines(&complaints)))?;
            }
            return Ok(Ending::With(Class::Usage));
        }
    }
    .map(|_policies| Ending::Done)
}

fn content(folder: &Folder) -> String {
    let count = folder.policies().len() as u64;
    format!("{}, nothing is wrong\n", units::counted(count, "policy", "policies"))
}

/// As compilers do, so that editors can jump there.
fn lines(complaints: &Complaints) -> String {
    complaints.to_string().lines().map(plain::line).collect::<Vec<_>>().join("\n")
}

fn values(complaints: &Complaints) -> Value {
    let value = |complaint: &policies::complaint::Complaint| {
        json!({
            "file": complaint.file, "line": complaint.line, "column": complaint.column,
            "message": complaint.message,
        })
    };
    complaints.all.iter().map(value).collect()
}
