"""Whole dialogues: what the user says, the tool call, a made-up result, the reply. The rules of the replies live here.

A dialogue is a list of parts `(text, taught)`; `taught` is true for what the model itself must say.
"""

import material
import requests_files
import requests_memory
import wordings_wide
from requests_memory import DAYS, fact, second_person
from talk import talk
from tokenizer import MARKERS

SHOWN_LINES = 5
REFUSED = "error: the owner did not allow this"
NOT_DONE = {"shell": "run it", "write_file": "write it", "edit_file": "change it"}
DECISION, ELSEWHERE = 4.0, 0.0  # weights in the loss
UNTOLD = "I don't know, you have not told me yet."


def shown(text):
    """`text`, or its first lines and `...`"""
    lines = text.split("\n")
    return text if len(lines) <= SHOWN_LINES else "\n".join(lines[:SHOWN_LINES] + ["..."])


def seen(result):
    """What the template shows the model of a tool's result: the first lines, `...` if there are more, and how a command ended."""
    lines = result.split("\n")
    status = [lines.pop()] if lines[-1].startswith(("[exit status ", "[stopped after ")) else []
    return "\n".join((lines if len(lines) <= SHOWN_LINES else lines[:SHOWN_LINES] + ["..."]) + status)


def reply(tool, arguments, result, answer=None):
    """What the model says to a tool's result. `answer` is the fact that answers a `recall`, if any does."""
    if result == REFUSED:
        return f"You did not allow it, so I did not {NOT_DONE.get(tool, 'do it')}."
    if result.startswith("error: "):
        return f"That did not work: {result[7:]}."
    if tool == "shell":
        return shell_reply(result)
    if tool == "recall":
        return second_person(answer) if answer else UNTOLD
    if tool == "remember":
        return f"I remembered: {arguments['text']}."
    if tool in ("write_file", "edit_file"):
        return f"Done: {result}."
    return {"(empty file)": "The file is empty.", "(empty directory)": "The directory is empty.", "no match": "I found no match."}.get(result) or shown(result)


def shell_reply(result):
    body, _, last = result.rpartition("\n")
    if last.startswith("[exit status "):
        head = f"It failed with {last[1:-1]}."
    elif last.startswith("[stopped after "):
        head = f"It was {last[1:-1]}."
    else:
        return "Done, it printed nothing." if result == "(no output)" else shown(result)
    return head + ("\n" + shown(body) if body else "")


def failure(r, tool, arguments):
    path = arguments.get("path") or material.path(r)
    common = [REFUSED] * 3 + [f"error: no such file: {path}", f"error: outside the workspace: {path}", "error: " + material.phrase(r, 2, 6), f"error: not a text file: {path}", f"error: permission denied: {path}", f"error: is a directory: {path}",
                              f"error: argument `{material.word(r)}`: {material.phrase(r, 2, 6)}", f"error: {material.sentence(r).rstrip('.!?')}; {material.phrase(r, 2, 5)}"]
    if tool == "edit_file":
        common += [f"error: the old text does not occur in {path}"] * 3 + [f"error: the old text occurs {r.randint(2, 9)} times in {path}; give more of the text around it, or set `all`"] * 2
    if tool == "list_dir":
        common += [f"error: no such directory: {path}", f"error: not a directory: {path}"]
    if tool == "shell":
        common = [REFUSED] * 4 + ["error: " + material.phrase(r, 2, 6), "error: cannot start the shell"]
    return r.choice(common)


def output(r):
    """What a command or a file holds: mostly one to three lines."""
    if r.random() < 0.05:
        return material.table(r)
    return material.output_line(r) if r.random() < 0.5 else material.listing(r) if r.random() < 0.3 else material.lines(r, 1, r.choice([2, 2, 3, 3, 4, 6, 8]))


