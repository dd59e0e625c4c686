//! A disk that can be filled: a small file system in memory, mounted in a namespace of its own, so that no rights are needed for it.
//!
//! `unshare` and `nsenter` are util-linux, which every Linux system has; without user namespaces there is no such disk.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The disk's size: room for all that a scenario writes, and filled in no time.
const SIZE: &str = "8m";

/// What a file takes at least, and what it grows by.
const PAGE: usize = 1 << 12;

/// The mounted disk. Nothing is left of it after the drop.
pub struct Disk {
    /// Has the namespace in which the disk is mounted.
    holder: Child,
    /// The disk's root, for those outside.
    folder: PathBuf,
    /// What takes the room away.
    filler: Option<File>,
}

impl Disk {
    /// Mounts a disk on `folder`; `None` where the system allows no such namespace.
    pub fn mount(folder: &Path) -> Option<Self> {
        let script = format!("mount -t tmpfs -o size={SIZE} tmpfs \"$0\" && echo ready && exec sleep infinity");
        let mut holder = Command::new("unshare")
            .args(["-Urm", "--propagation", "private", "sh", "-c", &script])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let read = BufReader::new(holder.stdout.take()?).read_line(&mut line);
        let inside = folder.strip_prefix("/").ok()?;
        let folder = Path::new("/proc").join(holder.id().to_string()).join("root").join(inside);
        let disk = Self { holder, folder, filler: None };
        (read.is_ok() && line == "ready\n").then_some(disk)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `program` where the disk is mounted. The process that is started becomes it, so its number is the program's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-U", "-m", "--preserve-credentials", "--", program]);
        command
    }

    /// Takes all room but `pages` pages.
    pub fn fill_but(&mut self, pages: usize) {
        let path = self.folder.join("filler");
        let file = self.filler.get_or_insert_with(|| File::create(path).unwrap());
        let mut bytes = 0;
        for size in [1 << 16, PAGE] {
            let block = vec![b'.'; size];
            while let Ok(more @ 1..) = file.write(&block) {
                bytes += more as u64;
            }
        }
        file.set_len(bytes.saturating_sub((pages * PAGE) as u64)).unwrap();
    }

    /// Gives the room back.
    pub fn free(&mut self) {
        if self.filler.take().is_some() {
            std::fs::remove_file(self.folder.join("filler")).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
