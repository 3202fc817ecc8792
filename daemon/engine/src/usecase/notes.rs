//! What a run noted about single paths, in words for a person.

use archive::channel::{NoteKind, Notes};

/// Notes as lines for a person.
pub(crate) fn warnings(notes: &Notes) -> Vec<String> {
    let kinds = [
        (NoteKind::Unreadable, notes.unreadable, "could not be read and are missing"),
        (NoteKind::Changed, notes.changed, "changed while they were read"),
        (NoteKind::Vanished, notes.vanished, "vanished before they were read"),
        (NoteKind::OtherMount, notes.other_mounts, "are mount points; what is mounted there is left out"),
        (NoteKind::Attribute, notes.attributes, "have attributes that were not taken over"),
    ];
    let mut lines = Vec::new();
    for (kind, count, words) in kinds.into_iter().filter(|(_, count, _)| *count > 0) {
        let named: Vec<_> = notes
            .named
            .iter()
            .filter(|note| note.what == kind)
            .take(3)
            .map(|note| match note.why.is_empty() {
                true => format!("`{}`", note.path),
                false => format!("`{}` ({})", note.path, note.why),
            })
            .collect();
        let more = if count > named.len() as u64 { ", …" } else { "" };
        lines.push(format!("{count} entries {words}: {}{more}", named.join(", ")));
    }
    lines
}

/// Why files that nobody should have written to are not of one moment.
pub(crate) fn written_meanwhile(notes: &Notes) -> String {
    let named = notes.named.iter().find(|note| note.is_of_a_write());
    let what = named.map_or("something in it".to_owned(), |note| format!("`{}`", note.path));
    format!(
        "{what} was written to while it was read, by a program that is in no container or in none that was held"
    )
}
