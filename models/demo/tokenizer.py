"""Byte-pair tokenizer of the demo model, equal to llama.cpp's tokenizer `gpt2` with pre-tokenizer `sarvam-moe`.

Inside a word, merges join small letters only, so that a word is cut the same after a space, a quote or a slash: copying
it is a matter of repeating tokens. The other merges let a token say what follows: the dot of `a.txt` is another token
than the one that ends a sentence, the space before `please` another than the space before a rarer word, a quote that
opens another than one that closes. A model that copies from left to right can then tell where a copy ends.
The pre-tokenizer of llama.cpp takes whole lines as words, so nothing but the merges decides where a word is cut.
"""

import collections
import json
import re
import string

MARKERS = ["<|end|>", "<|user|>", "<|assistant|>", "<|tool|>", "<tool_call>", "</tool_call>",
           "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]
# Where a message, piped data or the output of a command ends: text, not markers, but one token each.
SEAMS = ["\n\n[time: ", "\n[note: ", "\n\n<data>\n", "\n</data>", "\n[exit status ", "\n[stopped after ", "\n- "]
END = 0
SPACE = "\u2581"  # how llama.cpp writes a space in this kind of vocabulary
SINGLE = ["\n", "\t"] + [chr(c) for c in range(32, 127)]
BYTES = [b for b in range(256) if not (32 <= b < 127 or b in (9, 10))]

_WHOLE = MARKERS + SEAMS
_PIECES = re.compile("(" + "|".join(re.escape(m) for m in sorted(_WHOLE, key=len, reverse=True)) + ")")
# Stretches that no merge crosses.
_RUNS = re.compile(r",? ?[a-z]+|\.[a-z]+|\.[A-Z0-9 ]| [^a-zA-Z0-9\n ]|.", re.DOTALL)
AFTER_DOT = string.ascii_letters + string.digits + " "
AFTER_SPACE = "\"'`-|/<>&$("
# Words that follow a copied text or lead to one: each becomes one token.
CUES = """please thanks thank then will again right now quickly immediately first today once when if and that says saying containing contains named called folder file
directory instead with inside into cheers becomes should must via using would could can ok but so or which for from by back tell give show result output""".split()
AFTER_COMMA = "please thanks thank then and would will can could ok but so or which".split()


class Tokenizer:
    """Encodes and decodes text; `merges` is a list of pairs of strings, best first."""

    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = _WHOLE + SINGLE + [f"<0x{b:02X}>" for b in BYTES] + [a + b for a, b in self.merges]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.cache = {}

    def __len__(self):
        return len(self.tokens)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file))

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.merges, file, separators=(",", ":"))

    def encode(self, text):
        """Token ids of `text`; markers in it become their control tokens, as llama.cpp does with `parse_special`."""
        ids = []
        for piece in _PIECES.split(text):
            if piece in _WHOLE:
                ids.append(self.ids[piece])
            else:
                for run in _RUNS.findall(piece):
                    ids.extend(self._run(run))
        return ids

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            token = self.tokens[i]
            if len(_WHOLE) + len(SINGLE) <= i < len(_WHOLE) + len(SINGLE) + len(BYTES):
                out.append(int(token[3:5], 16))
            else:
                out.extend(token.encode())
        return out.decode("utf-8", "replace")

    def _run(self, run):
        found = self.cache.get(run)
        if found is None:
            found = []
            for token in self._merge(list(run)):
                found += [self.ids[token]] if token in self.ids else [self.ids[f"<0x{b:02X}>"] for b in token.encode()]
            if len(self.cache) < 200_000:
                self.cache[run] = found
        return found

    def _merge(self, parts):
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in self.rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return parts


def learn_merges(texts, letters, words):
    """Merges for `texts`: those after a dot, `letters` learned ones and the cues, and a space before each of the cues and of the `words` commonest words."""
    runs = collections.Counter(run for text in texts for run in re.findall(r"\.[a-z]+|[a-z]{2,}", text))
    cut = [([run[:2], *run[2:]] if run[0] == "." else list(run), n) for run, n in runs.items()]
    learned = []
    for _ in range(letters):
        pairs = collections.Counter()
        for parts, n in cut:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        learned.append(best)
        for parts, _n in cut:
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i += 1
    for word in CUES:
        parts = Tokenizer(learned)._merge(list(word))
        while len(parts) > 1:
            learned.append((parts[0], parts[1]))
            parts[:2] = [parts[0] + parts[1]]
    whole = {a + b for a, b in learned} | {"a"}
    spaced = collections.Counter(w for text in texts for w in re.findall(r"(?<=[^. ] )[a-z]+", text) if w in whole)
    common = CUES + [w for w, _n in spaced.most_common(words) if w not in CUES]
    return (
        [(".", c) for c in AFTER_DOT] + learned + [(" ", c) for c in AFTER_SPACE] + [(" ", w) for w in common]
        + [(",", " " + w) for w in AFTER_COMMA if w in common]
    )
