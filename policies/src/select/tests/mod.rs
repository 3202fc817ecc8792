//! Sources as Docker would describe them, and what policies make of them.

mod labels;
mod stacks;
mod verdicts;

use crate::policy::Folder;
use crate::select::{Outcome, Source, SourceKind, User, Verdict, choose};

/// Policies by name, with lines for their `[select]`.
fn folder(policies: &[(&str, &str)]) -> Folder {
    let files = policies.iter().map(|(name, select)| {
        let table = if select.is_empty() { String::new() } else { format!("[select]\n{select}\n") };
        let rule = if name.starts_with("no-") {
            "nothing = \"because it is a cache\"\n"
        } else {
            "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n"
        };
        (format!("{name}.toml"), format!("{rule}{table}"))
    });
    Folder::judge(files).unwrap_or_else(|e| panic!("{e}"))
}

fn volume(name: &str) -> Source {
    Source {
        name: name.to_owned(),
        kind: SourceKind::Volume,
        driver: "local".to_owned(),
        labels: [].into(),
        users: Vec::new(),
    }
}

impl Source {
    fn anonymous(mut self) -> Self {
        self.kind = SourceKind::Anonymous;
        self
    }

    fn folder(mut self, path: &str) -> Self {
        self.kind = SourceKind::Folder { path: path.to_owned() };
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A container that has it mounted, with labels.
    fn user(mut self, container: &str, at: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.users.push(User { container: container.to_owned(), at: at.to_owned(), labels });
        self
    }
}

/// One line: `policy db`, `decided not`, `unprotected`, `clash a b`, `unknown x`.
fn short(outcome: &Outcome<'_>) -> String {
    match &outcome.verdict {
        Verdict::Chosen { policy, .. } => format!("policy {policy}"),
        Verdict::DecidedNot { .. } => "decided not".to_owned(),
        Verdict::Unprotected { .. } => "unprotected".to_owned(),
        Verdict::Clash { policies, .. } => format!("clash {}", policies.join(" ")),
        Verdict::UnknownPolicy { label, .. } => format!("unknown {label}"),
    }
}

fn why(outcome: &Outcome<'_>) -> String {
    match &outcome.verdict {
        Verdict::Chosen { why, .. }
        | Verdict::DecidedNot { why }
        | Verdict::Unprotected { why }
        | Verdict::Clash { why, .. }
        | Verdict::UnknownPolicy { why, .. } => why.clone(),
    }
}

/// Verdict and reason about one source.
#[track_caller]
fn check(folder: &Folder, source: &Source, want: &str, reason: &str) {
    let outcomes = choose(folder, std::slice::from_ref(source));
    assert_eq!((short(&outcomes[0]), why(&outcomes[0])), (want.to_owned(), reason.to_owned()), "{source:?}");
}

/// The verdict alone.
#[track_caller]
fn check_verdict(folder: &Folder, source: &Source, want: &str) {
    assert_eq!(short(&choose(folder, std::slice::from_ref(source))[0]), want, "{source:?}");
}
