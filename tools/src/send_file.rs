//! `send_file`: a file of the workspace goes to the person in the chat.
//!
//! What was approved is what is sent: the file is copied when the tool runs, beside the database, and the copy is what the channel sends
//! and removes. So nothing that happens in the workspace meanwhile can put another file in its place.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use agent::engine::ToolSchema;
use agent::memory::Store;
use agent::{Effect, Tool, ToolContext, ToolError, ToolFuture};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{blocking, fail, parse, schema};
use crate::text::thousands;
use crate::workspace::Workspace;

/// Most bytes of a file: what Telegram's own servers take from a bot.
const MOST_BYTES: u64 = 50_000_000;

/// Bytes of a file's name that are kept.
const NAME_BYTES: usize = 100;

/// See the file's head.
pub struct SendFile {
    workspace: Workspace,
    folder: PathBuf,
    store: Store,
    channel: &'static str,
}

impl SendFile {
    /// Sends files of `workspace` by `channel`, copied into `folder` first.
    #[must_use]
    pub fn new(workspace: Workspace, folder: PathBuf, store: Store, channel: &'static str) -> Self {
        Self { workspace, folder, store, channel }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    caption: Option<String>,
}

impl Tool for SendFile {
    fn schema(&self) -> ToolSchema {
        schema(
            "send_file",
            "Send a file of the workspace to the person in this chat.",
            1,
            json!({"path": {"type": "string"}, "caption": {"type": "string"}}),
        )
    }

    /// It carries data out.
    fn effect(&self) -> Effect {
        Effect::Network
    }

    fn leads_to(&self, arguments: &Value) -> Option<String> {
        self.workspace.leads_to(arguments.get("path")?.as_str()?)
    }

    fn run<'a>(&'a self, arguments: &'a Value, context: &'a ToolContext) -> ToolFuture<'a> {
        Box::pin(async move {
            let Arguments { path, caption } = parse(arguments)?;
            if context.channel != self.channel {
                return Err(fail(format!("this chat shows no files; tell the person that it is at {path} in the workspace")));
            }
            let (workspace, copy) = (self.workspace.clone(), self.folder.join(&context.key).join(name(&path)));
            let (place, from) = (copy.clone(), path.clone());
            let copied = blocking(context, move |_| copy_of(&workspace, &from, &place)).await?;
            // The same call sends it once, however often it runs.
            let about = format!("file {}", copy.display());
            let text = caption.unwrap_or_default();
            self.store.say(&context.channel, &context.session, &text, Some(&about)).await.map_err(|error| fail(error.to_string()))?;
            Ok(format!("{path} is on its way ({})", copied.text).into())
        })
    }
}

/// The last part of a path, in letters that every system takes.
fn name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().map(|c| if c.is_control() || "/\\:".contains(c) { '_' } else { c }).collect();
    name[name.ceil_char_boundary(name.len().saturating_sub(NAME_BYTES))..].to_owned()
}

fn copy_of(workspace: &Workspace, path: &str, copy: &Path) -> Result<String, ToolError> {
    let (file, metadata) = workspace.locate(path)?.open_file()?;
    if metadata.len() == 0 {
        return Err(fail(format!("{path} is empty; an empty file cannot be sent")));
    }
    let too_large = || fail(format!("{path} has more than {} bytes, the most that can be sent", thousands(MOST_BYTES)));
    if metadata.len() > MOST_BYTES {
        return Err(too_large());
    }
    let cannot = |error: std::io::Error| fail(format!("{path} cannot be copied: {error}"));
    if let Some(folder) = copy.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    let mut out = std::fs::File::create(copy).map_err(cannot)?;
    let bytes = std::io::copy(&mut file.take(MOST_BYTES + 1), &mut out).map_err(cannot)?;
    if bytes > MOST_BYTES {
        let _ = std::fs::remove_file(copy); // it is overwritten by the next try in any case
        return Err(too_large());
    }
    out.sync_all().map_err(cannot)?;
    Ok(format!("{} bytes", thousands(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, wait};

    #[test]
    fn a_file_of_the_workspace_goes_out_once() {
        let mut bench = Bench::new();
        bench.context.channel = "chat".into();
        bench.context.session = "1".into();
        bench.write("a b.txt", "hello");
        bench.write("empty", "");
        let folder = bench.outside("outgoing");
        let tool = SendFile::new(bench.workspace.clone(), folder.clone(), bench.store.clone(), "chat");
        let run = |path: &str, context: &ToolContext| {
            wait(tool.run(&json!({ "path": path, "caption": "see" }), context)).map(|output| output.text).map_err(|error| error.text)
        };
        assert_eq!(run("a b.txt", &bench.context).unwrap(), "a b.txt is on its way (5 bytes)");
        assert_eq!(run("a b.txt", &bench.context).unwrap(), "a b.txt is on its way (5 bytes)");
        let rows = wait(bench.store.unsent("chat")).unwrap();
        assert_eq!(rows.len(), 1);
        let copy = rows[0].about.as_deref().unwrap().strip_prefix("file ").unwrap().to_owned();
        assert_eq!((rows[0].text.as_str(), std::fs::read_to_string(&copy).unwrap().as_str()), ("see", "hello"));
        assert!(copy.ends_with("7-call_2/a b.txt"), "{copy}");
        for (path, part) in [("empty", "empty"), ("../outside/secret.txt", "outside"), ("none", "")] {
            assert!(run(path, &bench.context).unwrap_err().contains(part), "{path}");
        }
        let elsewhere = ToolContext { channel: "terminal".into(), ..bench.context.clone() };
        assert!(run("a b.txt", &elsewhere).unwrap_err().contains("shows no files"));
    }
}
