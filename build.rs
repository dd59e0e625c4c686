//! Build facts for `paguro --version`, and what the linker leaves out.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    // Without names of functions, which nobody reads in a release: they are a fifth of the file, and it has at most 40 MB.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
    }
    println!("cargo:rustc-env=PAGURO_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
}

/// The commit that is built, marked when files differ from it.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=10"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
