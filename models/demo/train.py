"""Trains the demo model on dialogues made up on the fly, for a given number of minutes.

Writes `checkpoint.pt` every few minutes and goes on from it when started again. The schedule follows the processor time of a
worker: on an idle machine that is the clock; on a busy one the training takes longer, and the learning rate waits for it.
"""

import argparse
import pathlib
import random
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

import dialogues
from model import HEADS, LAYERS, Model
from tokenizer import Tokenizer

HERE = pathlib.Path(__file__).parent
WORKERS = 2  # one a core: threads inside one worker would wait for each other at every operation on a busy machine
BATCH_TOKENS, POOL = 2432, 1000  # per worker
LIMITS = [(0.08, 256), (2.0, 640)]  # longest dialogue until a fraction of the time has gone: short ones teach copying sooner
MUON_RATE, ADAM_RATE, MEAN_OVER = 0.008, 1e-3, 150  # the model that is kept is the mean over so many steps
WARM_UP, DECAY_FROM = 60, 0.15


class Muon:
    """Momentum, then the nearest orthogonal matrix, as in Keller Jordan's note of 2024; equal shapes together."""

    def __init__(self, parameters, momentum=0.95, decay=0.01):
        self.groups = {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.momentum, self.decay = momentum, decay
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, group in self.groups.items():
            gradient = torch.stack([p.grad for p in group])
            buffer = self.buffers[shape].mul_(self.momentum).add_(gradient, alpha=1 - self.momentum)
            update = orthogonal(gradient.lerp(buffer, self.momentum)) * max(1, shape[0] / shape[1]) ** 0.5
            for p, u in zip(group, update):
                p.mul_(1 - rate * self.decay).add_(u, alpha=-rate)


# Coefficients of the first four steps of "The Polar Express" (Amsel and others, 2025): fewer steps than with fixed ones.
POLAR = [(8.28721201814563, -23.595886519098837, 17.300387312530933), (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
         (3.9486908534822946, -2.908902115962949, 0.5518191394370137), (3.3184196573706015, -2.488488024314874, 0.51004894012372)]


def orthogonal(g):
    """g (n, rows, columns) with its singular values moved near one."""
    x = g.bfloat16()
    flipped = x.shape[1] > x.shape[2]
    if flipped:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) * 1.02 + 1e-7)
    for a, b, c in POLAR:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if flipped else x).float()


def batches(tokenizer, r, clock):
    """Endless (ids, targets, weights), each (rows, length); dialogues of like length stand together. `clock[0]`: time gone."""
    while True:
        limit = next(tokens for until, tokens in LIMITS if clock[0] < until)
        pool = [dialogues.encode(tokenizer, dialogues.dialogue(r), limit) for _ in range(POOL)]
        pool = sorted((d for d in pool if len(d[0]) > 8), key=lambda d: len(d[0]))
        groups, group = [], []
        for d in pool:
            if group and (len(group) + 1) * len(d[0]) > BATCH_TOKENS:
                groups.append(group)
                group = []
            group.append(d)
        r.shuffle(groups)
        for group in groups:
            length = max(len(ids) for ids, _ in group)
            ids = torch.zeros(len(group), length, dtype=torch.long)
            weights = torch.zeros(len(group), length)
            for i, (row, weight) in enumerate(group):
                ids[i, : len(row)] = torch.tensor(row)
                weights[i, : len(row)] = torch.tensor(weight)
            yield ids[:, :-1], ids[:, 1:], weights[:, 1:]


def rates(step, done):
    """Factor on the learning rates at `step`, with the fraction `done` of the time gone."""
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, 1.5 * max(0.0, (1 - done) / (1 - DECAY_FROM)) * 0.98 + 0.02)


class Gradients:
    """Averages gradients over the workers, and with them a few numbers that all must agree on."""

    def __init__(self, model, numbers):
        self.parameters = list(model.parameters())
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters) + numbers)
        self.numbers = self.flat[len(self.flat) - numbers :]
        at = 0
        for p in self.parameters:
            p.grad = self.flat[at : at + p.numel()].view_as(p)
            at += p.numel()

    def average(self, numbers):
        self.numbers.copy_(torch.tensor(numbers))
        dist.all_reduce(self.flat)
        self.flat /= dist.get_world_size()
        return self.numbers.tolist()

    def clear(self):
        self.flat.zero_()


