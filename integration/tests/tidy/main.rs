//! The rules of the house, checked like everything else: by a test.
//!
//! Each rule says what is broken, file by file, and what to do about it. A rule that must be lifted for a
//! good reason is lifted here, in the table of its file, where a reader sees it.

mod arrows;
mod documents;
mod layout;
mod licences;
mod sources;
mod tree;

/// Ends the test with everything that breaks a rule, and the way to mend it.
#[track_caller]
fn keep(rule: &str, mend: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n{mend}", broken.join("\n  "));
}
