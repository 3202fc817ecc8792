//! The schema against the parser: a small checker of JSON Schema, and files that both must judge alike.

use serde_json::Value;

use super::schema;
use crate::policy::{Folder, POLICY};
use crate::shipped::SHIPPED;

/// What is wrong with `value`, by the words of JSON Schema that the schema uses.
fn wrong(schema: &Value, value: &Value, at: &str, all: &mut Vec<String>) {
    let mut blame = |fine: bool, word: &str| {
        if !fine {
            all.push(format!("{at}: {word}"));
        }
    };
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        let count = |n: Option<usize>| n.is_none_or(|n| Some(n as u64) >= rule.as_u64());
        match word.as_str() {
            "type" => blame(rule == kind(value), word),
            "enum" => blame(rule.as_array().unwrap().contains(value), word),
            "anyOf" => {
                let fits = |one: &Value| {
                    let mut not = Vec::new();
                    wrong(one, value, at, &mut not);
                    not.is_empty()
                };
                blame(rule.as_array().unwrap().iter().any(fits), word);
            }
            "minimum" => blame(value.as_i64().is_none_or(|n| Some(n) >= rule.as_i64()), word),
            "maximum" => blame(value.as_i64().is_none_or(|n| Some(n) <= rule.as_i64()), word),
            "minLength" => blame(count(value.as_str().map(str::len)), word),
            "minItems" => blame(count(value.as_array().map(Vec::len)), word),
            "pattern" => {
                let digit = value.as_str().is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()));
                blame(digit, word);
            }
            "required" => blame(
                rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
                word,
            ),
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap();
                blame(
                    value.as_object().is_none_or(|has| has.keys().all(|key| known.contains_key(key))),
                    word,
                );
            }
            "propertyNames" => {
                let known = rule["enum"].as_array().unwrap();
                blame(
                    value.as_object().unwrap().keys().all(|key| known.contains(&key.as_str().into())),
                    word,
                );
            }
            "properties" | "items" | "if" | "then" | "else" | "$schema" | "title" | "description" => {}
            other => panic!("the checker does not know `{other}`"),
        }
    }
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = value.get(key) {
            wrong(schema, value, &format!("{at}.{key}"), all);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        wrong(&schema["items"], item, &format!("{at}[]"), all);
    }
    if let Some(condition) = schema.get("if") {
        let mut not = Vec::new();
        wrong(condition, value, at, &mut not);
        wrong(&schema[if not.is_empty() { "then" } else { "else" }], value, at, all);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn judge(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    wrong(&schema(), &toml::from_str(text).expect("it is TOML"), "policy", &mut all);
    all
}

#[test]
fn every_key_of_the_parser_is_in_the_schema_with_a_description() {
    let schema = schema();
    let mut keys = 0;
    for key in POLICY {
        let property = &schema["properties"][key.name];
        assert_eq!(property["description"], key.about);
        for inner in key.kind.table().unwrap_or_default() {
            assert_eq!(property["properties"][inner.name]["description"], inner.about);
            keys += 1;
        }
    }
    assert!(keys > 30, "tables are walked");
}

#[test]
fn every_shipped_policy_is_good_by_the_schema() {
    for (name, text) in SHIPPED {
        assert_eq!(judge(text), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn what_the_schema_refuses_the_parser_refuses() {
    let least = "schedule = \"0 2 * * *\"\nconsistency.mode = \"live\"\n";
    let dump =
        "schedule = \"0 2 * * *\"\n[consistency]\nmode = \"dump\"\n[[consistency.dumps]]\nfile = \"a.sql\"\n";
    let dump = dump.to_owned();
    for (text, want) in [
        (least.to_owned(), ""),
        (format!("{least}stoer = 1\n"), "policy: additionalProperties"),
        (format!("{least}keep.daily = -1\n"), "policy.keep.daily: minimum"),
        (format!("{least}keep.daily = \"30d\"\n"), "policy.keep.daily: type"),
        (format!("{least}guard.shrink_percent = 101\n"), "policy.guard.shrink_percent: maximum"),
        (format!("{least}pack.level = \"adaptive\"\n"), ""),
        (format!("{least}pack.level = \"fastest\"\n"), "policy.pack.level: anyOf"),
        (format!("{least}pack.level = 20\n"), "policy.pack.level: anyOf"),
        (format!("{least}keep.within = \"d\"\n"), "policy.keep.within: pattern"),
        (format!("{least}select.volumes = []\n"), "policy.select.volumes: minItems"),
        (format!("{dump}run = [\"pg_dump\"]\n"), ""),
        (dump.clone(), "policy.consistency.dumps[]: required"),
        (format!("{dump}run = []\n"), "policy.consistency.dumps[].run: minItems"),
        (format!("{dump}run = [\"x\"]\nfiel = 1\n"), "policy.consistency.dumps[]: additionalProperties"),
        (format!("{least}drill.timeout = \"1h\"\n"), "policy.drill: required"),
        ("schedule = \"0 2 * * *\"\nconsistency.mode = \"x\"\n".to_owned(), "policy.consistency.mode: enum"),
        ("schedule = \"0 2 * * *\"\n".to_owned(), "policy: required"),
        ("nothing = \"because\"\n".to_owned(), ""),
        ("nothing = \"because\"\njitter = \"1m\"\n".to_owned(), "policy: propertyNames"),
    ] {
        let got = judge(&text);
        assert!(
            got.first().map_or("", String::as_str).starts_with(want) && got.is_empty() == want.is_empty(),
            "{got:?} {text}"
        );
        assert_eq!(Folder::judge([("p.toml", &text)]).is_ok(), want.is_empty(), "{text}");
    }
}
