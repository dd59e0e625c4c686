"""Byte-pair tokenizer of the demo model, equal to llama.cpp's tokenizer `gpt2` with pre-tokenizer `sarvam-moe`.

Merges join small letters only. A word is therefore cut the same after a space, a quote or a slash, and copying it is a
matter of repeating tokens. Everything else in ASCII is one token a character; other bytes are `<0xXX>` tokens.
The pre-tokenizer of llama.cpp takes whole lines as words, so nothing but the merges decides where a word is cut.
"""

import collections
import json
import re

MARKERS = ["<|end|>", "<|user|>", "<|assistant|>", "<|tool|>", "<tool_call>", "</tool_call>",
           "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]
END = 0
SPACE = "\u2581"  # how llama.cpp writes a space in this kind of vocabulary
SINGLE = ["\n", "\t"] + [chr(c) for c in range(32, 127)]
BYTES = [b for b in range(256) if not (32 <= b < 127 or b in (9, 10))]

_PIECES = re.compile("(" + "|".join(re.escape(m) for m in MARKERS) + ")")
_RUNS = re.compile("[a-z]+|[^a-z]")


class Tokenizer:
    """Encodes and decodes text; `merges` is a list of pairs of strings, best first."""

    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = MARKERS + SINGLE + [f"<0x{b:02X}>" for b in BYTES] + [a + b for a, b in self.merges]
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
            if piece in MARKERS:
                ids.append(self.ids[piece])
            else:
                for run in _RUNS.findall(piece):
                    ids.extend(self._run(run))
        return ids

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            token = self.tokens[i]
            if len(MARKERS) + len(SINGLE) <= i < len(MARKERS) + len(SINGLE) + len(BYTES):
                out.append(int(token[3:5], 16))
            else:
                out.extend(token.encode())
        return out.decode("utf-8", "replace")

    def _run(self, run):
        found = self.cache.get(run)
        if found is None:
            if run in self.ids and len(run) == 1:
                found = [self.ids[run]]
            elif len(run) == 1:
                found = [self.ids[f"<0x{b:02X}>"] for b in run.encode()]
            else:
                found = [self.ids[t] for t in self._merge(list(run))]
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


def learn_merges(texts, count):
    """The `count` most useful merges for `texts`, counted over runs of small letters."""
    runs = collections.Counter(run for text in texts for run in re.findall("[a-z]{2,}", text))
    words = [(list(run), n) for run, n in runs.items()]
    merges = []
    for _ in range(count):
        pairs = collections.Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for parts, _n in words:
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i += 1
    return merges
