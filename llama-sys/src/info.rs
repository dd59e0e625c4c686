//! Which llama.cpp this is.

use serde::Deserialize;

use crate::ffi;

/// Which llama.cpp this is, for `paguro --version`. Reading it touches no device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// llama.cpp's version, from its CMakeLists.txt.
    pub version: &'static str,
    /// Version of the crate `llama-cpp-sys-2`, which carries the source: the pin that `make llama` moves.
    pub crate_version: &'static str,
    /// llama.cpp's own build number and commit, `b1234-abcdef`, where the source carries them. The crate's does not.
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
    let told: Told = ffi::call_json(|out| {
        // SAFETY: the export reads constants and writes to `out` alone.
        unsafe { ffi::paguro_build_info(out) }
    })
    .unwrap_or_default();
    let backends = [
        ("CPU", true),
        ("CUDA", cfg!(feature = "cuda")),
        ("Metal", cfg!(feature = "metal") || METAL_ALWAYS),
        ("Vulkan", cfg!(feature = "vulkan")),
        ("ROCm", cfg!(feature = "rocm")),
        ("RPC", true),
    ];
    BuildInfo {
        version: env!("LLAMA_CPP_VERSION"),
        crate_version: env!("LLAMA_CPP_SYS_VERSION"),
        build: (told.build > 0).then(|| format!("b{}-{}", told.build, told.commit)),
        ggml_version: told.ggml,
        compiler: told.compiler,
        backends: backends.into_iter().filter_map(|(name, built)| built.then_some(name)).collect(),
    }
}

/// `llama-cpp-2` turns it on by itself there.
const METAL_ALWAYS: bool = cfg!(all(target_os = "macos", target_arch = "aarch64"));

#[derive(Default, Deserialize)]
struct Told {
    build: i32,
    commit: String,
    compiler: String,
    ggml: String,
}
