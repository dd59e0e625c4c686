//! Runs the executable.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

use super::disk::Disk;

/// A home of its own for each test.
pub struct Home {
    // Fields drop in this order: what is mounted on the folder goes first.
    pub disk: Option<Disk>,
    pub folder: tempfile::TempDir,
    /// Variables beside those that every run has.
    pub variables: Vec<(String, String)>,
}

/// What a run left behind.
#[derive(Debug, PartialEq)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    pub fn new() -> Self {
        Self { disk: None, folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// A home on a small disk of its own, which can be filled; `None` where the system lets nobody mount one.
    pub fn on_small_disk() -> Option<Self> {
        let home = Self::new();
        let disk = Disk::mount(home.folder.path())?;
        Some(Self { disk: Some(disk), ..home })
    }

    /// Where the test finds a file of the home. The program finds it in `folder`, which differs on a disk of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.disk.as_ref().map_or(self.folder.path(), Disk::folder).join(name)
    }

    /// Writes a file of the home.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A script for `--model`.
    pub fn script(&self, lines: &[Value]) -> String {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.file("script.jsonl", text);
        format!("script:{}", self.folder.path().join("script.jsonl").display())
    }

    /// The executable with this home and nothing else of the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        const PROGRAM: &str = env!("CARGO_BIN_EXE_paguro");
        let mut command = self.disk.as_ref().map_or_else(|| Command::new(PROGRAM), |disk| disk.command(PROGRAM));
        command.args(arguments).env_clear().env("PAGURO_HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).spawn().unwrap())
    }

    /// With `input` on standard input.
    pub fn pipe(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // The program may refuse its arguments before it reads: a broken pipe is no failure of the test.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        finish(child)
    }
}

pub fn finish(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// Standard output as JSON lines.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}\n{self:?}"))).collect()
    }

    /// The events' types in order, repetitions folded.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.events().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        types.dedup();
        types.retain(|kind| kind != "progress");
        types.dedup();
        types
    }

    /// The last event.
    pub fn last(&self) -> Value {
        self.events().pop().unwrap_or_else(|| panic!("no event: {self:?}"))
    }
}

/// Journal writes, seen from outside as changes of the write-ahead log.
#[derive(Default)]
pub struct Writes {
    count: usize,
    last: Option<(u64, SystemTime)>,
}

impl Writes {
    /// How many there were. Those between two looks are one.
    pub fn look(&mut self, home: &Home) -> usize {
        let now = std::fs::metadata(home.path("paguro.db-wal")).ok().map(|log| (log.len(), log.modified().unwrap()));
        if now != self.last && now.is_some() {
            self.last = now;
            self.count += 1;
        }
        self.count
    }
}
