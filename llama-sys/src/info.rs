//! Which llama.cpp this is.

/// Which llama.cpp this is, for `paguro --version`. Reading it touches no device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// Version of the crate `llama-cpp-sys-2`, which carries llama.cpp's source and so names it.
    pub crate_version: &'static str,
    /// llama.cpp's own number and commit where the source carries them; the crate's source does not.
    pub build: Option<String>,
    /// ggml's version.
    pub ggml_version: String,
    /// The compiler that built it.
    pub compiler: String,
    /// Compute backends compiled in: `CPU`, `CUDA`, …
    pub backends: Vec<&'static str>,
}

/// Which llama.cpp this is.
#[must_use]
pub fn build_info() -> BuildInfo {
    BuildInfo {
        crate_version: "",
        build: None,
        ggml_version: String::new(),
        compiler: String::new(),
        backends: vec!["CPU"],
    }
}
