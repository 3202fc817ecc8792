//! Tables of files and what is said about them. A file that should be fine must be fine as it stands.

mod complaints;
mod dumps;
mod folder;
mod values;

use proptest::prelude::*;

use crate::policy::{Folder, Policy};

/// What a back-up policy must say.
const LEAST: &str = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n";

/// What is said about one file.
fn said(text: &str) -> Vec<String> {
    match Folder::judge([("p.toml", text)]) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Checks all that is said about one file.
#[track_caller]
fn check(text: &str, want: &[&str]) {
    assert_eq!(said(text), want, "{text}");
}

/// Checks what is said about some lines behind what must be there: `LINE:COLUMN: …`, lines counted from theirs.
#[track_caller]
fn check_more(text: &str, want: &[&str]) {
    let offset = |line: String| {
        let rest = line.strip_prefix("p.toml:").expect("names the file");
        let (line, rest) = rest.split_once(':').expect("names the line");
        format!("{}:{rest}", line.parse::<usize>().unwrap() - LEAST.lines().count())
    };
    let got: Vec<String> = said(&format!("{LEAST}{text}\n")).into_iter().map(offset).collect();
    assert_eq!(got, want, "{text}");
}

/// The policy of a good file.
#[track_caller]
fn policy(text: &str) -> Policy {
    let folder = Folder::judge([("p.toml", text)]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    folder.policies()[0].clone()
}

/// Lines that look like a policy's, right and wrong.
fn any_line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("schedule"),
        Just("time_zone"),
        Just("nothing"),
        Just("volumes"),
        Just("mode"),
        Just("daily"),
        Just("within"),
        Just("webhook"),
        Just("before"),
        Just("keep"),
        Just("select.rest"),
        Just("store"),
    ];
    let value = prop_oneof![
        Just("\"0 2 * * *\"".to_owned()),
        Just("[\"a*\", \"!b\"]".to_owned()),
        Just("true".to_owned()),
        Just("{ a = [ 1".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "\"[ -~]{0,12}\"",
        "\\PC{0,12}",
    ];
    prop_oneof![
        (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        "\\[(select|keep|consistency|notify|drill|x)\\]".prop_map(|header| header),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_is_shown_raw(text in any::<String>(), name in any::<String>()) {
        if let Err(complaints) = Folder::judge([(name, text)]) {
            for complaint in complaints.all {
                prop_assert!(!complaint.file.chars().chain(complaint.message.chars()).any(char::is_control));
            }
        }
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_parser_panic(
        which in 0..crate::shipped::SHIPPED.len(), at in 0..1_000_usize, gone in 0..20_usize, put in "\\PC{0,4}"
    ) {
        let (name, text) = crate::shipped::SHIPPED[which];
        let from = text.floor_char_boundary(at.min(text.len()));
        let to = text.floor_char_boundary((from + gone).min(text.len())).max(from);
        drop(Folder::judge([(name, format!("{}{put}{}", &text[..from], &text[to..]))]));
    }

    #[test]
    fn no_lines_make_the_parser_panic_and_every_complaint_has_a_place(
        lines in proptest::collection::vec(any_line(), 0..12)
    ) {
        let text = lines.join("\n") + "\n";
        if let Err(complaints) = Folder::judge([("p.toml", text.as_str())]) {
            prop_assert!(!complaints.all.is_empty());
            for complaint in complaints.all {
                prop_assert!(complaint.line >= 1 && complaint.line <= text.lines().count() + 1);
                prop_assert!(complaint.column >= 1);
                prop_assert!(!complaint.message.chars().any(char::is_control), "{}", complaint.message);
            }
        }
    }

    #[test]
    fn a_good_file_that_is_cut_off_is_never_a_policy_with_fewer_words(cut in 0..2_000_usize) {
        // Cut inside a line: said. Cut between lines: what is left stands for itself, but never without
        // the words that must be there.
        for (name, text) in crate::shipped::SHIPPED {
            let cut = text.floor_char_boundary(cut.min(text.len()));
            if let Ok(folder) = Folder::judge([(*name, &text[..cut])]) {
                let whole = Folder::judge([(*name, *text)]).unwrap();
                let (cut, whole) = (&folder.policies()[0], &whole.policies()[0]);
                prop_assert_eq!(cut.terms().map(|t| &t.schedule), whole.terms().map(|t| &t.schedule));
                prop_assert_eq!(cut.terms().map(|t| t.consistency.mode), whole.terms().map(|t| t.consistency.mode));
            }
        }
    }
}
