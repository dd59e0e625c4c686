"""Learns the merges from generated dialogues and writes `merges.json`. Run once; the result is committed."""

import pathlib
import random

from dialogues import dialogue
from tokenizer import Tokenizer, learn_merges

HERE = pathlib.Path(__file__).parent
LETTERS, WORDS = 506, 88  # makes 1,024 tokens with markers, ASCII, bytes and cues

if __name__ == "__main__":
    r = random.Random(7)
    texts = ["".join(text for text, taught in dialogue(r) if not taught) for _ in range(12_000)]
    merges = learn_merges(texts, LETTERS, WORDS)
    tokenizer = Tokenizer(merges)
    tokenizer.save(HERE / "merges.json")
    print(len(tokenizer), "tokens;", tokenizer.tokens[-160:])
