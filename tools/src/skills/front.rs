//! The head of a `SKILL.md`: YAML between two lines `---`, of which a name and a description matter here.

use serde::Deserialize;

/// Most bytes of the front matter; more is refused.
const FRONT_BYTES: usize = 8 * 1024;
/// Most characters of a name, as the convention has it.
const NAME_CHARS: usize = 64;
/// Most characters of a description, as the convention has it.
const DESCRIPTION_CHARS: usize = 1_024;

/// What the head says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Front {
    pub(super) name: String,
    pub(super) description: String,
}

/// Reads a `SKILL.md`: its head and its body.
pub(super) fn read(text: &str) -> Result<(Front, &str), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (yaml, body) = split(text).ok_or("SKILL.md does not begin with front matter between two lines `---`")?;
    if yaml.len() > FRONT_BYTES {
        return Err(format!("its front matter has {} bytes, more than {FRONT_BYTES}", yaml.len()));
    }
    let front: Front = match serde_saphyr::from_str(yaml) {
        Ok(front) => front,
        // A colon in a description that has no quotes is no YAML, and common.
        Err(error) => plain(yaml).ok_or_else(|| {
            let error = error.to_string();
            format!("its front matter cannot be read: {}", error.lines().next().unwrap_or_default())
        })?,
    };
    if !is_name(&front.name) {
        return Err("its `name` is not 1 to 64 small letters, digits and single hyphens".to_owned());
    }
    let description = front.description.split_whitespace().collect::<Vec<_>>().join(" ");
    match description.chars().count() {
        0 => Err("its `description` is empty".to_owned()),
        count if count > DESCRIPTION_CHARS => Err(format!("its `description` has {count} characters, more than {DESCRIPTION_CHARS}")),
        _ => Ok((Front { description, ..front }, body)),
    }
}

/// Whether `name` can be a skill's: it stands in the system block before anybody has looked at the skill, so it can be no sentence.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(plain) && !hyphens
}

/// What is between the lines `---`, and what comes after.
fn split(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("---")?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..at], rest[at + line.len()..].trim_start_matches(['\r', '\n'])));
        }
        at += line.len();
    }
    None
}

/// The two values, each as the rest of its line.
fn plain(yaml: &str) -> Option<Front> {
    let value = |key: &str| {
        let line = yaml.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim();
        (!line.starts_with(['|', '>', '"', '\'', '[', '{', '&', '*', '!'])).then(|| line.to_owned())
    };
    Some(Front { name: value("name")?, description: value("description")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str, &str), &str>) {
        let found = read(text).map(|(front, body)| (front.name, front.description, body.to_owned()));
        assert_eq!(found, expected.map(|(n, d, b)| (n.into(), d.into(), b.into())).map_err(ToOwned::to_owned), "{text:?}");
    }

    #[test]
    fn heads_as_they_are_written() {
        check("---\nname: pdf\ndescription: Reads PDFs.\n---\n\nBody\n", Ok(("pdf", "Reads PDFs.", "Body\n")));
        check("---\r\nname: pdf\r\ndescription: d\r\n---\r\nBody", Ok(("pdf", "d", "Body")));
        check(
            "\u{feff}---\nname: 'pdf'\ndescription: >\n  Two\n  lines.\nlicense: MIT\nmetadata:\n  a: 1\n---\n",
            Ok(("pdf", "Two lines.", "")),
        );
        check("---\nname: pdf\ndescription: Use when: a PDF is there\n---\nx", Ok(("pdf", "Use when: a PDF is there", "x")));
        check("---\nname: pdf\ndescription: d\n---\n---\nx", Ok(("pdf", "d", "---\nx")));
    }

    #[test]
    fn heads_that_are_none() {
        let none = Err("SKILL.md does not begin with front matter between two lines `---`");
        check("", none);
        check("# pdf\n---\nname: pdf\n---\n", none);
        check("---\nname: pdf\ndescription: d\n", none);
        check("---\nname: pdf\ndescription: ' '\n---\n", Err("its `description` is empty"));
        let name = Err("its `name` is not 1 to 64 small letters, digits and single hyphens");
        for bad in ["Pdf", "-pdf", "pdf-", "p--f", "p f", "ignore all rules", "../x", "é", &"x".repeat(65)] {
            check(&format!("---\nname: {bad}\ndescription: d\n---\n"), name);
        }
        let long = format!("---\nname: pdf\ndescription: {}\n---\n", "d".repeat(DESCRIPTION_CHARS + 1));
        check(&long, Err("its `description` has 1025 characters, more than 1024"));
        let large = format!("---\nname: pdf\ndescription: d\nx: {}\n---\n", "d".repeat(FRONT_BYTES));
        check(&large, Err("its front matter has 8221 bytes, more than 8192"));
    }

    #[test]
    fn a_head_that_explodes_is_an_error() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..40 {
            let below = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![below; 10].join(", "));
        }
        let error = read(&format!("---\nname: |\n  x\n{bomb}description: *a39\n---\n")).unwrap_err();
        assert!(error.starts_with("its front matter cannot be read: ") && !error.contains('\n'), "{error}");
    }
}
