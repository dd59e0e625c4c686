//! Reads a command of the POSIX shell as the argument vectors that it runs.
//!
//! A strict part of the language: words with quotes and escapes, joined by `;`, `&&`, `||`, `|` and newlines, output thrown away.
//! Whatever the shell would rewrite (substitutions, variables, globs), all other redirections, `&`, keywords, functions and assignments
//! are deliberately not understood: such a command fits no rule that allows. Nothing here says what a program does with its arguments.

/// Stands in the words of a pattern for an unquoted `*`. No command that is understood has it.
pub(super) const WILDCARD: char = '\0';

/// Words at which the shell begins something else than a program's call.
const KEYWORDS: &str = " if then else elif fi do done case esac while until for in function select coproc repeat foreach end always \
    nocorrect noglob ";

/// The simple commands of `text`, each with at least one word, the program's; `None` if it is not understood.
pub(super) fn parse(text: &str) -> Option<Vec<Vec<String>>> {
    let commands = Reader { rest: text, is_pattern: false }.commands()?;
    // A program named by a relative path would be another one after a change of the folder.
    let moves = commands.iter().any(|words| matches!(words[0].as_str(), "cd" | "pushd" | "popd"));
    let relative = |words: &Vec<String>| words[0].contains('/') && !words[0].starts_with('/');
    let good = !commands.is_empty() && commands.iter().all(|words| is_call(words)) && !(moves && commands.iter().any(relative));
    good.then_some(commands)
}

/// The words of a rule's `command`, in which [`WILDCARD`] stands for an unquoted `*`; `None` if it is more than one command's words.
pub(super) fn parse_pattern(text: &str) -> Option<Vec<String>> {
    let mut commands = Reader { rest: text, is_pattern: true }.commands()?;
    let words = commands.pop().filter(|_| commands.is_empty())?;
    (words[0] == WILDCARD.to_string() || is_call(&words)).then_some(words)
}

/// `word` as it must be written for the shell to read it as one word.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ',' | ':' | '@' | '+' | '%');
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Characters that are not seen, that change what is seen, or that look like a space: never part of a word.
pub(super) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c), 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f)
        || matches!(u32::from(c), 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164 | 0xfe00..=0xfe0e | 0xfeff | 0xffa0 | 0xfff0..=0xfffb)
        || u32::from(c) >= 0xe0000
}

/// Whether the first word is a program in plain ASCII, and so is the name of every option.
fn is_call(words: &[String]) -> bool {
    let program = &words[0];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '[');
    let is_option = |word: &str| word.starts_with('-') && !word.split('=').next().unwrap_or_default().is_ascii();
    !program.is_empty()
        && program.chars().all(is_name)
        && !KEYWORDS.contains(&format!(" {program} "))
        && !words.iter().any(|word| is_option(word))
}

fn is_quotable(c: char) -> bool {
    matches!(c, '\n' | '\t') || !is_deceptive(c)
}

/// Characters that mean themselves to every shell in every place of a word.
fn is_plain(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ',' | ':' | '@' | '+' | '%' | '=' | '^'),
        false => c.is_alphanumeric() && !is_deceptive(c),
    }
}

fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | ';' | '|' | '&')
}

struct Reader<'a> {
    rest: &'a str,
    is_pattern: bool,
}

impl Reader<'_> {
    fn commands(mut self) -> Option<Vec<Vec<String>>> {
        let (mut commands, mut words) = (Vec::new(), Vec::new());
        // Whether the last operator must have a command behind it.
        let mut open = false;
        loop {
            self.skip_blanks();
            if self.rest.is_empty() {
                break;
            }
            if self.rest.starts_with(ends_word) {
                let operator = ["&&", "||", "|", ";", "\n"].into_iter().find(|operator| self.take(operator))?;
                if !words.is_empty() {
                    commands.push(std::mem::take(&mut words));
                    open = !matches!(operator, ";" | "\n");
                } else if operator != "\n" {
                    return None;
                }
            } else if self.rest.starts_with(['>', '<']) || self.rest.starts_with("1>") || self.rest.starts_with("2>") {
                self.thrown_away().filter(|()| !words.is_empty())?;
            } else {
                words.push(self.word()?);
            }
        }
        match words.is_empty() {
            true => (!open).then_some(commands),
            false => {
                commands.push(words);
                Some(commands)
            }
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip_blanks(&mut self) {
        while self.take(" ") || self.take("\t") || self.take("\\\n") {}
    }

    /// A redirection that writes nothing: to `/dev/null`, or of one output to the other.
    fn thrown_away(&mut self) -> Option<()> {
        let _ = self.take("1") || self.take("2");
        if !self.take(">") {
            return None;
        }
        if !self.take("&1") && !self.take("&2") {
            self.rest = self.rest.trim_start_matches([' ', '\t']);
            if !self.take("/dev/null") {
                return None;
            }
        }
        (self.rest.is_empty() || self.rest.starts_with(ends_word)).then_some(())
    }

    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        while !self.rest.is_empty() && !self.rest.starts_with(ends_word) {
            match self.next()? {
                '\'' => {
                    let (quoted, behind) = self.rest.split_once('\'')?;
                    if !quoted.chars().all(is_quotable) {
                        return None;
                    }
                    word.push_str(quoted);
                    self.rest = behind;
                }
                '"' => self.double_quoted(&mut word)?,
                '\\' => match self.next()? {
                    '\n' => {}
                    c if c == ' ' || c.is_ascii_graphic() => word.push(c),
                    _ => return None,
                },
                '*' if self.is_pattern => word.push(WILDCARD),
                // `=ls` is a path to some shells.
                '=' if word.is_empty() => return None,
                // `HEAD~2`; at the beginning of a word it is a home folder.
                '~' if word.ends_with(|c: char| c.is_ascii_alphanumeric()) => word.push('~'),
                c if is_plain(c) => word.push(c),
                _ => return None,
            }
        }
        Some(word)
    }

    fn double_quoted(&mut self, word: &mut String) -> Option<()> {
        loop {
            match self.next()? {
                '"' => return Some(()),
                '\\' => match self.next()? {
                    '\n' => {}
                    c @ ('$' | '`' | '"' | '\\') => word.push(c),
                    c if is_quotable(c) => word.extend(['\\', c]),
                    _ => return None,
                },
                // The end of a pattern, as in `"x$"`.
                '$' if self.rest.starts_with('"') => word.push('$'),
                '$' | '`' => return None,
                c if is_quotable(c) => word.push(c),
                _ => return None,
            }
        }
    }
}