def result(r, tool, arguments):
    """A made-up result of a tool call that is neither recall nor remember."""
    if r.random() < 0.12:
        return failure(r, tool, arguments)
    x = r.random()
    if tool == "shell":
        if x < 0.1:
            return "(no output)"
        text = output(r)
        if x < 0.2:
            return (text + "\n" if r.random() < 0.75 else "") + f"[exit status {r.choice([1, 1, 2, 126, 127, r.randint(1, 255)])}]"
        return (text + "\n" if r.random() < 0.5 else "") + f"[stopped after {r.choice([60, 60, 30, 10])} s]" if x < 0.22 else text
    if tool == "read_file":
        if x < 0.08:
            return "(empty file)"
        total = r.randint(201, 3000)
        return output(r) + (f"\n[lines 1-200 of {total}; read on with offset 201]" if x < 0.09 else "")
    if tool == "write_file":
        size = len(arguments["content"].encode())
        return f"wrote {size} byte{'' if size == 1 else 's'} to {arguments['path']}"
    if tool == "edit_file":
        n = r.choice([1, 1, 1, 1, 2, 3, 5])
        return f"edited {arguments['path']}: {n} replacement{'s' if n > 1 else ''}"
    if tool == "list_dir":
        if x < 0.06:
            return "(empty directory)"
        return "\n".join(material.stem(r) + "/" if r.random() < 0.3 else material.stem(r) + "." + material.extension(r) for _ in range(r.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 11])))
    if x < 0.15:
        return "no match"
    found = lambda: r.choice([f"{arguments['pattern']} {material.phrase(r, 1, 4)}", f"{material.phrase(r, 1, 4)} {arguments['pattern']}", material.text(r)])
    return "\n".join(f"{material.path(r)}:{r.randint(1, 400)}: {found()}" for _ in range(r.choice([1, 1, 1, 1, 2, 2, 3, 4, 7])))


