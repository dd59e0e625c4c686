//! Reads HTML as strictly as the Bot API documents it, and stricter than it is where the two differ.

/// One entity: its tag, and where it begins and ends in UTF-16 units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    pub tag: String,
    pub argument: String,
    pub units: std::ops::Range<usize>,
}

/// The text and entities of `html`, or what is wrong with it.
pub fn parse(html: &str) -> Result<(String, Vec<Entity>), String> {
    let mut text = String::new();
    let mut open: Vec<Entity> = Vec::new();
    let mut done = Vec::new();
    let mut units = 0;
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => {
                let end = rest.find('>').ok_or("a tag without an end")?;
                tag(&rest[1..end], units, &mut open, &mut done)?;
                rest = &rest[end + 1..];
            }
            '&' => {
                let end = rest.find(';').ok_or("a lone &")?;
                let c = match &rest[..=end] {
                    "&amp;" => '&',
                    "&lt;" => '<',
                    "&gt;" => '>',
                    "&quot;" => '"',
                    other => return Err(format!("the entity {other:?}")),
                };
                text.push(c);
                units += 1;
                rest = &rest[end + 1..];
            }
            '>' | '"' => return Err(format!("a bare {c:?}")),
            c if c.is_control() && c != '\n' => return Err(format!("the control character {c:?}")),
            c => {
                text.push(c);
                units += c.len_utf16();
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    match open.pop() {
        Some(entity) => Err(format!("<{}> is not closed", entity.tag)),
        None => Ok((text, done)),
    }
}

fn tag(tag: &str, units: usize, open: &mut Vec<Entity>, done: &mut Vec<Entity>) -> Result<(), String> {
    if let Some(name) = tag.strip_prefix('/') {
        let mut entity = open.pop().ok_or(format!("</{name}> closes nothing"))?;
        if entity.tag != name {
            return Err(format!("</{name}> closes <{}>", entity.tag));
        }
        entity.units.end = units;
        if entity.units.is_empty() {
            return Err(format!("an empty <{name}>"));
        }
        done.push(entity);
        return Ok(());
    }
    let (name, argument) = match tag.split_once(' ') {
        None => (tag, String::new()),
        Some(("a", href)) => ("a", quoted(href, "href=\"")?),
        Some(("code", class)) => ("code", quoted(class, "class=\"language-")?),
        Some(_) => return Err(format!("the attributes of <{tag}>")),
    };
    if !["a", "b", "i", "s", "u", "code", "pre", "blockquote", "tg-spoiler"].contains(&name) {
        return Err(format!("the tag <{tag}>"));
    }
    let outer: Vec<&str> = open.iter().map(|entity| entity.tag.as_str()).collect();
    let allowed = match (outer.last(), name) {
        _ if outer.contains(&name) => false,
        (Some(&"pre"), "code") => !argument.is_empty() && open.last().is_some_and(|pre| pre.units.start == units),
        (_, "code") if !argument.is_empty() => false,
        (Some(&("pre" | "code")), _) | (Some(_), "blockquote" | "pre") => false,
        (Some(_), "code") => outer == ["blockquote"],
        _ => true,
    };
    if !allowed || name == "a" && argument.is_empty() {
        return Err(format!("<{tag}> in {outer:?}"));
    }
    open.push(Entity { tag: name.to_owned(), argument, units: units..units });
    Ok(())
}

fn quoted(attribute: &str, before: &str) -> Result<String, String> {
    let value = attribute.strip_prefix(before).and_then(|rest| rest.strip_suffix('"'));
    value.filter(|value| !value.contains(['"', '<', '\n'])).map(str::to_owned).ok_or(format!("the attribute {attribute:?}"))
}
