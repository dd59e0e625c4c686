#!/usr/bin/env python3
"""Writes tests/data/embedder.json: vectors of some texts by the reference implementation (torch and transformers, in f32).

reference.py FOLDER < TEXTS > FILE, where TEXTS are JSON strings, one a line, and FOLDER is the package's `model`. Done once; CI only
compares.
"""

import json
import sys

import torch
from transformers import AutoModel, AutoTokenizer

folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder).eval()
most = json.load(open(f"{folder}/sentence_bert_config.json"))["max_seq_length"]
out = []
for line in sys.stdin:
    text = json.loads(line)
    tokens = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
    with torch.no_grad():
        states = model(**tokens).last_hidden_state[0]
    vector = torch.nn.functional.normalize(states.mean(0), dim=0)
    # A thousandth is well below what f16 changes.
    out.append({"text": text, "tokens": len(tokens["input_ids"][0]), "vector": [round(number * 1000) for number in vector.tolist()]})
print("[\n" + ",\n".join(json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in out) + "\n]")
