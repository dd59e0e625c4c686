//! Compiles the shim against the very llama.cpp that `llama-cpp-sys-2` compiled, and binds its C header.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=shim");
    let llama = llama_source();
    let manifest = llama.with_file_name("Cargo.toml");
    println!("cargo:rerun-if-changed={}", manifest.display());
    println!("cargo:rustc-env=LLAMA_CPP_SYS_VERSION={}", crate_version(&manifest));
    println!("cargo:rustc-env=LLAMA_CPP_VERSION={}", llama_version(&llama));
    let includes = ["common", "include", "ggml/include", "ggml/src", "src", "vendor"].map(|dir| llama.join(dir));
    compile(&includes);
    bind(&includes);
}

/// The folder of llama.cpp's source. The crate publishes no include path, but its CMake build is in `DEP_LLAMA_ROOT`, and
/// CMake notes where it built from. `cargo metadata` would tell too, but offline it fails as soon as one crate that this
/// build does not need (a dev-dependency, say) was never fetched.
fn llama_source() -> PathBuf {
    println!("cargo:rerun-if-env-changed=DEP_LLAMA_ROOT");
    let root = env::var("DEP_LLAMA_ROOT").expect("llama-cpp-sys-2 passes on its build's folder");
    let cache = Path::new(&root).join("build/CMakeCache.txt");
    let text = read(&cache);
    let source = text
        .lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="))
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{} names no CMAKE_HOME_DIRECTORY", cache.display()));
    assert!(
        source.join("common/chat.h").is_file(),
        "{} has no common/chat.h; was the target folder built elsewhere? `cargo clean -p llama-cpp-sys-2` helps",
        source.display()
    );
    // It is set in .cargo/config.toml; a build from before that is not made anew by itself.
    assert!(
        text.lines().any(|line| line.starts_with("GGML_RPC:") && line.ends_with("=ON")),
        "llama.cpp was built without its RPC backend; `cargo clean --release -p llama-cpp-sys-2` helps"
    );
    source
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `version = "…"` of the crate that carries llama.cpp.
fn crate_version(manifest: &Path) -> String {
    read(manifest)
        .lines()
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{} has no version", manifest.display()))
        .to_owned()
}

/// `set(LLAMA_VERSION_MAJOR 0)` and so on in llama.cpp's CMakeLists.txt.
fn llama_version(source: &Path) -> String {
    let text = read(&source.join("CMakeLists.txt"));
    ["MAJOR", "MINOR", "PATCH"]
        .map(|part| {
            text.lines().find_map(|line| line.strip_prefix(&format!("set(LLAMA_VERSION_{part} "))?.strip_suffix(')')).unwrap_or("?")
        })
        .join(".")
}

fn compile(includes: &[PathBuf]) {
    let files = ["guard", "attention", "chat", "reply", "trigger", "grammar", "info", "plan", "worker"];
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .includes(includes)
        .include("shim")
        .files(files.map(|name| format!("shim/{name}.cpp")))
        // llama-cpp-sys-2 links libstdc++, statically; a second, shared one must not come from here.
        .cpp_link_stdlib(None)
        // llama.cpp's headers are not free of warnings, and they are not ours to mend.
        .warnings(false)
        .compile("paguro_shim");
}

fn bind(includes: &[PathBuf]) {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("shim.rs");
    bindgen::Builder::default()
        .header("shim/paguro.h")
        .clang_args(includes.iter().map(|dir| format!("-I{}", dir.display())))
        .allowlist_item("paguro_.*")
        .allowlist_item("RPC_PROTO_M.*_VERSION")
        // The types of llama.h are those of llama-cpp-sys-2.
        .blocklist_type("llama_.*")
        .raw_line("use llama_cpp_sys_2::{llama_context_params, llama_model, llama_token, llama_token_data};")
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .generate()
        .expect("bindgen binds shim/paguro.h")
        .write_to_file(&out)
        .unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
