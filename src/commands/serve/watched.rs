//! Waits until a file has changed. Its folder is watched, because editors put a new file in the place of the old one.
//!
//! Where the system tells nothing of files, nothing is noticed: SIGHUP does.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;

/// See the top of this file.
pub struct Watched(Arc<Notify>);

impl Watched {
    pub fn new(file: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        #[cfg(target_os = "linux")]
        watch(file, Arc::clone(&changed));
        #[cfg(not(target_os = "linux"))]
        let _ = file;
        Self(changed)
    }

    /// Ends when the file has been written or replaced. Dropping the future loses nothing.
    pub async fn changed(&self) {
        self.0.notified().await;
    }
}

/// A thread of its own reads what the kernel tells, until the process ends.
#[cfg(target_os = "linux")]
fn watch(file: &Path, changed: Arc<Notify>) {
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt as _;

    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

    let (Some(folder), Some(name)) = (file.parent(), file.file_name().map(ToOwned::to_owned)) else { return };
    let Ok(events) = init(CreateFlags::CLOEXEC) else { return };
    if add_watch(&events, folder, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO).is_err() {
        return;
    }
    let read = move || {
        let mut bytes = [MaybeUninit::uninit(); 4_096];
        let mut reader = Reader::new(&events, &mut bytes);
        while let Ok(event) = reader.next() {
            if event.file_name().is_some_and(|found| found.to_bytes() == name.as_bytes()) {
                changed.notify_one();
            }
        }
    };
    // Without the thread nothing is noticed.
    let _ = std::thread::Builder::new().name("configuration".to_owned()).spawn(read);
}
