//! Files that came with messages: fetched into the workspace under safe names, and told of in words for the model.
//!
//! `media/SESSION/NUMBER-NAME`, where the number is that of the message. Nothing here follows a link that a command of the agent's may have
//! put there. What cannot be fetched is told of as well: the words that came with it are not held up for good.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::fs;

use super::api::{Api, ApiError};
use super::route::{Attached, Media};
use crate::commands::short;
use crate::terminal::one_line;

/// Tries of a file, and the wait before the second, which doubles.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// Bytes of a file's name, its ending included.
const NAME_BYTES: usize = 100;

/// Bytes of an ending that is kept when a name is cut.
const ENDING_BYTES: usize = 12;

/// Where files go, and how large they may be.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) workspace: PathBuf,
    pub(super) most: u64,
}

/// Fetches a file of message `message`; what there is to say about it, on one line.
pub(super) async fn fetch(api: &Api, shelf: &Shelf, session: &str, message: i64, attached: &Attached) -> String {
    if let Some(bytes) = attached.file.file_size.filter(|bytes| *bytes > shelf.most) {
        return told(attached, &format!("too large to be fetched: {}, and at most {} are", short(bytes, "B"), short(shelf.most, "B")));
    }
    let (folder, name) = (folder(session), file_name(message, attached));
    let mut wait = FIRST_WAIT;
    let mut tries = 1;
    let why = loop {
        match try_fetch(api, shelf, &folder, &name, &attached.file.file_id).await {
            Ok(()) => return told(attached, &format!("{folder}/{name}")),
            Err(Failed::Api(error)) if error.passes() && tries < TRIES => {
                let asked = if let ApiError::Flood(asked) = error { asked } else { Duration::ZERO };
                tokio::time::sleep(wait.max(asked)).await;
                (tries, wait) = (tries + 1, wait * 2);
            }
            Err(error) => break error.to_string(),
        }
    };
    tracing::warn!(of = message, "a file was not fetched: {why}");
    told(attached, &format!("it could not be fetched: {}", one_line(&why)))
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("it cannot be kept: {0}")]
    Disk(#[from] io::Error),
}

async fn try_fetch(api: &Api, shelf: &Shelf, folder: &str, name: &str, id: &str) -> Result<(), Failed> {
    let found = api.call_raw("getFile", &json!({ "file_id": id })).await?;
    let Some(path) = found["file_path"].as_str() else { return Err(ApiError::Refused("it can no longer be had".into()).into()) };
    let mut file = create(&shelf.workspace, folder, name).await?;
    if let Err(error) = api.download(path, &mut file, shelf.most).await {
        // The beginning of a file is not that file.
        drop(file);
        fs::remove_file(shelf.workspace.join(folder).join(name)).await?;
        return Err(error.into());
    }
    Ok(file.sync_all().await?)
}

/// Makes the file anew, and the folders that it is in. A link in their place is an error.
async fn create(workspace: &Path, folder: &str, name: &str) -> io::Result<fs::File> {
    let mut path = workspace.to_owned();
    for part in folder.split('/') {
        path.push(part);
        match fs::create_dir(&path).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        if !fs::symlink_metadata(&path).await?.is_dir() {
            return Err(io::Error::other(format!("{} is no folder", path.display())));
        }
    }
    path.push(name);
    match fs::remove_file(&path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    fs::OpenOptions::new().write(true).create_new(true).open(&path).await
}

/// The folder of a session, in the workspace: `-100123:45#3` is `media/g100123.45_3`.
fn folder(session: &str) -> String {
    let name: String = session
        .chars()
        .map(|c| match c {
            '-' => 'g',
            ':' => '.',
            c if c.is_ascii_digit() => c,
            _ => '_',
        })
        .collect();
    format!("media/{name}")
}

/// What the file is called: the message's number, and the name it came with as far as that is harmless.
fn file_name(message: i64, attached: &Attached) -> String {
    let given = attached.file.file_name.as_deref().unwrap_or_default();
    let name: String = given.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect();
    let name = name.trim_matches(['.', '_']);
    if name.is_empty() {
        let what = what(attached.what).replace(' ', "-");
        return format!("{message}-{what}.{}", ending(attached));
    }
    if name.len() <= NAME_BYTES {
        return format!("{message}-{name}");
    }
    let ending = name.rfind('.').map(|at| &name[at..]).filter(|ending| ending.len() <= ENDING_BYTES).unwrap_or_default();
    format!("{message}-{}{ending}", &name[..name.floor_char_boundary(NAME_BYTES - ending.len())])
}

/// The ending of a file that came without a name.
fn ending(attached: &Attached) -> String {
    let usual = match attached.what {
        Media::Photo => return "jpg".to_owned(),
        Media::Voice => "ogg",
        Media::Audio => "mp3",
        Media::Video | Media::VideoNote | Media::Animation => "mp4",
        Media::Document => "bin",
    };
    let kind = attached.file.mime_type.as_deref().and_then(|mime| mime.split_once('/')).map_or("", |(_, kind)| kind);
    let kind = match kind {
        "mpeg" | "octet-stream" => usual,
        "plain" => "txt",
        "jpeg" => "jpg",
        kind => kind,
    };
    let is_ending = (1..=8).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_ending { kind } else { usual }.to_owned()
}

fn what(media: Media) -> &'static str {
    match media {
        Media::Photo => "photo",
        Media::Document => "file",
        Media::Animation => "animation",
        Media::Audio => "audio",
        Media::Video => "video",
        Media::VideoNote => "video message",
        Media::Voice => "voice message",
    }
}

