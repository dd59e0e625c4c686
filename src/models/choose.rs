//! Which of a repository's files are meant. Pure: the list comes from `hub`.

use std::collections::BTreeMap;

use super::catalogue::catalogue;
use crate::exit::BadInput;

/// What is taken where no quant is named, the first that is there.
const PREFERRED: [&str; 3] = ["Q4_K_M", "Q4_0", "Q8_0"];

/// `REPO[:QUANT]` as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `owner/name`.
    pub repo: String,
    /// Part of a file's name.
    pub quant: Option<String>,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path inside the repository, `/` between the parts.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal digits, small letters; `None`: the hub does not say.
    pub sha256: Option<String>,
}

impl RemoteFile {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl Wanted {
    /// Reads `owner/name`, `owner/name:quant`, or a name of the table of good models.
    ///
    /// # Errors
    /// One line for who typed it.
    pub fn parse(text: &str) -> Result<Self, BadInput> {
        if let Some(entry) = catalogue().find(text) {
            return Ok(Self { repo: entry.repo.clone(), quant: Some(entry.quant.clone()) });
        }
        let (repo, quant) = text.split_once(':').map_or((text, None), |(repo, quant)| (repo, Some(quant)));
        let is_word = |word: &str| {
            let sane = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            sane && !word.is_empty() && word.len() <= 96 && !word.starts_with('.') && !word.contains("..")
        };
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| is_word(part)) || quant.is_some_and(|quant| !is_word(quant)) {
            let way = "give OWNER/NAME or OWNER/NAME:QUANT, or a name that `paguro model pull` shows";
            return Err(BadInput(format!("`{text}` names no model; {way}")));
        }
        Ok(Self { repo: repo.to_owned(), quant: quant.map(str::to_owned) })
    }
}

/// A model among the files: one file, or all parts of one in order.
type Set<'a> = Vec<&'a RemoteFile>;

/// The files that `wanted` means: one, or all parts of one model in order.
///
/// # Errors
/// What there is, where nothing or more than one thing is meant.
pub fn choose(wanted: &Wanted, files: &[RemoteFile]) -> Result<Vec<RemoteFile>, BadInput> {
    let repo = &wanted.repo;
    let sets = sets(files);
    if sets.is_empty() {
        return Err(BadInput(format!("{repo} has no GGUF file; look for a repository whose name ends with GGUF")));
    }
    let found = match &wanted.quant {
        Some(quant) => matching(&sets, quant),
        None if sets.len() == 1 => vec![&sets[0]],
        None => PREFERRED.iter().map(|quant| matching(&sets, quant)).find(|found| !found.is_empty()).unwrap_or_default(),
    };
    match (found.as_slice(), &wanted.quant) {
        ([set], _) => whole(set),
        ([], Some(quant)) => Err(BadInput(format!("{repo} has no file with {quant} in its name; it has {}", names(sets.iter())))),
        ([], None) => Err(BadInput(format!("{repo} has several models; name one as {repo}:QUANT: {}", names(sets.iter())))),
        (several, _) => Err(BadInput(format!("several files of {repo} fit; name one as {repo}:FILE: {}", names(several.iter().copied())))),
    }
}

/// The models among `files`, in the order of their names.
fn sets(files: &[RemoteFile]) -> Vec<Set<'_>> {
    let mut sets: BTreeMap<String, Set<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| is_model(file.name())) {
        let key = match part_of(&file.path) {
            Some((stem, _, count)) => format!("{stem} of {count}"),
            None => file.path.clone(),
        };
        sets.entry(key).or_default().push(file);
    }
    sets.into_values()
        .map(|mut set| {
            set.sort_by(|a, b| a.path.cmp(&b.path));
            set
        })
        .collect()
}

/// Projectors for pictures and importance matrices are GGUFs too, but no models.
fn is_model(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".gguf") && !name.contains("mmproj") && !name.starts_with("imatrix")
}

/// `model-00002-of-00003.gguf` is (`model`, 2, 3).
pub fn part_of(name: &str) -> Option<(&str, u32, u32)> {
    let number = |text: &str| (text.len() == 5).then(|| text.parse::<u32>().ok()).flatten();
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let (part, count) = (number(part)?, number(count)?);
    (1..=count).contains(&part).then_some((stem, part, count))
}

/// The sets whose name has `quant` as a word of its own, else as any part.
fn matching<'a, 'b>(sets: &'b [Set<'a>], quant: &str) -> Vec<&'b Set<'a>> {
    let quant = quant.to_ascii_lowercase();
    let fits = |test: fn(&str, &str) -> bool| -> Vec<&'b Set<'a>> {
        sets.iter().filter(|set| test(&set[0].name().to_ascii_lowercase(), &quant)).collect()
    };
    match fits(has_word) {
        found if found.is_empty() => fits(|name, quant| name.contains(quant)),
        found => found,
    }
}