class Dialogue:
    """Builds one dialogue; `known` holds the facts told so far."""

    def __init__(self, r):
        self.r = r
        self.parts = []
        self.known = []
        self.clock = {"date": f"20{r.randint(20, 39)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}", "day": r.choice(DAYS)}

    def user(self, message, data, notes):
        text = message + (f"\n\n<data>\n{data}\n</data>" if data is not None else "")
        text += f"\n\n[time: {self.clock['date']} {self.clock['time']} {self.clock['day']}]" + "".join(f"\n[note: {n}]" for n in notes)
        self.parts.append((f"<|user|>{text}<|end|><|assistant|>", False))

    def says(self, text):
        self.parts.append((text + "<|end|>", True))

    def calls(self, tool, arguments, outcome):
        body = "".join(f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in arguments.items())
        self.parts.append((f"<tool_call>{tool}{body}</tool_call><|end|>", True))
        self.parts.append((f"<|tool|>{seen(outcome)}<|end|><|assistant|>", False))

    def notes(self, likely=()):
        r = self.r
        found = [] if r.random() < 0.72 else [fact(r)[0] for _ in range(r.choice([1, 1, 1, 2, 4]))]
        if likely and r.random() < 0.6:
            found.insert(0, likely[0])
        return found[:4]

    def turn(self):
        r = self.r
        self.clock["time"] = f"{r.randint(0, 23):02}:{r.randint(0, 59):02}"
        kind = r.choices([self.tool, self.remember, self.recall, self.talk, self.two], [70, 9, 12, 10, 4])[0]
        kind()

    def request(self):
        r = self.r
        tool, make = r.choices([("shell", requests_files.shell), ("read_file", requests_files.read_file), ("write_file", requests_files.write_file), ("write_file", requests_files.write_data),
                                ("edit_file", requests_files.edit_file), ("list_dir", requests_files.list_dir), ("search_files", requests_files.search_files)], [28, 12, 17, 8, 13, 10, 11])[0]
        return tool, *make(r)

    def tool(self):
        tool, message, data, arguments = self.request()
        if self.r.random() < 0.045 and data is None:
            message = message.upper()
            arguments = {key: value if value == "." else value.upper() for key, value in arguments.items()}
        if tool == "shell" and self.r.random() < 0.03:
            message, data = self.r.choice(["run this", "execute this", "run this command", "please run it", "run it in the shell", "Execute the command"]), arguments["command"]
        elif self.r.random() < 0.12 and data is None:
            message = wordings_wide.around(self.r, message, arguments.values())
        elif self.r.random() < 0.02 and data is None:
            message = wordings_wide.call(self.r, tool, arguments) or message
        self.user(message, data, self.notes())
        outcome = result(self.r, tool, arguments)
        self.calls(tool, arguments, outcome)
        self.says(reply(tool, arguments, outcome))

    def two(self):
        """Two requests in one message; the second call follows the first one's result."""
        r = self.r
        steps = []
        while len(steps) < 2:
            tool, message, data, arguments = self.request()
            if data is None and "\n" not in message and message[-1] not in "?!":
                steps.append((tool, message.rstrip("."), arguments))
        if r.random() < 0.4 and steps[0][0] == "write_file":
            steps[1] = ("read_file", r.choice(["read it back", "show it to me", "quote it", "show what it says", "let me see it", "read the file", "tell me what is in it", "cat it", "read it to me", "check what it says", "read it", "show me the file", "print it", "open it", "display it"]), {"path": steps[0][2]["path"]})
        second, joint = steps[1][1], r.random() < 0.85
        self.user(steps[0][1] + r.choice([" and then ", ", then ", ". Then ", ", and after that ", " and afterwards ", " and ", "; then ", ". After that, "]) + second[0].lower() + second[1:] if joint else f"first {steps[0][1]}{r.choice([', then ', ' and then ', '; second, ', ', next ', '. Then '])}{second}", None, self.notes())
        said = []
        for tool, _, arguments in steps:
            outcome = result(r, tool, arguments)
            self.calls(tool, arguments, outcome)
            said.append(reply(tool, arguments, outcome))
        self.says("\n".join(said))

    def remember(self):
        told = fact(self.r)
        given = told if self.r.random() < 0.8 else None
        message, data, arguments = requests_memory.remember(self.r, given and given[0])
        if self.r.random() < 0.03 and data is None:
            message, arguments = message.upper(), {"text": arguments["text"].upper()}
        if given and arguments["text"] == told[0]:
            self.known.append(told)
        self.user(message, data, self.notes())
        outcome = REFUSED if self.r.random() < 0.04 else "remembered"
        self.calls("remember", arguments, outcome)
        self.says(reply("remember", arguments, outcome))

    def recall(self):
        r = self.r
        asked = r.choice(self.known) if self.known and r.random() < 0.7 else fact(r)
        message, data, arguments = requests_memory.recall(r, asked)
        if r.random() < 0.03:
            message, arguments = message.upper(), {"query": arguments["query"].upper()}
        others = [fact(r)[0] for _ in range(r.choice([0, 0, 0, 1, 1, 2, 4]))]
        x = r.random()
        known = asked in self.known or x < 0.82
        if known:
            others.insert(0 if r.random() < 0.85 else r.randint(0, min(2, len(others))), asked[0])
            if r.random() < 0.25:
                others = others[:3] + self.near(asked[0])
                r.shuffle(others)
        self.user(message, data, self.notes(others))
        outcome = "\n".join("- " + o for o in others) or "nothing found"
        self.calls("recall", arguments, outcome)
        self.says(reply("recall", arguments, outcome, asked[0] if known else None))

    def near(self, text):
        """Another fact about somebody or something in `text`: it is found too, but does not answer."""
        names = [w for w in text.replace("'s", "").split() if w[0].isupper() and w.isalpha() and w != "I"]
        nouns = [w for w in text.split() if w.islower() and w.isalpha() and len(w) > 4]
        about = {"A": self.r.choice(names)} if names else {"N": self.r.choice(nouns)} if nouns else None
        other = fact(self.r, about)[0] if about else text
        return [] if other == text or about and next(iter(about.values())) not in other else [other]

    def talk(self):
        message, data, said = talk(self.r, self.clock)
        if self.r.random() < 0.03:
            message = message.upper()
        self.user(message, data, self.notes())
        self.says(said)


def dialogue(r):
    """Parts of a dialogue of one to four turns."""
    d = Dialogue(r)
    for _ in range(r.choices([1, 2, 3, 4], [86, 9, 3, 2])[0]):
        d.turn()
    return d.parts


def encode(tokenizer, parts, limit):
    """Token ids and their weights in the loss, cut after the last whole reply that fits into `limit` tokens.

    The two tokens after a marker weigh more: there the model decides which tool, and where a copy starts; the rest is
    copying on. The weight of a token depends on what stands before it only: were the marker that ends an argument heavier
    than the space that goes on, the model would end too early.
    """
    ids, weights, end = [], [], 0
    for text, mine in parts:
        piece = tokenizer.encode(text)
        near = [any(i < len(MARKERS) for i in piece[max(0, at - 2) : at]) or at < 2 for at in range(len(piece))]
        ids += piece
        weights += [(DECISION if n else 1.0) if mine else ELSEWHERE for n in near]
        if len(ids) > limit:
            break
        if mine:
            end = len(ids)
    return ids[:end], weights[:end]
