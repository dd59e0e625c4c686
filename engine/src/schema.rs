//! Schemas of tools: whether one can be offered to a model, and whether the arguments of a call are what it asks for.
//!
//! Deliberately not here: all of JSON Schema. What llama.cpp makes a grammar from is checked, and nothing else: keywords that it
//! does not know are ignored here as there.

use std::cell::Cell;

use llama_sys::json_schema_to_grammar;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::error::one_line;
use crate::{EngineError, ToolSchema};

/// A `$ref` is followed so many times between two levels of the value; more is a circle.
const MOST_REFERENCES: usize = 16;
/// Levels of a schema that are looked at; llama.cpp takes 128 of JSON.
const MOST_LEVELS: usize = 64;
/// A check ends in favour of the value after so many looks at a part of it, or so many within each other: schemas can refer to
/// themselves.
const MOST_LOOKS: usize = 100_000;
const MOST_LOOKS_DEEP: usize = 256;

/// Checks that each of `tools` can be offered to a model: a grammar can be made of its schema, and some arguments fit it.
///
/// # Errors
/// [`EngineError::ToolSchema`] with the first tool that cannot, the property that is to blame, and why.
pub fn check_tools(tools: &[ToolSchema]) -> Result<(), EngineError> {
    tools.iter().try_for_each(|tool| {
        let Err(reason) = compile(&tool.parameters) else { return Ok(()) };
        let (path, reason) = culprit(&tool.parameters, &tool.parameters, 0).unwrap_or((String::new(), reason));
        let place = if path.is_empty() { "its arguments".to_owned() } else { format!("its property `{path}`") };
        Err(EngineError::ToolSchema(format!("`{}`, because of {place}: {reason}", tool.name)))
    })
}

/// Why no grammar can be made of `schema`, or no value fits it.
fn compile(schema: &Value) -> Result<(), String> {
    // The grammar first: it refuses what is nested too deep for the rest to walk through.
    json_schema_to_grammar(schema).map_err(|error| one_line(error).replace("JSON schema conversion failed: ", ""))?;
    possible(schema, 0)
}

/// The property of `schema` that cannot be compiled by itself, as `a.b`, and why. `root` has the definitions that it refers to.
fn culprit(schema: &Value, root: &Value, level: usize) -> Option<(String, String)> {
    let properties = schema.get("properties").and_then(Value::as_object).filter(|_| level < MOST_LEVELS)?;
    properties.iter().find_map(|(name, property)| {
        let reason = compile(&alone(name, property, root)).err()?;
        let inner = if property.get("items").is_some() { &property["items"] } else { property };
        match culprit(inner, root, level + 1) {
            Some((path, reason)) => Some((format!("{name}.{path}"), reason)),
            None => Some((name.clone(), reason)),
        }
    })
}

/// An object with the one property, and the definitions of `root`.
fn alone(name: &str, property: &Value, root: &Value) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), json!({ name: property }));
    for definitions in ["$defs", "definitions"] {
        if let Some(value) = root.get(definitions) {
            schema.insert(definitions.into(), value.clone());
        }
    }
    Value::Object(schema)
}

/// Whether some value can fit `schema`, as far as its limits say.
fn possible(schema: &Value, level: usize) -> Result<(), String> {
    let Some(fields) = schema.as_object().filter(|_| level < MOST_LEVELS) else { return Ok(()) };
    for (least, most) in [("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")] {
        if let (Some(low), Some(high)) = (number(schema, least), number(schema, most))
            && low > high
        {
            return Err(format!("`{least}` is {low} and `{most}` is {high}, so nothing fits"));
        }
    }
    if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
        && let Err(regex::Error::Syntax(_)) = Regex::new(pattern)
        && !has_lookaround(pattern)
    {
        return Err(format!("`{pattern}` is no regular expression"));
    }
    if fields.get("enum").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Err("`enum` is empty, so nothing fits".into());
    }
    let nested = ["items", "additionalProperties"].into_iter().filter_map(|key| fields.get(key));
    let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|key| fields.get(key)?.as_object()).flat_map(Map::values);
    let listed = ["anyOf", "oneOf", "allOf", "prefixItems"].into_iter().filter_map(|key| fields.get(key)?.as_array()).flatten();
    nested.chain(named).chain(listed).try_for_each(|schema| possible(schema, level + 1))
}

/// JSON Schema has expressions that Rust's `regex` has not; they are no fault of the schema.
fn has_lookaround(pattern: &str) -> bool {
    ["(?=", "(?!", "(?<"].iter().any(|group| pattern.contains(group)) || pattern.contains("\\1")
}

fn number(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key)?.as_f64()
}

/// Checks that `value` is what `schema` asks for.
///
/// # Errors
/// What is wrong, to stand behind "the arguments of `shell`": "lack `command`", "are wrong at `steps[0].minutes`: …".
pub fn check_arguments(schema: &Value, value: &Value) -> Result<(), String> {
    let check = Check { root: schema, looks: Cell::new(0), deep: Cell::new(0) };
    check.value(schema, value, "")
}

/// A check against one schema; references are looked up in `root`.
struct Check<'a> {
    root: &'a Value,
    looks: Cell<usize>,
    deep: Cell<usize>,
}

