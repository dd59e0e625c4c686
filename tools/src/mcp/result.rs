//! What the model reads of a call's result: text as it is, everything else told of in words.

use agent::{Output, ToolError};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

use crate::text::{one_line, thousands};

/// Most bytes of a result that are kept; the agent shows the model less.
const RESULT_BYTES: usize = 1 << 20;
/// Most bytes of an error.
const ERROR_BYTES: usize = 2_000;
/// What is told of a kind of content that the protocol may get one day.
const UNKNOWN: &str = "[content of a kind that is not known here]";

/// The text of `result`, or the error that it says it is; written by `origin` either way.
pub(super) fn output_of(result: CallToolResult, origin: &str) -> Result<Output, ToolError> {
    let is_error = result.is_error == Some(true);
    let mut parts: Vec<String> = result.content.iter().map(block).collect();
    if let Some(value) = result.structured_content.filter(|value| !value.is_null()) {
        // Most servers give the same as text, for clients of old: the value itself, or what stands in it.
        let is_same = |part: &String| serde_json::from_str::<Value>(part).is_ok_and(|told| told == value);
        let is_part = |inner: &Value| inner.as_str().is_some_and(|inner| parts.iter().any(|part| part == inner));
        let is_told = parts.iter().any(is_same) || value.as_object().is_some_and(|fields| fields.values().all(is_part));
        if !is_told {
            parts.push(value.to_string());
        }
    }
    let text = parts.join("\n").replace('\0', "\u{fffd}");
    let text = if text.trim().is_empty() { "(no output)".to_owned() } else { text };
    let output = Output::foreign(cut(text, if is_error { ERROR_BYTES } else { RESULT_BYTES }), origin);
    if is_error { Err(output.into()) } else { Ok(output) }
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => binary("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => binary("sound", &audio.mime_type, &audio.data),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[resource {}]\n{text}", one_line(uri)),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                binary(&format!("resource {uri}"), mime_type.as_deref().unwrap_or("of unknown type"), blob)
            }
            _ => UNKNOWN.to_owned(),
        },
        ContentBlock::ResourceLink(link) => {
            let size = link.size.map(|size| format!(", {} bytes", thousands(size))).unwrap_or_default();
            format!("[link to the resource {} ({}){size}]", one_line(&link.uri), one_line(&link.name))
        }
        _ => UNKNOWN.to_owned(),
    }
}

/// Bytes in base64 that a model of text cannot see.
fn binary(what: &str, kind: &str, base64: &str) -> String {
    let bytes = (base64.trim_end_matches('=').len() * 3 / 4) as u64;
    format!("[{}, {}, {} bytes, not shown]", one_line(what), one_line(kind), thousands(bytes))
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        let left_out = thousands((text.len() - end) as u64);
        text.truncate(end);
        text += &format!("\n[… {left_out} bytes left out …]");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(result: Value, expected: Result<&str, &str>) {
        let result: CallToolResult = serde_json::from_value(result).unwrap();
        let foreign = |text: &str| Output::foreign(text, "x");
        assert_eq!(output_of(result, "x"), expected.map(foreign).map_err(|text| foreign(text).into()));
    }

    #[test]
    fn text_as_it_is_and_the_rest_in_words() {
        let text = |text: &str| json!({"type": "text", "text": text});
        check(json!({"content": [text("a"), text("b\0c")]}), Ok("a\nb\u{fffd}c"));
        check(json!({"content": [text("no")], "isError": true}), Err("no"));
        check(json!({"content": []}), Ok("(no output)"));
        check(json!({"content": [], "isError": true}), Err("(no output)"));
        let image = json!({"type": "image", "data": "QUJDRA==", "mimeType": "image/png"});
        check(json!({"content": [text("see"), image]}), Ok("see\n[image, image/png, 4 bytes, not shown]"));
        let sound = json!({"type": "audio", "data": "", "mimeType": "audio/wav\n"});
        check(json!({"content": [sound]}), Ok("[sound, audio/wav\u{fffd}, 0 bytes, not shown]"));
        let resource = json!({"type": "resource", "resource": {"uri": "a://b", "text": "hello"}});
        check(json!({"content": [resource]}), Ok("[resource a://b]\nhello"));
        let blob = json!({"type": "resource", "resource": {"uri": "a://b", "blob": "QUJD", "mimeType": "x/y"}});
        check(json!({"content": [blob]}), Ok("[resource a://b, x/y, 3 bytes, not shown]"));
        let link = json!({"type": "resource_link", "uri": "a://b", "name": "n", "size": 1234});
        check(json!({"content": [link]}), Ok("[link to the resource a://b (n), 1,234 bytes]"));
    }

    #[test]
    fn structured_content_is_told_once() {
        let value = json!({"t": 3, "u": [1]});
        let same = json!({"type": "text", "text": "{ \"u\": [1], \"t\": 3 }"});
        check(json!({"content": [same], "structuredContent": value}), Ok("{ \"u\": [1], \"t\": 3 }"));
        check(json!({"content": [], "structuredContent": value}), Ok(r#"{"t":3,"u":[1]}"#));
        let inner = json!({"type": "text", "text": "a\nb"});
        check(json!({"content": [inner], "structuredContent": {"content": "a\nb"}}), Ok("a\nb"));
        let other = json!({"type": "text", "text": "three"});
        check(json!({"content": [other], "structuredContent": value}), Ok("three\n{\"t\":3,\"u\":[1]}"));
    }

    #[test]
    fn results_and_errors_are_bounded() {
        let text = |count: usize| json!([{"type": "text", "text": "x".repeat(count)}]);
        let long = json!({"content": text(RESULT_BYTES + 1)});
        check(long, Ok(&format!("{}\n[… 1 bytes left out …]", "x".repeat(RESULT_BYTES))));
        let long = json!({"content": text(5_000), "isError": true});
        check(long, Err(&format!("{}\n[… 3,000 bytes left out …]", "x".repeat(ERROR_BYTES))));
    }
}
