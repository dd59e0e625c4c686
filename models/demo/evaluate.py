"""Measures the demo model at 300 prompts that the training grammar cannot produce (see heldout.py).

    evaluate.py --checkpoint FILE    the network alone, in torch
    evaluate.py --paguro EXECUTABLE  the real program: grammar, parser, tools, memory and all

It prints three figures: tool and arguments exact, final reply right, malformed tool calls. With `--show` also what went wrong.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile

import heldout
import talk
from dialogues import reply, seen

HERE = pathlib.Path(__file__).parent
TALK = {"hello": "Hello! " + talk.SELF, "self": talk.SELF, "able": talk.ABLE, "welcome": "You are welcome.", "bye": "Goodbye!", "unknown": talk.UNKNOWN}
WRONG_FACTS = ["the " + w + " is " + v for w, v in zip(heldout.WORDS[:40], heldout.WORDS[40:80])]


def prompts(count, seed=20261121):
    r = random.Random(seed)
    return [heldout.prompt(r) for _ in range(count)]


def made_up_result(r, prompt):
    """A result for the network alone, of the kind that the tool would give."""
    tool, a = prompt["tool"], prompt["arguments"]
    lines = "\n".join(heldout.text(r) for _ in range(r.choice([1, 1, 2, 3, 4, 7])))
    return {"shell": lines, "read_file": lines, "write_file": f"wrote {len(str(a.get('content')))} bytes to {a.get('path')}", "edit_file": f"edited {a.get('path')}: 1 replacement", "remember": "remembered",
            "list_dir": "\n".join(heldout.path(r).split("/")[-1] for _ in range(r.randint(1, 7))), "search_files": f"{heldout.path(r)}:{r.randint(1, 99)}: {heldout.word(r)} {a.get('pattern')}",
            "recall": "\n".join("- " + f for f in [prompt.get("fact") or ""] + r.sample(WRONG_FACTS, r.randint(0, 2)))}[tool]


def network(checkpoint, all_prompts):
    """Whether the greedy answers are exactly the wanted ones. As these are single texts, one pass over each tells."""
    import torch
    from model import Model
    from tokenizer import Tokenizer

    torch.set_num_threads(1)
    tokenizer, net, r, verdicts = Tokenizer.load(HERE / "merges.json"), Model(), random.Random(5), []
    net.load_state_dict(torch.load(checkpoint)["model"])
    for prompt in all_prompts:
        text = prompt["message"] + (f"\n\n<data>\n{prompt['data']}\n</data>" if prompt["data"] else "") + f"\n\n[time: 2026-11-{r.randint(10, 28)} {r.randint(10, 23)}:{r.randint(10, 59)} Monday]"
        if prompt["tool"] == "recall" or r.random() < 0.3:
            text += f"\n[note: {prompt.get('fact') or r.choice(WRONG_FACTS)}]"
        parts = [(f"<|user|>{text}<|end|><|assistant|>", 0)]
        if prompt["tool"]:
            outcome = made_up_result(r, prompt)
            arguments = "".join(f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in prompt["arguments"].items())
            parts += [(f"<tool_call>{prompt['tool']}{arguments}</tool_call><|end|>", 1), (f"<|tool|>{seen(outcome)}<|end|><|assistant|>", 0)]
        parts.append(((reply(prompt["tool"], prompt["arguments"], outcome, prompt.get("fact")) if prompt["tool"] else TALK[prompt["talk"]]) + "<|end|>", 2))
        ids = [(i, kind) for piece, kind in parts for i in tokenizer.encode(piece)]
        row = torch.tensor([[i for i, _ in ids]])
        with torch.no_grad():
            guess = net(row, quantised=True)[0].argmax(-1)
        wrong = {kind: [tokenizer.decode([guess[at - 1]]) + " for " + tokenizer.decode([i]) for at, (i, k) in enumerate(ids) if k == kind and guess[at - 1] != i] for kind in (1, 2)}
        verdicts.append({"call": not wrong[1] if prompt["tool"] else not wrong[2][:1] or "<tool_call>" not in wrong[2][0], "reply": not wrong[2], "malformed": False, "said": [wrong[1][:2], wrong[2][:2]]})
    return verdicts


def prepare(r, prompt, workspace, run):
    """Makes what the prompt speaks of: a file, a folder, a fact."""
    a, tool = prompt["arguments"] or {}, prompt["tool"]
    if tool in ("read_file", "edit_file"):
        file = workspace / a["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([heldout.text(r), a["old"] + " " + heldout.word(r)] if tool == "edit_file" else [heldout.text(r) for _ in range(r.choice([1, 1, 2, 3, 7]))]) + "\n")
    elif tool == "list_dir":
        (workspace / a["path"]).mkdir(parents=True, exist_ok=True)
        for _ in range(r.randint(1, 4)):
            (workspace / a["path"] / heldout.path(r).split("/")[-1]).write_text("x\n")
    elif tool == "search_files" and r.random() < 0.8:
        (workspace / (heldout.word(r) + ".md")).write_text(f"{heldout.word(r)} {a['pattern']} {heldout.word(r)}\n")
    elif tool == "recall":
        run(["memory", "add", prompt["fact"]])


def ask(run, prompt):
    """One prompt through the executable: the calls, their results, the final text, whether it went through."""
    done = run(["ask", prompt["message"], "--approve", "all", "--format", "jsonl"], prompt["data"] or "")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    calls = [(e["name"], e["arguments"]) for e in events if e["type"] == "tool_call"]
    results = [e["content"] for e in events if e["type"] == "tool_result"]
    final = next((e for e in events if e["type"] == "result"), {})
    text = final.get("text") or ""
    unfinished = done.returncode == 4 and not calls  # at the limit of tokens before any call came through
    malformed = done.returncode not in (0, 3, 4) or unfinished or "<tool_call>" in text or "<arg_" in text
    return calls, results, text[:500], malformed, done.stderr[:300]


def executable(path, all_prompts, gguf):
    verdicts, r = [], random.Random(5)
    with tempfile.TemporaryDirectory() as home:
        workspace = pathlib.Path(home, "workspace")
        workspace.mkdir()
        environment = {**os.environ, "PAGURO_HOME": home}

        def run(arguments, data=""):
            return subprocess.run([path, *arguments], input=data, capture_output=True, text=True, env=environment, timeout=120, check=False)

        model = f"[model]\nfile = {json.dumps(str(gguf.absolute()))}\n" if gguf else ""
        pathlib.Path(home, "paguro.toml").write_text(f"{model}[tools]\nworkspace = {json.dumps(str(workspace))}\n")
        for prompt in all_prompts:
            for old in workspace.iterdir():
                subprocess.run(["rm", "-r", str(old)], check=True)
            prepare(r, prompt, workspace, run)
            calls, results, text, malformed, problem = ask(run, prompt)
            wanted = [(prompt["tool"], prompt["arguments"])] if prompt["tool"] else []
            expected = TALK[prompt["talk"]] if not prompt["tool"] else reply(*wanted[0], results[0], prompt.get("fact")) if results else None
            verdicts.append({"call": calls == wanted, "reply": text.strip() == (expected or "").strip(), "malformed": malformed, "said": [calls, results, text, problem if malformed else ""]})
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    parser.add_argument("--paguro")
    parser.add_argument("--model", type=pathlib.Path, help="a GGUF for the executable in place of the one inside")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.paguro and not options.checkpoint:
        parser.error("give --checkpoint or --paguro")
    all_prompts = prompts(options.count)
    verdicts = executable(options.paguro, all_prompts, options.model) if options.paguro else network(options.checkpoint, all_prompts)
    if options.show:
        for prompt, verdict in zip(all_prompts, verdicts):
            if not (verdict["call"] and verdict["reply"]):
                print(f"{prompt['message']!r}\n    wanted {prompt['tool']} {prompt['arguments']}\n    got {verdict['said']}")
    print(f"tool and arguments exact: {100 * sum(v['call'] for v in verdicts) / len(verdicts):.1f} %")
    print(f"final reply right: {100 * sum(v['reply'] for v in verdicts) / len(verdicts):.1f} %")
    print(f"malformed tool calls: {sum(v['malformed'] for v in verdicts)}")


if __name__ == "__main__":
    main()
