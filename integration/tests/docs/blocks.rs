//! Fenced blocks of Markdown.

/// One fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The words after the fence.
    pub(crate) mark: String,
    /// The line of the document at which it begins.
    pub(crate) line: usize,
    /// What is inside.
    pub(crate) text: String,
}

impl Block {
    /// Whether a person would type its lines into a shell; a block without a mark may well be one.
    pub(crate) fn is_shell(&self) -> bool {
        matches!(self.mark.split_whitespace().next(), None | Some("sh" | "console"))
    }

    /// Whether it is to be run as it stands.
    pub(crate) fn is_run(&self) -> bool {
        self.mark == "sh run"
    }
}

/// All fenced blocks of a document, in order.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for (i, line) in document.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), inside) {
            (Some(mark), false) => {
                found.push(Block { mark: mark.trim().to_owned(), line: i + 1, text: String::new() });
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => {
                let block = found.last_mut().expect("inside a block there is a block");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!inside, "a fence is not closed");
    found
}

#[test]
fn blocks_come_out_with_their_marks() {
    let found = blocks("a\n```sh run\nx\n```\n\n```toml\ny\nz\n```\n");
    let seen: Vec<_> = found.iter().map(|b| (b.mark.as_str(), b.line, b.text.as_str())).collect();
    assert_eq!(seen, [("sh run", 2, "x\n"), ("toml", 6, "y\nz\n")]);
    assert!(found[0].is_run() && found[0].is_shell() && !found[1].is_shell());
}
