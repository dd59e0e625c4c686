//! Escapes tried from inside, through the real `shell` tool: each must fail, nothing outside may change, and the next command must
//! run. System calls are made by programs of a few bytes that the test writes itself, so that what is tried does not depend on the
//! machine's programs; what needs a client on the network uses bash where it is installed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod calls;
mod ways;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::memory::Store;
use agent::{Tool, ToolContext};
use serde_json::json;
use tools::sandbox::{Limits, Network};
use tools::{Kept, Sandbox, SandboxSettings, Settings, Workspace};

/// A workspace, and beside it what must stay out of reach.
struct Ground {
    folder: tempfile::TempDir,
    shell: Box<dyn Tool>,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let limits = Limits { memory: 256 << 20, processes: 64, file: 8 << 20, cpu_s: 5 };
        Self::with(SandboxSettings { limits, ..SandboxSettings::default() })
    }

    fn with(settings: SandboxSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("home/.ssh")).unwrap();
        for name in ["home/.ssh/id_rsa", "home/paguro.db", "home/paguro.toml"] {
            std::fs::write(root.join(name), SECRET).unwrap();
        }
        let inner = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/sandbox_inner");
        let sandbox = Sandbox::new(SandboxSettings { inner, ..settings });
        let workspace = Workspace::open(&root.join("workspace")).unwrap();
        let store = Store::in_memory().unwrap();
        let kept = Kept::new(root.join("kept"), 1 << 20, store.clone());
        let settings = Settings { sandbox: sandbox.clone(), ..Settings::new(workspace, store, kept) };
        let shell = tools::builtin(&settings).into_iter().find(|tool| tool.schema().name == "shell").unwrap();
        Self { folder, shell, sandbox }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn workspace(&self) -> PathBuf {
        self.path("workspace")
    }

    fn run(&self, command: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let context = ToolContext {
            key: "1-1".into(),
            turn: 1,
            channel: "terminal".into(),
            session: "s".into(),
            foreign: None,
            timeout: Duration::from_secs(10),
            ..ToolContext::default()
        };
        let result = runtime.block_on(self.shell.run(&json!({"command": command}), &context));
        result.map_or_else(|error| format!("error: {error}"), |output| output.text)
    }
}

/// What stands in the files that must not be read.
const SECRET: &str = "TOP-SECRET";

/// All layers can be had where these tests run; without them the escapes would say nothing.
fn needs_all(ground: &Ground) -> bool {
    let missing = &ground.sandbox.report().missing;
    if !missing.is_empty() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("not tried, layers are missing: {missing:?}\n").as_bytes());
    }
    missing.is_empty()
}

/// Writes an executable file.
fn program(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_layers_hold_what_they_promise() {
    let ground = Ground::new();
    let proofs = ground.sandbox.prove().unwrap();
    let broken: Vec<_> = proofs.iter().filter(|proof| proof.in_force && !proof.held).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    for layer in &ground.sandbox.report().in_force {
        assert!(proofs.iter().any(|proof| proof.layer == *layer), "no attempt on {layer}");
    }
}

#[test]
fn the_effect_follows_the_network() {
    let of = |network| Ground::with(SandboxSettings { network, ..SandboxSettings::default() }).shell.effect();
    assert_eq!(of(Network::None), agent::Effect::Write);
    assert_eq!(of(Network::All), agent::Effect::Network);
    assert_eq!(of(Network::Hosts(vec!["a.example:443".parse().unwrap()])), agent::Effect::Network);
}

#[test]
fn granted_hosts_are_reached_and_no_others() {
    use std::io::{Read as _, Write as _};
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (granted, other) = (listen(), listen());
    let (port, closed) = (granted.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    let hosts = vec![format!("127.0.0.1:{port}").parse().unwrap()];
    let ground = Ground::with(SandboxSettings { network: Network::Hosts(hosts), ..SandboxSettings::default() });
    if !needs_all(&ground) || !Path::new("/bin/bash").exists() {
        return;
    }
    let server = std::thread::spawn(move || {
        let (mut stream, _) = granted.accept().unwrap();
        let mut block = [0; 512];
        let taken = stream.read(&mut block).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello from outside").unwrap();
        String::from_utf8_lossy(&block[..taken]).into_owned()
    });
    let ask = |port| {
        let request = format!("GET http://127.0.0.1:{port}/x HTTP/1.1\\r\\n\\r\\n");
        let proxy = "/dev/tcp/127.0.0.1/${http_proxy##*:}";
        ground.run(&format!(
            "/bin/bash -c 'exec 3<>{proxy}; printf \"{request}\" >&3; cat <&3; exec 4<>/dev/tcp/127.0.0.1/{port} && echo ESCAPED'"
        ))
    };
    let answer = ask(port);
    assert!(answer.contains("hello from outside") && !answer.contains("ESCAPED"), "{answer}");
    assert!(server.join().unwrap().starts_with("GET /x HTTP/1.1\r\n"));
    let answer = ask(closed);
    assert!(answer.contains("403 Forbidden") && !answer.contains("ESCAPED"), "{answer}");
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "somebody came");
}
