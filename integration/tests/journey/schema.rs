//! The schemas of `docs/json/`, and whether a value fits: the few words of JSON Schema that they use.
//!
//! Always true: a word that is not known here is an error of the schema, so none is believed to hold and never checked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

/// One of the files.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn read(name: &str) -> Self {
        let path = folder().join("json").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    /// What of the value does not fit, with the place in it.
    pub(crate) fn judge(&self, value: &Value) -> Result<(), String> {
        self.check(&self.0, value, "")
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        for (word, wanted) in schema.as_object().ok_or("a schema that is no object")? {
            match word.as_str() {
                "$schema" | "$defs" | "title" | "format" => {}
                "$ref" => self.follow(wanted.as_str().unwrap_or_default(), value, at)?,
                "type" => {
                    let names = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                    if !names.iter().any(|name| is_a(value, name.as_str().unwrap_or_default())) {
                        return Err(format!("{at}: {value} is no {wanted}"));
                    }
                }
                "const" if value == wanted => {}
                "enum" if wanted.as_array().is_some_and(|words| words.contains(value)) => {}
                "const" | "enum" => return Err(format!("{at}: {value} is not {wanted}")),
                "minimum" => {
                    // What is no number has no least one.
                    if value.is_number() && value.as_f64() < wanted.as_f64() {
                        return Err(format!("{at}: {value} is less than {wanted}"));
                    }
                }
                "required" => {
                    let names = wanted.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let missing: Vec<_> =
                        names.filter(|name| value.is_object() && value.get(name).is_none()).collect();
                    if !missing.is_empty() {
                        return Err(format!("{at}: no {missing:?}"));
                    }
                }
                "properties" => {
                    for (name, schema) in wanted.as_object().into_iter().flatten() {
                        if let Some(value) = value.get(name) {
                            self.check(schema, value, &format!("{at}/{name}"))?;
                        }
                    }
                }
                "items" => {
                    for (i, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, value, &format!("{at}/{i}"))?;
                    }
                }
                "anyOf" => {
                    let tried = wanted.as_array().into_iter().flatten().map(|one| self.check(one, value, at));
                    let refused: Vec<_> = tried.map_while(Result::err).collect();
                    if Some(refused.len()) == wanted.as_array().map(Vec::len) {
                        return Err(refused.join(", or "));
                    }
                }
                other => return Err(format!("{at}: `{other}` is not known here")),
            }
        }
        Ok(())
    }

    /// `file.json#/$defs/name`, or of this file.
    fn follow(&self, target: &str, value: &Value, at: &str) -> Result<(), String> {
        let (file, pointer) = target.split_once('#').ok_or("a reference without `#`")?;
        let found = |schema: &Self| match schema.0.pointer(pointer) {
            Some(definition) => schema.check(definition, value, at),
            None => Err(format!("{target} is not there")),
        };
        if file.is_empty() { found(self) } else { found(&Self::read(file.trim_end_matches(".json"))) }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// Every word between backticks in `docs/json.md`.
pub(crate) fn written_words() -> BTreeSet<String> {
    let page = std::fs::read_to_string(folder().join("json.md")).unwrap();
    page.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of all fields in a value; those of a manifest are FORMAT.md's.
pub(crate) fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            let inside =
                fields.iter().filter(|(name, _)| *name != "manifest").flat_map(|(_, value)| names(value));
            fields.keys().cloned().chain(inside).collect()
        }
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

#[test]
fn a_schema_refuses_what_does_not_fit() {
    use serde_json::json;
    let runs = Schema::read("runs");
    let run = json!({
        "run": "1", "verb": "backup", "source": "db", "state": "done", "began_at": "", "ended_at": null,
        "snapshot": null, "entries": 1, "bytes": 2, "message": "", "live": false,
    });
    runs.judge(&json!([run, run])).unwrap();
    for (name, value) in
        [("entries", json!(-1)), ("entries", json!(1.5)), ("live", json!(null)), ("run", json!(1))]
    {
        let mut bad = run.clone();
        bad[name] = value;
        let refused = runs.judge(&json!([run, bad])).unwrap_err();
        assert!(refused.starts_with(&format!("/1/{name}: ")), "{refused}");
    }
    let mut short = run.clone();
    short.as_object_mut().unwrap().remove("bytes");
    assert!(runs.judge(&json!([short])).unwrap_err().contains("bytes"));
    assert!(runs.judge(&run).is_err());
    let backup = Schema::read("backup");
    backup.judge(&json!({ "event": "step", "what": "x" })).unwrap();
    assert!(backup.judge(&json!({ "event": "done", "what": "x" })).is_err());
    assert!(Schema(json!({ "typ": "object" })).judge(&run).is_err());
}
