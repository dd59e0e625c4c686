"""Writes a checkpoint as a GGUF of architecture `llama`, matrices as q8_0, with tokenizer and chat template inside."""

import pathlib
import sys

import gguf
import torch

import model
from tokenizer import BYTES, END, MARKERS, SEAMS, SINGLE, SPACE, Tokenizer

HERE = pathlib.Path(__file__).parent
NORMAL, CONTROL, BYTE, WHOLE = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.BYTE, gguf.TokenType.USER_DEFINED


def header(writer, tokenizer):
    """Metadata: names, shapes, tokenizer, template."""
    writer.add_name("Paguro demo")
    writer.add_description("A tiny model built into Paguro that shows the tools. It knows nothing.")
    writer.add_license("MIT OR Apache-2.0")
    writer.add_float32("general.sampling.temp", 0.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(model.CONTEXT)
    writer.add_embedding_length(model.WIDTH)
    writer.add_block_count(model.LAYERS)
    writer.add_feed_forward_length(model.HIDDEN)
    writer.add_head_count(model.HEADS)
    writer.add_head_count_kv(model.HEADS)
    writer.add_key_length(model.HEAD)
    writer.add_value_length(model.HEAD)
    writer.add_rope_dimension_count(model.HEAD)
    writer.add_rope_freq_base(model.ROPE_BASE)
    writer.add_layer_norm_rms_eps(model.EPSILON)
    writer.add_vocab_size(len(tokenizer))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("sarvam-moe")
    writer.add_token_list([t if t in SEAMS else t.replace(" ", SPACE) for t in tokenizer.tokens])
    kinds = [CONTROL] * len(MARKERS) + [WHOLE] * len(SEAMS) + [NORMAL] * len(SINGLE) + [BYTE] * len(BYTES)
    writer.add_token_types(kinds + [NORMAL] * (len(tokenizer) - len(kinds)))
    writer.add_token_merges([f"{a.replace(' ', SPACE)} {b.replace(' ', SPACE)}" for a, b in tokenizer.merges])
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    writer.add_eot_token_id(END)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template((HERE / "template.jinja").read_text(encoding="utf-8"))


def export(checkpoint, path):
    """`checkpoint`: what train.py writes; `path`: the GGUF."""
    state = torch.load(checkpoint)["model"]
    writer = gguf.GGUFWriter(path, "llama")
    header(writer, Tokenizer.load(HERE / "merges.json"))
    names = {"embedding": "token_embd.weight", "output_norm": "output_norm.weight"}
    for name, tensor in state.items():
        if name.startswith("blocks."):
            _, number, part = name.split(".")
            names[name] = f"blk.{number}.{part}.weight"
        data = tensor.float().numpy()
        if data.ndim == 1:
            writer.add_tensor(names[name], data)
        else:
            q8 = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(names[name], gguf.quants.quantize(data, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path, pathlib.Path(path).stat().st_size, "bytes")


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
