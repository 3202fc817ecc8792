//! The little XML that S3 speaks.

/// `<name>` with escaped text in it.
pub(super) fn element(out: &mut String, name: &str, text: &str) {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    out.push_str(&format!("<{name}>{escaped}</{name}>"));
}

/// A document with `inside` in its root element.
pub(super) fn document(root: &str, inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inside}</{root}>"
    )
}

/// An error's document.
pub(super) fn error(code: &str, message: &str) -> String {
    let mut inside = String::new();
    element(&mut inside, "Code", code);
    element(&mut inside, "Message", message);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{inside}</Error>")
}

/// The text of every element of that name, in order.
pub(super) fn texts(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = document;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((text, after)) = after.split_once(&close) else { break };
        found.push(text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&amp;", "&"));
        rest = after;
    }
    found
}
