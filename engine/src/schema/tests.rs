use super::*;

fn tool(properties: Value) -> ToolSchema {
    ToolSchema { name: "plan".into(), description: String::new(), parameters: json!({"type": "object", "properties": properties}) }
}

/// The property that is blamed, and a part of why; `None`: the tool is good.
#[track_caller]
fn check_tool(tool: &ToolSchema, expected: Option<(&str, &str)>) {
    let error = check_tools(&[ToolSchema { name: "fine".into(), ..tool_without() }, tool.clone()]).map_err(|error| error.to_string());
    match (error, expected) {
        (Ok(()), None) => {}
        (Err(text), Some((place, reason))) => {
            let start = format!("a tool cannot be offered to the model: `plan`, because of {place}: ");
            assert!(text.starts_with(&start) && text.contains(reason) && !text.contains('\n'), "{text}");
        }
        (seen, _) => panic!("{seen:?} where {expected:?} was expected"),
    }
}

fn tool_without() -> ToolSchema {
    tool(json!({}))
}

#[test]
fn a_good_schema_is_taken() {
    check_tool(&tool_without(), None);
    check_tool(&ToolSchema { parameters: json!({"type": "object"}), ..tool_without() }, None);
    check_tool(
        &tool(json!({
            "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
            "steps": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "properties": {"minutes": {"type": "integer"}}}},
            "level": {"enum": ["low", "high"]},
            "share": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        })),
        None,
    );
    let mut refers = tool(json!({"at": {"$ref": "#/$defs/place"}}));
    refers.parameters["$defs"] = json!({"place": {"type": "string"}});
    check_tool(&refers, None);
}

#[test]
fn the_property_to_blame_is_named() {
    let with = |bad: Value| tool(json!({"good": {"type": "string"}, "bad": bad, "other": {"type": "integer"}}));
    let bad = "its property `bad`";
    check_tool(&with(json!({"type": "string", "pattern": "^(a$"})), Some((bad, "parenthes")));
    check_tool(&with(json!({"type": "string", "pattern": "a)("})), Some((bad, "regular expression")));
    check_tool(&with(json!({"$ref": "#/$defs/nowhere"})), Some((bad, "$ref")));
    check_tool(&with(json!({"$ref": "https://example.com/schema"})), Some((bad, "$ref")));
    check_tool(&with(json!({"type": "integer", "minimum": 5, "maximum": 3})), Some((bad, "minimum")));
    check_tool(&with(json!({"type": "string", "minLength": 5, "maxLength": 3})), Some((bad, "")));
    check_tool(&with(json!({"type": "array", "items": {}, "minItems": 5, "maxItems": 3})), Some((bad, "")));
    check_tool(&with(json!({"type": "strange"})), Some((bad, "strange")));
    let deep = (0..130).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    check_tool(&with(deep), Some((bad, "nested deeper")));
}

#[test]
fn a_nested_property_is_named_by_its_path() {
    let inner =
        json!({"type": "object", "properties": {"fine": {"type": "string"}, "worse": {"type": "integer", "minimum": 2, "maximum": 1}}});
    check_tool(&tool(json!({"outer": inner})), Some(("its property `outer.worse`", "minimum")));
    check_tool(&tool(json!({"list": {"type": "array", "items": inner}})), Some(("its property `list.worse`", "minimum")));
    check_tool(&ToolSchema { parameters: json!({"anyOf": []}), ..tool_without() }, Some(("its arguments", "empty")));
}

#[track_caller]
fn check(schema: &Value, value: &Value, expected: Result<(), &str>) {
    assert_eq!(check_arguments(schema, value), expected.map_err(str::to_owned), "{value} by {schema}");
}

#[test]
fn arguments_are_what_the_schema_asks_for() {
    let schema = json!({
        "type": "object",
        "properties": {
            "steps": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/step"}},
            "urgent": {"type": "boolean"},
            "level": {"type": "string", "enum": ["low", "high"]},
            "note": {"type": ["string", "null"], "maxLength": 3},
        },
        "required": ["steps"],
        "additionalProperties": false,
        "$defs": {"step": {"type": "object", "properties": {"minutes": {"type": "integer", "minimum": 1}}, "required": ["minutes"]}},
    });
    let check = |value: Value, expected: Result<(), &str>| check(&schema, &value, expected);
    check(json!({"steps": [{"minutes": 3}], "urgent": true, "level": "low", "note": null}), Ok(()));
    check(json!({"steps": [{"minutes": 3.0, "more": 1}], "note": "ü日本"}), Ok(()));
    check(json!([]), Err("are wrong: it is array, not object"));
    check(json!({}), Err("lack `steps`"));
    check(json!({"steps": [{}]}), Err("lack `minutes` in `steps[0]`"));
    check(json!({"steps": [{"minutes": 1}, {"minutes": "3"}]}), Err("are wrong at `steps[1].minutes`: it is string, not integer"));
    check(json!({"steps": [{"minutes": 1.5}]}), Err("are wrong at `steps[0].minutes`: it is number, not integer"));
    check(json!({"steps": [{"minutes": 0}]}), Err("are wrong at `steps[0].minutes`: 0 is below its `minimum`"));
    let three = json!({"steps": [{"minutes": 1}, {"minutes": 1}, {"minutes": 1}]});
    check(three, Err("are wrong at `steps`: 3 is above its `maxItems`"));
    check(json!({"steps": [], "urgent": "yes"}), Err("are wrong at `urgent`: it is string, not boolean"));
    check(json!({"steps": [], "level": "mid"}), Err("are wrong at `level`: \"mid\" is none of [\"low\",\"high\"]"));
    check(json!({"steps": [], "note": 1}), Err("are wrong at `note`: it is number, not string or null"));
    check(json!({"steps": [], "note": "abcd"}), Err("are wrong at `note`: 4 is above its `maxLength`"));
    check(json!({"steps": [], "nowhere": 1}), Err("are wrong at `nowhere`: there is no such key"));
}

#[test]
fn alternatives_patterns_and_tuples_are_checked() {
    let any = json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[a-z]+$"}]});
    check(&any, &json!(1), Ok(()));
    check(&any, &json!("abc"), Ok(()));
    check(&any, &json!("A"), Err("are wrong: \"A\" fits none of its alternatives"));
    let all = json!({"allOf": [{"required": ["a"]}, {"required": ["b"]}]});
    check(&all, &json!({"a": 1}), Err("lack `b`"));
    check(&json!({"const": 1}), &json!(1.0), Ok(()));
    check(&json!({"const": 1}), &json!(2), Err("are wrong: 2 is not 1"));
    let tuple = json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}});
    check(&tuple, &json!(["a", 1]), Ok(()));
    check(&tuple, &json!(["a", "b"]), Err("are wrong at `[1]`: it is string, not integer"));
    check(&json!({"exclusiveMaximum": 3}), &json!(3), Err("are wrong: 3 is above its `maximum`"));
    check(&json!({"additionalProperties": {"type": "string"}}), &json!({"x": 1}), Err("are wrong at `x`: it is number, not string"));
    // A reference to itself asks for nothing, and does not hang.
    check(&json!({"$ref": "#"}), &json!({"x": 1}), Ok(()));
    check(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}), &json!({"x": 1}), Ok(()));
}