/// Whether `name` has `word` between things that are neither letters, digits nor `_`: `Q4_K` is no word of `x-Q4_K_M.gguf`.
fn has_word(name: &str, word: &str) -> bool {
    let part_of_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    name.match_indices(word).any(|(at, _)| {
        let bytes = name.as_bytes();
        !part_of_word(at.checked_sub(1).and_then(|before| bytes.get(before))) && !part_of_word(bytes.get(at + word.len()))
    })
}

fn names<'a, 'b: 'a>(sets: impl Iterator<Item = &'a Set<'b>>) -> String {
    const SHOWN: usize = 40;
    let mut names: Vec<&str> = sets.map(|set| set[0].name()).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

/// All parts of the set, checked to be there.
fn whole(set: &Set<'_>) -> Result<Vec<RemoteFile>, BadInput> {
    if let Some((stem, _, count)) = part_of(&set[0].path) {
        let there: Vec<u32> = set.iter().filter_map(|file| part_of(&file.path).map(|(_, part, _)| part)).collect();
        if let Some(missing) = (1..=count).find(|part| !there.contains(part)) {
            return Err(BadInput(format!("part {missing} of {count} of {stem} is not in the repository; choose another quant")));
        }
    }
    Ok(set.iter().copied().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        paths.iter().map(|path| RemoteFile { path: (*path).to_owned(), size: 1, sha256: None }).collect()
    }

    fn check(wanted: &str, paths: &[&str], expected: Result<&[&str], &str>) {
        let chosen = Wanted::parse(wanted).and_then(|wanted| choose(&wanted, &files(paths)));
        let chosen = chosen.map(|files| files.into_iter().map(|file| file.path).collect::<Vec<_>>()).map_err(|e| e.to_string());
        assert_eq!(
            chosen.as_deref().map(|files| files.iter().map(String::as_str).collect::<Vec<_>>()).map_err(String::as_str),
            expected.map(<[&str]>::to_vec),
            "{wanted} {paths:?}"
        );
    }

    #[test]
    fn quants() {
        let all = ["README.md", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-Q8_0.gguf", "m-BF16.gguf", "m-F16.gguf", "mmproj-m-F16.gguf"];
        check("o/m", &all, Ok(&["m-Q4_K_M.gguf"]));
        check("o/m:q8_0", &all, Ok(&["m-Q8_0.gguf"]));
        check("o/m:F16", &all, Ok(&["m-F16.gguf"]));
        check("o/m:m-Q4_K_S.gguf", &all, Ok(&["m-Q4_K_S.gguf"]));
        check("o/m:Q4_K", &all, Err("several files of o/m fit; name one as o/m:FILE: m-Q4_K_M.gguf, m-Q4_K_S.gguf"));
        let what = "m-BF16.gguf, m-F16.gguf, m-Q4_K_M.gguf, m-Q4_K_S.gguf, m-Q8_0.gguf";
        check("o/m:Q2_K", &all, Err(&format!("o/m has no file with Q2_K in its name; it has {what}")));
        check("o/m", &["m.Q4_0.gguf", "m.Q8_0.gguf"], Ok(&["m.Q4_0.gguf"]));
        check("o/m", &["m-Q2_K.gguf"], Ok(&["m-Q2_K.gguf"]));
        check("o/m", &["m-Q2_K.gguf", "m-Q3_K.gguf"], Err("o/m has several models; name one as o/m:QUANT: m-Q2_K.gguf, m-Q3_K.gguf"));
        check("o/m", &["a.txt", "mmproj.gguf"], Err("o/m has no GGUF file; look for a repository whose name ends with GGUF"));
    }

    #[test]
    fn parts() {
        let all = ["q/m-Q4_0-00002-of-00002.gguf", "q/m-Q4_0-00001-of-00002.gguf", "m-Q8_0.gguf"];
        check("o/m:Q4_0", &all, Ok(&["q/m-Q4_0-00001-of-00002.gguf", "q/m-Q4_0-00002-of-00002.gguf"]));
        let missing = "part 1 of 2 of q/m-Q4_0 is not in the repository; choose another quant";
        check("o/m:Q4_0", &all[..1], Err(missing));
        assert_eq!(part_of("m-00004-of-00003.gguf"), None);
        assert_eq!(part_of("m-1-of-3.gguf"), None);
    }

    #[test]
    fn what_is_typed() {
        let ok = |text: &str, repo: &str, quant: Option<&str>| {
            assert_eq!(Wanted::parse(text).unwrap(), Wanted { repo: repo.to_owned(), quant: quant.map(str::to_owned) });
        };
        ok("Qwen/Qwen3-4B-GGUF:Q8_0", "Qwen/Qwen3-4B-GGUF", Some("Q8_0"));
        ok("qwen3-4b", "Qwen/Qwen3-4B-GGUF", Some("Q4_K_M"));
        for bad in ["", "model", "a/b/c", "../b", "a/..", "a/b:", "a/b:../x", "a /b", "a/b?x=1", "https://h/a/b", "a/b#"] {
            assert!(Wanted::parse(bad).is_err(), "{bad}");
        }
    }
}