impl<'a> Check<'a> {
    fn value(&self, schema: &'a Value, value: &Value, path: &str) -> Result<(), String> {
        self.looks.set(self.looks.get() + 1);
        if self.looks.get() > MOST_LOOKS || self.deep.get() >= MOST_LOOKS_DEEP {
            return Ok(());
        }
        self.deep.set(self.deep.get() + 1);
        let result = self.whole(self.resolve(schema), value, path);
        self.deep.set(self.deep.get() - 1);
        result
    }

    /// Checks `value` against a schema that is no reference.
    fn whole(&self, schema: &'a Value, value: &Value, path: &str) -> Result<(), String> {
        let wrong = |what: String| Err(wrong(path, &what));
        if schema == &Value::Bool(false) {
            return wrong("nothing is allowed here".into());
        }
        if let Some(kinds) = schema.get("type")
            && !is_of(kinds, value)
        {
            return wrong(format!("it is {}, not {}", kind(value), kinds_text(kinds)));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.iter().any(|one| same(one, value))
        {
            return wrong(format!("{value} is none of {}", Value::Array(allowed.clone())));
        }
        if let Some(only) = schema.get("const").filter(|only| !same(only, value)) {
            return wrong(format!("{value} is not {only}"));
        }
        limits(schema, value).or_else(wrong)?;
        self.alternatives(schema, value, path)?;
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.array(schema, items, path),
            _ => Ok(()),
        }
    }

    /// The schema that a `$ref` into the same document means; one that leads nowhere asks for nothing.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
            match reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => schema = target,
                None => return &Value::Null,
            }
        }
        &Value::Null
    }

    fn alternatives(&self, schema: &'a Value, value: &Value, path: &str) -> Result<(), String> {
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        for all in list("allOf").into_iter().flatten() {
            self.value(all, value, path)?;
        }
        for key in ["anyOf", "oneOf"] {
            let Some(any) = list(key).filter(|any| !any.is_empty()) else { continue };
            if !any.iter().any(|one| self.value(one, value, path).is_ok()) {
                return Err(wrong(path, &format!("{value} fits none of its alternatives")));
            }
        }
        Ok(())
    }

    fn object(&self, schema: &'a Value, fields: &Map<String, Value>, path: &str) -> Result<(), String> {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        if let Some(key) = required.into_iter().find(|key| !fields.contains_key(*key)) {
            return Err(if path.is_empty() { format!("lack `{key}`") } else { format!("lack `{key}` in `{path}`") });
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        for (key, value) in fields {
            let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match (properties.and_then(|properties| properties.get(key)), schema.get("additionalProperties")) {
                (Some(property), _) => self.value(property, value, &place)?,
                (None, Some(Value::Bool(false))) => return Err(wrong(&place, "there is no such key")),
                (None, Some(others)) => self.value(others, value, &place)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn array(&self, schema: &'a Value, items: &[Value], path: &str) -> Result<(), String> {
        let first = schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            // Older schemas have the list in `items`.
            let others = schema.get("items").and_then(|items| items.as_array().map_or(Some(items), |list| list.get(index)));
            if let Some(one) = first.get(index).or(others) {
                self.value(one, item, &format!("{path}[{index}]"))?;
            }
        }
        Ok(())
    }
}

fn wrong(path: &str, what: &str) -> String {
    if path.is_empty() { format!("are wrong: {what}") } else { format!("are wrong at `{path}`: {what}") }
}

/// Lengths, ranges and patterns. What a pattern means where Rust's `regex` cannot read it is not known.
fn limits(schema: &Value, value: &Value) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "no length comes near 2^52")]
    let length = |length: usize| Some(length as f64);
    let (measure, least, most) = match value {
        Value::Number(number) => (number.as_f64(), "minimum", "maximum"),
        Value::String(text) => (length(text.chars().count()), "minLength", "maxLength"),
        Value::Array(items) => (length(items.len()), "minItems", "maxItems"),
        _ => return Ok(()),
    };
    let Some(measure) = measure else { return Ok(()) };
    let strictly = |key: &str| number(schema, key).filter(|_| value.is_number());
    let too_low = number(schema, least).is_some_and(|low| measure < low) || strictly("exclusiveMinimum").is_some_and(|low| measure <= low);
    let too_high =
        number(schema, most).is_some_and(|high| measure > high) || strictly("exclusiveMaximum").is_some_and(|high| measure >= high);
    match (too_low, too_high) {
        (true, _) => return Err(format!("{measure} is below its `{least}`")),
        (_, true) => return Err(format!("{measure} is above its `{most}`")),
        _ => {}
    }
    let pattern = schema.get("pattern").and_then(Value::as_str);
    match (value.as_str(), pattern.and_then(|pattern| Regex::new(pattern).ok())) {
        (Some(text), Some(pattern)) if !pattern.is_match(text) => Err(format!("{value} does not match `{pattern}`")),
        _ => Ok(()),
    }
}

/// Whether `value` is of the type that `kinds` names, or of one of them.
fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    match kinds {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// Whether both are the same JSON; 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn kinds_text(kinds: &Value) -> String {
    match kinds {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
