//! The JSON Schema of a policy file, for editors that complete and check while one types.
//!
//! Always true: it is made from the table of keys that the parser walks, so whatever key one knows the
//! other knows. It is weaker than the parser: rules between keys and between files are told by the parser
//! alone.

use serde_json::{Map, Value, json};

use crate::level::Level;
use crate::policy::{BYTES_PATTERN, Key, Kind, POLICY, SPEED_PATTERN, TIME_PATTERN};

/// The schema, as a JSON document of draft 2020-12.
pub fn schema() -> Value {
    let mut schema = table(POLICY);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("a policy of backupd");
    schema["if"] = json!({ "required": ["nothing"] });
    schema["then"] = json!({ "propertyNames": { "enum": ["nothing", "select"] } });
    schema["else"] = json!({ "required": ["schedule", "consistency"] });
    schema["properties"]["consistency"]["required"] = json!(["mode"]);
    schema["properties"]["drill"]["required"] = json!(["every"]);
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Value {
    let mut value = match &key.kind {
        Kind::Table(keys) => table(keys),
        Kind::Tables(keys, required, _) => {
            let mut each = table(keys);
            each["required"] = json!(required);
            json!({ "type": "array", "minItems": 1, "items": each })
        }
        Kind::Flag(_) => json!({ "type": "boolean" }),
        Kind::Whole(bounds, _) => {
            json!({ "type": "integer", "minimum": bounds.start(), "maximum": bounds.end() })
        }
        Kind::Level(_) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": Level::NUMBERS.start(), "maximum": Level::NUMBERS.end() }, { "enum": Level::WORDS }] })
        }
        Kind::Time(..) => json!({ "type": "string", "pattern": TIME_PATTERN }),
        Kind::Bytes(..) => json!({ "type": "string", "pattern": BYTES_PATTERN }),
        Kind::Speed(..) => json!({ "type": "string", "pattern": SPEED_PATTERN }),
        Kind::Text(_) => json!({ "type": "string", "minLength": 1 }),
        Kind::Texts(_) => json!({ "type": "array", "minItems": 1, "items": { "type": "string" } }),
        Kind::Word(words, _) => json!({ "enum": words }),
        Kind::Words(words, _) => json!({ "type": "array", "minItems": 1, "items": { "enum": words } }),
    };
    value["description"] = json!(key.about);
    value
}

#[cfg(test)]
mod tests;
