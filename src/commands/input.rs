//! The prompt: from the argument, from standard input, or both. Checked before anything is loaded.

use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use crate::exit::BadInput;

/// Most bytes read from standard input. A context holds far less; the bound keeps a mistaken pipe out of memory.
pub const STDIN_BYTES: u64 = 8 * 1024 * 1024;

/// How long a silent pipe is waited for before a line says so.
const SILENCE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The words.
    pub text: String,
    /// Text that was piped along.
    pub data: Option<String>,
}

/// What standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// A person types there; it is not read.
    Terminal,
    /// A file, a pipe or a socket: read to its end.
    Piped,
}

/// Puts the prompt together. `stdin` is read if the prompt is `-` or if it is piped.
pub fn read(prompt: Option<&str>, kind: Stdin, stdin: impl Read + Send + 'static) -> Result<Input, BadInput> {
    let piped = match (prompt, kind) {
        (Some("-"), _) | (_, Stdin::Piped) => Some(read_stdin(stdin)?),
        (_, Stdin::Terminal) => None,
    };
    let (text, data) = match (prompt, piped) {
        (None | Some("-"), Some(text)) => (text, None),
        (None | Some("-"), None) => {
            return Err(BadInput("there is no prompt; give one as an argument, or `-` to read it from standard input".into()));
        }
        (Some(prompt), piped) => (prompt.to_owned(), piped.filter(|text| !text.trim().is_empty())),
    };
    if text.trim().is_empty() {
        return Err(BadInput("the prompt is empty; write what you want after `ask`".into()));
    }
    for (what, text) in [("prompt", Some(&text)), ("piped text", data.as_ref())] {
        if let Some(offset) = text.and_then(|text| text.find('\0')) {
            return Err(BadInput(format!("the {what} has a NUL at byte {offset}; remove it, for example with `tr -d '\\0'`")));
        }
    }
    Ok(Input { text, data })
}

/// All of standard input as text. After some silence a line says what is being waited for.
pub fn read_stdin(stdin: impl Read + Send + 'static) -> Result<String, BadInput> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // On its own thread, so that the wait can be seen; an ending process does not wait for it.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdin.take(STDIN_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes);
        let _ = sender.send(result);
    });
    let read = receiver.recv_timeout(SILENCE).or_else(|_| {
        tell!("paguro: reading standard input to its end; give </dev/null if there is none");
        receiver.recv()
    });
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(e)) => return Err(BadInput(format!("standard input cannot be read: {e}"))),
        Err(_) => return Err(BadInput("standard input cannot be read".into())),
    };
    if bytes.len() as u64 > STDIN_BYTES {
        return Err(BadInput(format!(
            "standard input has more than {STDIN_BYTES} bytes; give a shorter text, or put it into a file of the workspace"
        )));
    }
    String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let byte = e.as_bytes()[offset];
        BadInput(format!(
            "standard input is not UTF-8: byte 0x{byte:02x} at offset {offset}; convert it, for example with `iconv -t utf-8`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prompt: Option<&str>, stdin: Option<&[u8]>, expected: Result<(&str, Option<&str>), &str>) {
        let kind = if stdin.is_some() { Stdin::Piped } else { Stdin::Terminal };
        let bytes = std::io::Cursor::new(stdin.unwrap_or_default().to_vec());
        match (read(prompt, kind, bytes), expected) {
            (Ok(input), Ok((text, data))) => assert_eq!((input.text.as_str(), input.data.as_deref()), (text, data)),
            (Err(error), Err(part)) => assert!(error.0.contains(part) && !error.0.contains('\n'), "{error}"),
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn words_and_data() {
        check(Some("hi"), None, Ok(("hi", None)));
        check(Some("hi"), Some(b""), Ok(("hi", None)));
        check(Some("save this"), Some(b"a\nb\n"), Ok(("save this", Some("a\nb\n"))));
        check(Some("-"), Some(b"hi\n"), Ok(("hi\n", None)));
        check(None, Some(b"hi"), Ok(("hi", None)));
    }

    #[test]
    fn bad_input_is_named() {
        check(None, None, Err("no prompt"));
        check(Some(""), None, Err("empty"));
        check(Some(" \n"), Some(b"data"), Err("empty"));
        check(Some("-"), Some(b""), Err("empty"));
        check(Some("-"), Some(b"ab\xffc"), Err("byte 0xff at offset 2"));
        check(Some("-"), Some(b"a\0b"), Err("NUL at byte 1"));
        check(Some("x"), Some(b"a\0b"), Err("the piped text has a NUL at byte 1"));
        let much = vec![b'a'; usize::try_from(STDIN_BYTES).unwrap() + 1];
        check(Some("-"), Some(&much), Err("more than"));
    }
}
