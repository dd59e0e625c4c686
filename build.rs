//! Build facts for `paguro --version`: commit and date of the build's source.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    println!("cargo:rustc-env=PAGURO_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
}

/// The commit that is built, marked when files differ from it.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=10"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
