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
    /// What befalls the host before somebody types this: comments `happens: …` in front of the block.
    pub(crate) happens: Vec<String>,
    /// Why it is not run, although it is for a shell: a comment `not run: …` in front of it.
    pub(crate) not_run: Option<String>,
    /// What must be true behind it, and behind what it is shown to have said: comments `then: …`.
    pub(crate) then: Vec<String>,
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

    /// Whether it shows what the block in front of it printed.
    pub(crate) fn is_said(&self) -> bool {
        self.mark == "text said"
    }
}

/// All fenced blocks of a document, in order.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    let (mut happens, mut not_run) = (Vec::new(), None);
    for (i, line) in document.lines().enumerate() {
        if let Some(what) = comment(line, "happens: ").filter(|_| !inside) {
            happens.push(what.to_owned());
        }
        if let Some(why) = comment(line, "not run: ").filter(|_| !inside) {
            not_run = Some(why.to_owned());
        }
        if let Some(what) = comment(line, "then: ").filter(|_| !inside) {
            let ran = found.iter_mut().rfind(|block| block.is_run());
            ran.expect("`then` stands behind a block that is run").then.push(what.to_owned());
        }
        match (line.trim_start().strip_prefix("```"), inside) {
            (Some(mark), false) => {
                found.push(Block {
                    mark: mark.trim().to_owned(),
                    line: i + 1,
                    text: String::new(),
                    happens: std::mem::take(&mut happens),
                    not_run: not_run.take(),
                    then: Vec::new(),
                });
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
    assert!(happens.is_empty() && not_run.is_none(), "no block stands behind `happens` or `not run`");
    let idle = found.iter().find(|block| !block.is_run() && !block.happens.is_empty());
    assert!(idle.is_none(), "`happens` stands in front of a block that is not run: {idle:?}");
    found
}

/// What a comment of that sort says, which readers of the document do not see.
fn comment<'a>(line: &'a str, sort: &str) -> Option<&'a str> {
    line.strip_prefix("<!-- ")?.strip_prefix(sort)?.strip_suffix(" -->")
}

#[test]
fn blocks_come_out_with_their_marks() {
    let found = blocks("a\n```sh run\nx\n```\n\n```toml\ny\nz\n```\n");
    let seen: Vec<_> = found.iter().map(|b| (b.mark.as_str(), b.line, b.text.as_str())).collect();
    assert_eq!(seen, [("sh run", 2, "x\n"), ("toml", 6, "y\nz\n")]);
    assert!(found[0].is_run() && found[0].is_shell() && !found[1].is_shell());
}

#[test]
fn blocks_know_what_happens_before_and_what_must_be_true_behind() {
    let found = blocks(
        "```sh run\na\n```\n```text said\n$ a\n```\n<!-- then: x is y -->\n<!-- happens: fire -->\n\n```sh run\nb\n```\n",
    );
    assert!(found[1].is_said() && found[1].then.is_empty());
    assert_eq!((&found[0].happens[..], &found[0].then[..]), (&[][..], &["x is y".to_owned()][..]));
    assert_eq!((&found[2].happens[..], &found[2].then[..]), (&["fire".to_owned()][..], &[][..]));
}

#[test]
fn blocks_know_why_they_are_not_run() {
    let found = blocks("<!-- not run: it takes hours -->\n\n```sh\na\n```\n```sh\nb\n```\n");
    assert_eq!((found[0].not_run.as_deref(), found[1].not_run.as_deref()), (Some("it takes hours"), None));
}