/// `[photo, 1280×960: media/7/3-photo.jpg; you cannot see it]`
fn told(attached: &Attached, where_to: &str) -> String {
    let file = &attached.file;
    let mut out = what(attached.what).to_owned();
    if let (Media::Document | Media::Audio, Some(name)) = (attached.what, file.file_name.as_ref().filter(|name| !name.trim().is_empty())) {
        out += &format!(" {}", one_line(name));
    }
    if let (Some(width), Some(height)) = (file.width, file.height) {
        out += &format!(", {width}×{height}");
    }
    if let Some(seconds) = file.duration {
        out += &format!(", {seconds} s");
    }
    let note = match attached.what {
        Media::Photo | Media::Animation | Media::Video | Media::VideoNote => "; you cannot see it, say so if it matters",
        Media::Voice | Media::Audio => "; you cannot hear it, say so if it matters",
        Media::Document => "",
    };
    format!("[{out}: {where_to}{note}]")
}

#[cfg(test)]
mod tests {
    use super::super::update::File;
    use super::*;

    fn attached(what: Media, name: &str, mime: &str) -> Attached {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Attached { what, file: File { file_id: "f".into(), file_name: some(name), mime_type: some(mime), ..File::default() } }
    }

    #[test]
    fn names_are_harmless() {
        let check = |name: &str, expected: &str| assert_eq!(file_name(7, &attached(Media::Document, name, "")), expected, "{name}");
        check("report.txt", "7-report.txt");
        check("../../.ssh/authorized_keys", "7-ssh_authorized_keys");
        check("/etc/passwd", "7-etc_passwd");
        check("a b\n; rm -rf ~", "7-a_b___rm_-rf");
        check("Übersicht März.pdf", "7-Übersicht_März.pdf");
        check("..", "7-file.bin");
        check("\u{202e}gpj.exe", "7-gpj.exe");
        check(&format!("{}.tar.gz", "x".repeat(300)), &format!("7-{}.gz", "x".repeat(NAME_BYTES - 3)));
        check(&"ä".repeat(300), &format!("7-{}", "ä".repeat(NAME_BYTES / 2)));
    }

    #[test]
    fn what_has_no_name_gets_one() {
        let check = |what: Media, mime: &str, expected: &str| assert_eq!(file_name(7, &attached(what, "", mime)), expected);
        check(Media::Photo, "", "7-photo.jpg");
        check(Media::Voice, "audio/ogg", "7-voice-message.ogg");
        check(Media::Audio, "audio/mpeg", "7-audio.mp3");
        check(Media::VideoNote, "", "7-video-message.mp4");
        check(Media::Document, "text/plain", "7-file.txt");
        check(Media::Document, "application/../x", "7-file.bin");
    }

    #[test]
    fn folders_are_one_name() {
        assert_eq!([folder("123"), folder("-100123:45#3"), folder("../x")], ["media/123", "media/g100123.45_3", "media/____"]);
    }

    #[test]
    fn the_model_is_told_what_came_and_where_it_is() {
        let mut photo = attached(Media::Photo, "", "");
        (photo.file.width, photo.file.height) = (Some(1280), Some(960));
        assert_eq!(told(&photo, "media/1/2.jpg"), "[photo, 1280×960: media/1/2.jpg; you cannot see it, say so if it matters]");
        let mut voice = attached(Media::Voice, "", "");
        voice.file.duration = Some(12);
        assert_eq!(told(&voice, "m"), "[voice message, 12 s: m; you cannot hear it, say so if it matters]");
        assert_eq!(told(&attached(Media::Document, "a\nb.txt", ""), "m"), "[file a␊b.txt: m]");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_are_not_followed() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let workspace = home.path();
        create(workspace, "media/1", "a").await.unwrap();
        // A link in the place of the file is replaced, one in the place of a folder is refused.
        let target = elsewhere.path().join("a");
        std::fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, workspace.join("media/1/b")).unwrap();
        create(workspace, "media/1", "b").await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
        std::os::unix::fs::symlink(elsewhere.path(), workspace.join("media/2")).unwrap();
        let error = create(workspace, "media/2", "a").await.unwrap_err().to_string();
        assert!(error.ends_with("media/2 is no folder"), "{error}");
    }
}
