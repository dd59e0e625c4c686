//! Where the socket lies: `paguro.sock` in the home's data folder. The kernel takes only some hundred bytes of path for a socket, so it is
//! named by way of its folder, held open.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The file's name.
const NAME: &str = "paguro.sock";

/// Most bytes of a socket's path that every system takes.
const PATH_BYTES: usize = 100;

/// The socket, open for clients. Its file goes with it.
#[derive(Debug)]
pub struct Listener {
    pub(super) listener: UnixListener,
    file: PathBuf,
    /// Holds the short name.
    _folder: Option<File>,
}

/// A name of the socket in `folder` that is short enough, and what must stay open for it.
fn short(folder: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let plain = folder.join(NAME);
    if plain.as_os_str().len() <= PATH_BYTES || !cfg!(target_os = "linux") {
        return Ok((plain, None));
    }
    let open = File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd())), Some(open)))
}

impl Listener {
    /// Opens the socket in `folder`. The caller holds the lock of the home, so a file that lies there is left over.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join(NAME);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (name, open) = short(folder)?;
        // Between these two calls the file has what the umask leaves, and connecting takes the right to write.
        let listener = UnixListener::bind(&name)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        Ok(Self { listener, file, _folder: open })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that is left over is removed at the next start.
        let _ = fs::remove_file(&self.file);
    }
}

/// A connection to the process that has the home `folder`; `None`: there is none.
pub(super) async fn connect(folder: &Path) -> io::Result<Option<UnixStream>> {
    let (name, _open) = match short(folder) {
        Err(error) if is_nobody(&error) => return Ok(None),
        short => short?,
    };
    match UnixStream::connect(&name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether nobody serves there; a home that is no folder is the database's to refuse.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | NotADirectory)
}
