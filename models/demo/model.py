"""The network: a LLaMA of 2.4 million parameters whose tensors go into a GGUF as they are.

Rotary embedding turns neighbouring pairs (the way llama.cpp's architecture `llama` does), so nothing is permuted on export.
Products run in bfloat16, everything else in float32. The evaluation can pass keys and values through the rounding of `q4_0`,
the cache type that Paguro uses by default; the training does not need to.
"""

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, WIDTH, LAYERS, HEADS, HEAD, HIDDEN = 1024, 192, 6, 3, 64, 416
CONTEXT, ROPE_BASE, EPSILON, PEAK = 4096, 10_000.0, 1e-5, 25.0


def product(x, weight):
    """x (..., in) times weight (out, in), in bfloat16."""
    return F.linear(x.to(torch.bfloat16), weight.to(torch.bfloat16))


def norm(x, weight):
    return F.rms_norm(x, (x.shape[-1],), weight, EPSILON)


def rotary_table(length):
    """cos and sin (length, HEAD/2) for positions from zero."""
    angle = torch.arange(length)[:, None] * ROPE_BASE ** (-torch.arange(0, HEAD, 2) / HEAD)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """Turns the pairs (2i, 2i+1) of the last axis; x is (batch, heads, length, HEAD)."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def rounded(x, turn):
    """`q4_0` there and back: 32 values share a scale, the largest becomes -8.

    x (..., HEAD), turn (HEAD, HEAD): the rotation that llama.cpp applies before rounding and takes back afterwards.
    """
    y = (x @ turn).unflatten(-1, (-1, 32))
    scale = y.gather(-1, y.abs().argmax(-1, keepdim=True)) / -8
    q = (y / torch.where(scale == 0, 1, scale) + 8.5).floor().clamp(0, 15) - 8
    return (q * scale).flatten(-2) @ turn.mT


def attention(q, k, v):
    """Causal attention over (batch, heads, length, HEAD), and the largest score of each head (zeros on long rows).

    Plain products are quicker than the fused kernel on short rows.
    """
    length = q.shape[2]
    if length > 400:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True), torch.zeros(HEADS)
    ahead = torch.full((length, length), -1e4, dtype=torch.bfloat16).triu(1)
    scores = (q * HEAD**-0.5).bfloat16() @ k.bfloat16().mT + ahead
    return torch.softmax(scores, -1) @ v.bfloat16(), scores.detach().amax((0, 2, 3)).float()


def hadamard(size):
    """Orthonormal Walsh-Hadamard matrix; llama.cpp turns keys and values by it before it rounds them."""
    h = torch.ones(1, 1)
    while len(h) < size:
        h = torch.cat((torch.cat((h, h), 1), torch.cat((h, -h), 1)), 0)
    return h * size**-0.5


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        def matrix(rows, columns, gain=1.0):
            return nn.Parameter(torch.randn(rows, columns) * gain * columns**-0.5)
        self.attn_norm = nn.Parameter(torch.ones(WIDTH))
        self.ffn_norm = nn.Parameter(torch.ones(WIDTH))
        self.attn_q, self.attn_k, self.attn_v = matrix(WIDTH, WIDTH), matrix(WIDTH, WIDTH), matrix(WIDTH, WIDTH)
        self.attn_output = matrix(WIDTH, WIDTH, 0.3)
        self.ffn_gate, self.ffn_up = matrix(HIDDEN, WIDTH), matrix(HIDDEN, WIDTH)
        self.ffn_down = matrix(WIDTH, HIDDEN, 0.3)

    def forward(self, x, cos, sin, turn):
        """x (batch, length, WIDTH); turn: see `rounded`, or None to leave keys and values as they are."""
        batch, length, _ = x.shape
        h = norm(x, self.attn_norm)
        q, k, v = product(h, torch.cat((self.attn_q, self.attn_k, self.attn_v))).float().view(batch, length, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if turn is not None:
            k, v = rounded(k, turn), rounded(v, turn)
        a, self.peaks = attention(q, k, v)
        x = x + product(a.transpose(1, 2).reshape(batch, length, WIDTH), self.attn_output)
        h = norm(x, self.ffn_norm)
        gate, up = product(h, torch.cat((self.ffn_gate, self.ffn_up))).chunk(2, -1)
        return x + product(F.silu(gate) * up, self.ffn_down)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(VOCABULARY, WIDTH) * 0.05)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = nn.Parameter(torch.ones(WIDTH))
        cos, sin = rotary_table(CONTEXT)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.register_buffer("turn", hadamard(HEAD), persistent=False)

    def forward(self, ids, quantised=False, only=None):
        """ids (batch, length) to logits (batch, length, VOCABULARY); `only` (n): those of n places of the flattened batch."""
        x = F.embedding(ids, self.embedding)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin, self.turn if quantised else None)
        x = x if only is None else x.flatten(0, 1)[only]
        return product(norm(x, self.output_norm), self.embedding).float()

    @torch.no_grad()
    def tame(self, peaks):
        """Scales queries and keys of every head whose largest score is above PEAK (LAYERS * HEADS numbers) down to it.

        Without this, orthogonal updates drive the scores into the hundreds: every head then looks at one token, its gradient
        is gone, and the model copies well but cannot tell a request to write from one to read. (The remedy of Kimi K2, 2025.)
        """
        factors = (PEAK / torch.tensor(peaks).clamp_min(PEAK)).sqrt().view(LAYERS, HEADS, 1, 1)
        for block, factor in zip(self.blocks, factors):
            for matrix in (block.attn_q, block.attn_k):
                matrix.view(HEADS, HEAD, WIDTH).mul_(factor)

    def matrices(self):
        """The parameters that Muon trains: every matrix but the embedding."""
        return [p for name, p in self.named_parameters() if p.ndim == 2 and name != "embedding"]

    def others(self):
        return [p for name, p in self.named_parameters() if p.ndim == 1 or name == "embedding"]
