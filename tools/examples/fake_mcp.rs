//! A small MCP server for tests, which keeps to the protocol over stdio but for the one fault that it is asked for. Its first argument
//! says which it has at the start; the tools have theirs in their names.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a test's helper")]

use std::io::{BufRead as _, Write as _};

use serde_json::{Value, json};

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "exit" => {
            eprintln!("starting");
            eprintln!("there is no licence key\u{1b}[2J");
            std::process::exit(3);
        }
        "mute" => loop {
            std::thread::park();
        },
        _ => {}
    }
    let mut server = Server { mode, hanging: None, cancelled: false };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let message: Value = serde_json::from_str(&line).expect("the client writes JSON, one message a line");
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        server.take(&message);
    }
}

struct Server {
    mode: String,
    hanging: Option<Value>,
    cancelled: bool,
}

impl Server {
    fn take(&mut self, message: &Value) {
        let id = &message["id"];
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => {
                let version = &message["params"]["protocolVersion"];
                let own = json!({"name": "fake", "version": "1"});
                answer(id, &json!({"protocolVersion": version, "capabilities": {"tools": {"listChanged": true}}, "serverInfo": own}));
            }
            "ping" => answer(id, &json!({})),
            "tools/list" => self.list(id, &message["params"]["cursor"]),
            "tools/call" => self.call(id, &message["params"]),
            "notifications/cancelled" => self.cancelled = self.hanging.as_ref() == Some(&message["params"]["requestId"]),
            _ => {}
        }
    }

    fn list(&self, id: &Value, cursor: &Value) {
        let tool = |name: &str| json!({"name": name, "description": format!("The tool {name}"), "inputSchema": {"type": "object"}});
        let page: usize = cursor.as_str().map_or(0, |page| page.parse().unwrap());
        let result = match self.mode.as_str() {
            "mute-list" => return,
            "die-list" => std::process::exit(1),
            // No end: each page names a next one.
            "endless" => json!({"tools": [tool(&format!("t{page}"))], "nextCursor": (page + 1).to_string()}),
            "huge" => json!({"tools": (0..5_000).map(|n| tool(&format!("t{n}"))).collect::<Vec<_>>()}),
            "odd" => {
                let broken = json!({"type": "object", "properties": {"when": {"type": "string", "minLength": 5, "maxLength": 2}}});
                let large = json!({"type": "object", "description": "x".repeat(20_000)});
                let hinted = json!({"name": "wipe", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
                json!({"tools": [
                    tool("a.b/c d"), tool("a_b_c_d"), tool(""), tool(&"n".repeat(80)), tool("\u{1b}[2J"),
                    {"name": "broken", "inputSchema": broken}, {"name": "large", "inputSchema": large}, hinted,
                ]})
            }
            _ => {
                let names = ["echo", "fail", "die", "hang", "cancelled", "flood", "garbage", "stderr", "environment", "pid", "change"];
                let mut tools: Vec<Value> = names.map(tool).to_vec();
                let text = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
                tools[0]["inputSchema"] = text;
                json!({ "tools": tools })
            }
        };
        answer(id, &result);
    }

    fn call(&mut self, id: &Value, params: &Value) {
        let text = |text: &str| answer(id, &json!({"content": [{"type": "text", "text": text}]}));
        match params["name"].as_str().unwrap() {
            "echo" => text(params["arguments"]["text"].as_str().unwrap()),
            "fail" => answer(id, &json!({"content": [{"type": "text", "text": "it does not work"}], "isError": true})),
            "die" => {
                eprintln!("a bug");
                std::process::exit(1)
            }
            "hang" => self.hanging = Some(id.clone()),
            "cancelled" => text(&self.cancelled.to_string()),
            "flood" => {
                let block = vec![b'x'; 1 << 20];
                // Until the reader is gone.
                while std::io::stdout().write_all(&block).is_ok() {}
            }
            "garbage" => {
                println!("not JSON\n{{\"jsonrpc\": \"2.0\", \"id\": 99999, \"result\": {{}}}}\n\n[1, 2]\n{{}}");
                text("after it");
            }
            "stderr" => {
                eprintln!("{}", "a long word ".repeat(200_000));
                text("written");
            }
            "environment" => {
                let mut names: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
                names.sort();
                text(&names.join("\n"));
            }
            // In a namespace of its own it always has the same number: when it was started tells it from its successor.
            "pid" => text(std::fs::read_to_string("/proc/self/stat").unwrap().split(' ').nth(21).unwrap_or_default()),
            "change" => {
                println!("{}", json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
                text("changed");
            }
            other if self.mode == "huge" => text(&format!("{other} was called with {}", params["arguments"])),
            other => {
                let error = json!({"code": -32602, "message": format!("there is no tool {other}")});
                println!("{}", json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
        }
    }
}

fn answer(id: &Value, result: &Value) {
    println!("{}", json!({"jsonrpc": "2.0", "id": id, "result": result}));
    std::io::stdout().flush().unwrap();
}
