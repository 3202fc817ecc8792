//! A folder of policies: all files together, judged at once.
//!
//! Always true: there is a folder only if nothing is wrong with any of its files. One bad file makes the
//! whole folder bad, because leaving a policy out would leave its sources without protection, silently.
//! Whoever reads files keeps the folder that was good before.

use std::collections::BTreeMap;

use crate::complaint::{Complaint, Complaints, locate, shown};
use crate::policy::{Policy, Written, read_file};
use crate::select::Select;

/// The policies of a folder, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    policies: Vec<Policy>,
}

impl Folder {
    /// Judges files, given by names such as `db.toml` and their texts, in any order.
    ///
    /// All that is wrong with any of them is told at once, and what is wrong between them: two that would
    /// claim the same wherever they are used. Two that claim one source on some host only is found there,
    /// by [`crate::select::choose`].
    pub fn judge<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, Complaints> {
        let mut files: Vec<(N, T)> = files.into_iter().collect();
        files.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        let (mut good, mut all) = (Vec::new(), Vec::new());
        for (file, text) in &files {
            match read_file(file.as_ref(), text.as_ref()) {
                Ok(written) => good.push(Entry { file: file.as_ref(), text: text.as_ref(), written }),
                Err(complaints) => all.extend(complaints),
            }
        }
        same_names(&files, &mut all);
        for (i, entry) in good.iter().enumerate() {
            all.extend(good[..i].iter().find_map(|earlier| entry.conflict(earlier)));
        }
        if !all.is_empty() {
            // Stable: within a file, its own complaints stay in order.
            all.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            return Err(Complaints { all });
        }
        Ok(Self { policies: good.into_iter().map(|entry| entry.written.policy).collect() })
    }

    /// The same policies, which claim nothing: only a label chooses them.
    #[must_use]
    pub(crate) fn by_label_alone(mut self) -> Self {
        for policy in &mut self.policies {
            policy.select = Select::default();
        }
        self
    }

    /// All, in the order of their names.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The one of that name.
    pub fn find(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}

/// A good file.
struct Entry<'a> {
    file: &'a str,
    text: &'a str,
    written: Written,
}

impl Entry<'_> {
    /// What this cannot say because an earlier file says it.
    fn conflict(&self, earlier: &Self) -> Option<Complaint> {
        let (mine, theirs) = (&self.written.policy.select, &earlier.written.policy.select);
        let file = earlier.file;
        let message = if mine.rest && theirs.rest {
            format!("`rest` is true in `{file}` too, and only one policy can have the rest; remove one")
        } else if !mine.is_empty() && mine == theirs {
            format!("`[select]` is the same as in `{file}`, and a source has one policy; merge the two files")
        } else {
            let (key, name) = same_name(mine, theirs)?;
            format!(
                "`{key}` has `{name}`, which `{file}` claims too, and a source has one policy; remove one"
            )
        };
        Some(locate(self.file, self.text, self.written.select_at, &message))
    }
}

/// A thing that both name, whatever the host.
fn same_name<'a>(mine: &'a Select, theirs: &'a Select) -> Option<(&'static str, &'a str)> {
    if mine.has_conditions() || theirs.has_conditions() {
        return None;
    }
    let both = |from: &'a Select, other: &Select| {
        let mut literals = from.literals().filter(|(key, name)| {
            from.list(key).is_some_and(|list| list.find(name).is_some())
                && other.list(key).is_some_and(|list| list.find(name).is_some())
        });
        literals.next()
    };
    both(mine, theirs).or_else(|| both(theirs, mine))
}

/// Names that differ in case only are one file on some disks, and one policy in people's minds.
fn same_names<N: AsRef<str>, T>(files: &[(N, T)], all: &mut Vec<Complaint>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (file, _) in files {
        if let Some(first) = seen.insert(file.as_ref().to_lowercase(), file.as_ref()) {
            let file = shown(file.as_ref());
            let first = shown(first);
            let message =
                format!("this name is the same as `{first}`, but for case; rename one of the files");
            all.push(Complaint { file, line: 1, column: 1, message });
        }
    }
}
