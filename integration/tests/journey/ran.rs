//! What a command gave back, and the rule that nobody warns unasked.

use serde_json::Value;

/// The end of a program. Nothing of it counts before one of the methods has looked at code and alarms.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) what: String,
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Done, and nothing was warned of.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.ends(0, &[])
    }

    /// Failed with one error that has all of these words, and says what to do next.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        let told = self.ends(code, &["error: "]);
        let error = told.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in the error of {told}");
        }
        assert!(told.stderr.lines().any(|line| line.starts_with("  hint: ")), "no hint in {told}");
        told
    }

    /// Ended with this code, and warned of what is listed, of all of that and of nothing else.
    #[track_caller]
    pub(crate) fn ends(self, code: i32, listed: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self}");
        let alarms = self.alarms();
        for alarm in &alarms {
            assert!(listed.iter().any(|words| alarm.contains(words)), "unlisted: {alarm}\nin {self}");
        }
        for words in listed {
            assert!(alarms.iter().any(|alarm| alarm.contains(words)), "{words:?} was not said in {self}");
        }
        self
    }

    /// Warnings and errors: lines for people and of logs on stderr, and warnings among the events.
    fn alarms(&self) -> Vec<String> {
        let alarming = |line: &&str| {
            [" WARN ", " ERROR ", "panicked at"].iter().any(|word| line.contains(word))
                || ["warning:", "error:"].iter().any(|word| line.starts_with(word))
        };
        let mut alarms: Vec<_> = self.stderr.lines().filter(alarming).map(str::to_owned).collect();
        let text = self.text();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        alarms.extend(events.filter(|event| event["event"] == "warning").map(|event| event.to_string()));
        alarms
    }

    /// stdout, as far as it is text.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// All of stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|e| panic!("no JSON: {e}: {self}"))
    }

    /// The rows of a list.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        serde_json::from_value(self.json()).unwrap_or_else(|e| panic!("not a list: {e}: {self}"))
    }

    /// The last event, which must be this one and have these fields, with anything but nothing in them.
    #[track_caller]
    pub(crate) fn last_event(&self, name: &str, fields: &str) -> Value {
        let text = self.text();
        let last = text.lines().last().unwrap_or_default();
        let event: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self}"));
        assert_eq!(event["event"], name, "{self}");
        has_fields(&event, fields);
        event
    }
}

/// Every one of these fields, named in one text, is there.
#[track_caller]
pub(crate) fn has_fields(value: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(value.get(field).is_some(), "no field `{field}` in {value}");
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, code, stdout, stderr } = self;
        let stdout = String::from_utf8_lossy(&stdout[..stdout.len().min(3000)]);
        write!(f, "`{what}`, which ended with {code}\nstdout: {stdout}\nstderr: {stderr}")
    }
}
