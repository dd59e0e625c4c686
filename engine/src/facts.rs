//! What llama.cpp was built as, for `--version`. Starts nothing.

/// Version and build of the llama.cpp inside, and of the crate that carries it.
#[must_use]
pub fn llama_build() -> String {
    let info = llama_sys::build_info();
    let build = info.build.map(|build| format!(" ({build})")).unwrap_or_default();
    format!("{}{build}, llama-cpp-sys-2 {}, ggml {}", info.version, info.crate_version, info.ggml_version)
}

/// The compute backends compiled in: `CPU`, `CUDA`, …
#[must_use]
pub fn backends() -> Vec<&'static str> {
    llama_sys::build_info().backends
}