def load(path, model, mean, muon, adam):
    """Restores what `save` wrote; returns the number of steps, the seconds spent and the tokens seen."""
    if not path.exists():
        return 0, 0.0, 0
    saved = torch.load(path)
    model.load_state_dict(saved["last"] if "last" in saved else saved["model"])
    mean.load_state_dict(saved["model"])
    adam.load_state_dict(saved["adam"])
    muon.buffers = saved["muon"]
    return saved["step"], saved["spent"], saved["tokens"]


def save(path, model, mean, muon, adam, step, spent, tokens):
    temporary = path.with_suffix(".new")
    torch.save({"model": mean.state_dict(), "last": model.state_dict(), "adam": adam.state_dict(), "muon": muon.buffers, "step": step, "spent": spent, "tokens": tokens}, temporary)
    temporary.replace(path)


def loss(model, ids, targets, weights):
    """Weighted cross entropy; also the plain loss on what the model must say, and the share of right guesses where it decides."""
    targets, weights = targets.flatten(), weights.flatten()
    taught = weights.nonzero().squeeze(1)  # the last and widest product is made only where something is learned
    targets, weights = targets[taught], weights[taught]
    logits = model(ids, only=taught)
    losses = F.cross_entropy(logits, targets, reduction="none")
    with torch.no_grad():
        decision = weights > 1
        right = (logits[decision].argmax(-1) == targets[decision]).float().mean().item()
        plain = losses.mean().item()
    return (losses * weights).sum() / weights.sum(), plain, right


def work(rank, minutes, folder):
    """One of the workers: its own dialogues, its own thread, gradients in common."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORKERS)
    model, mean = Model(), Model()
    muon, adam = Muon(model.matrices()), torch.optim.AdamW(model.others(), lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    checkpoint = folder / "checkpoint.pt"
    step, spent, tokens = load(checkpoint, model, mean, muon, adam)
    model.compile(dynamic=True)  # a third quicker; needs a C++ compiler
    gradients = Gradients(model, 4 + LAYERS * HEADS)
    clock = [0.0]
    source = batches(Tokenizer.load(HERE / "merges.json"), random.Random(1000 + step * WORKERS + rank), clock)
    begin, saved, shown, first = time.process_time() - spent, time.time(), [], (time.time(), tokens)
    while (done := spent / (minutes * 60)) < 1:
        clock[0] = done
        ids, targets, weights = next(source)
        total, plain, right = loss(model, ids, targets, weights)
        total.backward()
        peaks = torch.cat([block.peaks for block in model.blocks]).tolist()
        spent, count, *numbers = gradients.average([time.process_time() - begin, ids.numel(), plain, right, *peaks])
        factor = rates(step, done)
        adam.param_groups[0]["lr"] = ADAM_RATE * factor
        torch.nn.utils.clip_grad_norm_(model.others(), 1.0)
        adam.step()
        muon.step(MUON_RATE * factor)
        model.tame(numbers[2:])
        gradients.clear()
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 / min(step + 1, MEAN_OVER))
        step, tokens, shown = step + 1, tokens + round(count * WORKERS), shown + [numbers[:2]]
        if rank == 0 and step % 50 == 0:
            plain, right = (sum(x) / len(shown) for x in zip(*shown))
            speed = (tokens - first[1]) / (time.time() - first[0])
            print(f"step {step} min {spent / 60:.1f} tokens {tokens / 1e6:.2f}M loss {plain:.4f} right {right:.4f} rate {factor:.3f} speed {speed:.0f}/s", flush=True)
            shown, first = [], (time.time(), tokens)
        if rank == 0 and time.time() - saved > 120:
            saved = time.time()
            save(checkpoint, model, mean, muon, adam, step, spent, tokens)
    if rank == 0:
        save(checkpoint, model, mean, muon, adam, step, spent, tokens)


def train(minutes, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    print(f"{sum(p.numel() for p in Model().parameters())} parameters", flush=True)
    torch.multiprocessing.spawn(work, (minutes, folder.absolute()), nprocs=WORKERS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/tmp/paguro-demo-model"))
    options = parser.parse_args()
    train(options.minutes, options.folder)
