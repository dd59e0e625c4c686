//! Reading a file line by line in bounded memory, however long the lines are.

use std::io::{self, BufRead};

use crate::call::Deadline;

/// Bytes read at a time. Also how much of a file's start is looked at to tell whether it is binary.
pub(crate) const BLOCK: usize = 64 * 1024;

/// Whether what the reader holds next is binary: it contains a NUL byte, as git and grep judge it.
pub(crate) fn is_binary(reader: &mut impl BufRead) -> io::Result<bool> {
    Ok(memchr::memchr(0, reader.fill_buf()?).is_some())
}

/// Reads one line: its first `keep` bytes into `line`, without the newline; the rest is read over.
///
/// Returns the whole line's length in bytes without its newline; None at the end of the file.
/// Past the deadline it fails with `TimedOut`.
pub(crate) fn next_line(reader: &mut impl BufRead, keep: usize, line: &mut Vec<u8>, deadline: &Deadline) -> io::Result<Option<u64>> {
    line.clear();
    let mut length = 0u64;
    let mut any = false;
    loop {
        let block = match reader.fill_buf() {
            Ok(block) => block,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if block.is_empty() {
            return Ok(any.then_some(length));
        }
        any = true;
        let newline = memchr::memchr(b'\n', block);
        let part = newline.unwrap_or(block.len());
        let kept = part.min(keep - line.len());
        line.extend_from_slice(&block[..kept]);
        length += part as u64;
        reader.consume(part + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(Some(length));
        }
        if deadline.passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;
    use std::time::Duration;

    use super::*;

    fn check(text: &str, keep: usize, expected: &[(&str, u64)]) {
        let deadline = Deadline::after(Duration::from_secs(60));
        // A block of 3 bytes, so that lines lie over blocks.
        let mut reader = BufReader::with_capacity(3, text.as_bytes());
        let mut line = Vec::new();
        let mut found = Vec::new();
        while let Some(length) = next_line(&mut reader, keep, &mut line, &deadline).unwrap() {
            found.push((String::from_utf8(line.clone()).unwrap(), length));
        }
        let expected: Vec<_> = expected.iter().map(|&(text, length)| (text.to_owned(), length)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_are_cut_but_counted() {
        check("", 9, &[]);
        check("\n", 9, &[("", 0)]);
        check("a\nb", 9, &[("a", 1), ("b", 1)]);
        check("abcdef\n\nxy\n", 4, &[("abcd", 6), ("", 0), ("xy", 2)]);
    }
}
