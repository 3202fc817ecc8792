//! Documents are short, found from the front door, and point to what exists.

use crate::keep;
use crate::tree::{Text, paths, root, texts};

/// Whoever reads it reads all of it.
const ARCHITECTURE_LINES_MAX: usize = 199;

fn documents() -> Vec<Text> {
    texts().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

#[test]
fn the_architecture_can_be_read_in_one_sitting() {
    let lines = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    let broken =
        (lines > ARCHITECTURE_LINES_MAX).then(|| format!("{lines} lines, at most {ARCHITECTURE_LINES_MAX}"));
    keep("ARCHITECTURE.md", "move details to the module that they are about", broken.as_slice());
}

#[test]
fn every_document_is_linked_from_the_front_door() {
    let doors = documents().into_iter().filter(|d| matches!(d.path.as_str(), "README.md" | "docs/README.md"));
    let linked: Vec<String> = doors.flat_map(|door| targets(&door)).collect();
    let hidden = paths().into_iter().filter(|path| path.starts_with("docs/") && path.ends_with(".md"));
    let broken: Vec<_> = hidden.filter(|path| path != "docs/README.md" && !linked.contains(path)).collect();
    keep("a document that nobody finds", "link it in README.md or docs/README.md", &broken);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let gone = targets(&document).into_iter().filter(|target| !root().join(target).exists());
        broken.extend(gone.map(|target| format!("{} -> {target}", document.path)));
    }
    keep("a link into nothing", "mend the link, or write what it promises", &broken);
}

/// What the relative links of a document point to, from the top of the project.
fn targets(document: &Text) -> Vec<String> {
    let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let starts = document.text.match_indices("](").map(|(at, mark)| at + mark.len());
    let links = starts.filter_map(|at| document.text[at..].split(')').next());
    let relative = links.filter(|link| !link.contains("://") && !link.starts_with(['#', '/']));
    let files = relative.filter_map(|link| link.split('#').next()).filter(|link| !link.is_empty());
    files.map(|link| resolve(folder, link)).collect()
}

fn resolve(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[test]
fn links_are_found_and_resolved() {
    let text = "[a](x.md) [b](../README.md#top) [c](https://e.org/) [d](#here) `](not`".to_owned();
    let document = Text { path: "docs/here.md".to_owned(), text };
    assert_eq!(targets(&document)[..2], ["docs/x.md".to_owned(), "README.md".to_owned()]);
}
