"""Learns the merges from generated dialogues and writes `merges.json`. Run once; the result is committed."""

import pathlib
import random

from dialogues import dialogue
from tokenizer import Tokenizer, learn_merges

HERE = pathlib.Path(__file__).parent
MERGES = 374  # makes 640 tokens: a multiple of 32 with the markers, ASCII and bytes

if __name__ == "__main__":
    r = random.Random(7)
    merges = learn_merges(["".join(text for text, _ in dialogue(r)) for _ in range(12_000)], MERGES)
    tokenizer = Tokenizer(merges)
    tokenizer.save(HERE / "merges.json")
    print(len(tokenizer), "tokens;", tokenizer.tokens[-40:])
