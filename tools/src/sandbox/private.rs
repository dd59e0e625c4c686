//! Files of the system that the system does not let everybody read. Where this program runs as root, its commands are root to the file
//! system, too, and would read them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where such files are looked for, and how many folders deep; what lies deeper is seen.
const PLACES: [(&str, usize); 4] = [("/etc", 4), ("/opt", 2), ("/usr/local", 1), ("/usr/local/etc", 4)];
/// Entries of a place that are looked at.
const ENTRIES: usize = 10_000;
/// Others may read a file, or read and enter a folder.
const FILE: u32 = 0o004;
const FOLDER: u32 = 0o005;

/// All of them now. One that comes later is seen until the program starts again.
pub(super) fn files() -> Vec<PathBuf> {
    let mut out = Vec::new();
    for (place, depth) in PLACES {
        let mut left = ENTRIES;
        look(Path::new(place), depth, &mut left, &mut out);
    }
    out.sort();
    out.dedup();
    out
}

fn look(folder: &Path, depth: usize, left: &mut usize, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(less) = left.checked_sub(1) else { return };
        *left = less;
        let (path, Ok(found)) = (entry.path(), entry.metadata()) else { continue };
        let mode = found.mode();
        if found.is_dir() && mode & FOLDER == FOLDER {
            if depth > 0 {
                look(&path, depth - 1, left, out);
            }
        } else if (found.is_dir() && mode & FOLDER != FOLDER) || (found.is_file() && mode & FILE == 0) {
            out.push(path);
        }
    }
}
