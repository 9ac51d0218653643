"""How well codes can be foretold: the perplexity of a small language model that learns them here."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xcodec.evaluation.metric import Scale, Score
from xcodec.probing.coder import Coder
from xcodec.probing.probe import CodedClip, Findings, Probe
from xcodec.progress import shares

__all__ = ["CodeModel", "Predictability", "symbols_of"]

STEPS = 300
BATCH, LENGTH = 16, 64  # windows a step, frames a window
LEARNING_RATE = 3e-3
DROPOUT = 0.2
LOOKS = 10  # at the validation clips, over the training
WIDTH = 128
SEED = 0
LARGEST = 4096  # codes of a codebook that is foretold at once; larger ones are in digits
FEWEST = 3  # clips


class Predictability(Probe):
    """Bits a second of a language model of codes, on clips that it has not learnt.

    A recurrent network of one layer (GRU, 128 wide) reads frames and foretells the next one, its codes one after
    another: those of each codebook, and of a codebook of more than 4096 codes its digits, which makes a probability of
    every code (the chain rule). It learns a fixed number of steps with a fixed seed from three of five clips; the best
    of ten looks at a fourth is measured on the fifth. Bits a second compare codecs of any rate and codebook. They are
    an upper bound by a small model of little data, and fall with more of both; compare codecs on the same clips alone.
    Fewer bits are easier for a language model, and may only be less of the sound.

    Args:
        steps: of training.
    """

    name = "predictability"
    title = "a language model of the codes"

    def __init__(self, steps: int = STEPS) -> None:
        self._steps = steps
        about = f"by a GRU of width {WIDTH} after {steps} steps of {BATCH} windows of {LENGTH} frames"
        self.scales = (
            Scale(
                "predictability.bits", "bits, foretold", f"bits a second of held-out clips {about}", 0, "bit/s", False
            ),
            Scale("predictability.share", "of bits paid", "the same, by the bits that the codes take", 1, "%", False),
            Scale("predictability.perplexity", "perplexity a code", "2 to the bits of a code", 0, "", False),
        )

    def measure(self, coder: Coder, clips: Sequence[CodedClip]) -> Findings:
        """Learn the codes of some clips, and foretell those of others."""
        if len(clips) < FEWEST:
            return self.unmeasured(f"there are {len(clips)} clips; expected {FEWEST} at least")
        period = min(5, len(clips))
        held_out = [i for i in range(len(clips)) if i % period == period - 1]
        looked_at = [i for i in range(len(clips)) if i % period == period - 2]
        symbols = [symbols_of(clip.coding.ids, coder) for clip in clips]
        sizes = symbol_sizes(coder)
        learnt = torch.cat([each for i, each in enumerate(symbols) if i not in {*held_out, *looked_at}])
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(SEED)
            model = trained(CodeModel(sizes), learnt, [symbols[i] for i in looked_at], self._steps)
        findings = Findings()
        total, frames = 0.0, 0
        for i in held_out:
            bits, seconds = model.bits(symbols[i]), clips[i].frames / coder.frame_rate
            findings.clips[clips[i].clip.name] = {"predictability.bits": Score(bits / seconds, seconds)}
            total, frames = total + bits, frames + clips[i].frames
        paid = sum(map(math.log2, coder.codebook_sizes))
        findings.corpus["predictability.share"] = 100 * total / frames / paid
        findings.corpus["predictability.perplexity"] = 2 ** (total / frames / len(coder.codebook_sizes))
        return findings


def digits_of(coder: Coder) -> list[list[int]]:
    """Give, for each codebook, the radices of what its codes are taken apart to, the least significant first."""
    if coder.levels:
        return [list(coder.levels)]
    found = []
    for size in coder.codebook_sizes:
        radices = []
        while size > LARGEST:
            radices.append(256)
            size = -(-size // 256)
        found.append([*radices, size])
    return found


def symbol_sizes(coder: Coder) -> list[int]:
    """Give how many different symbols there are at each place of a frame."""
    return [radix for radices in digits_of(coder) for radix in radices]


def symbols_of(ids: np.ndarray, coder: Coder) -> Tensor:
    """Take codes (codebooks, frames) apart to symbols: int64 (frames, symbols)."""
    columns = []
    for row, radices in zip(ids, digits_of(coder), strict=True):
        rest = row
        for radix in radices:
            columns.append(rest % radix)
            rest = rest // radix
    return torch.tensor(np.stack(columns, axis=1), dtype=torch.int64)


class CodeModel(nn.Module):
    """Foretells the symbols of a frame of those before, and of the frame's own that come before each.

    Args:
        sizes: how many different symbols there are at each place of a frame.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.read = nn.ModuleList(nn.Embedding(size, WIDTH) for size in sizes)
        self.within = nn.ModuleList(nn.Embedding(size, WIDTH) for size in sizes[:-1])
        self.heads = nn.ModuleList(nn.Linear(WIDTH, size) for size in sizes)
        self.memory = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, symbols: Tensor) -> Tensor:
        """Compute the surprise at each frame, in nats: (batch, frames, symbols) -> (batch, frames)."""
        read = sum(embed(symbols[..., i]) for i, embed in enumerate(self.read))
        states, _ = self.memory(self.drop(read))
        context = F.pad(states[:, :-1], (0, 0, 1, 0))  # of the frames before; of the first there are none
        surprise = torch.zeros(symbols.shape[:2])
        for i, head in enumerate(self.heads):
            logits = head(self.drop(torch.tanh(context)))
            surprise = surprise + F.cross_entropy(logits.transpose(1, 2), symbols[..., i], reduction="none")
            if i < len(self.within):
                context = context + self.within[i](symbols[..., i])
        return surprise

    @torch.no_grad()
    def bits(self, symbols: Tensor) -> float:
        """Give the bits that it takes for a clip's symbols (frames, symbols)."""
        self.train(False)
        surprise: Tensor = self(symbols[None])
        return float(surprise.sum()) / math.log(2)


def trained(model: CodeModel, symbols: Tensor, validation: Sequence[Tensor], steps: int) -> CodeModel:
    """Train a model on windows of symbols (frames, symbols), and give it as it was best on validation clips."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    length = min(LENGTH, len(symbols))
    best, weights = math.inf, model.state_dict()
    for step in shares(range(1, steps + 1)):
        model.train()
        starts = torch.randint(len(symbols) - length + 1, (BATCH,))
        windows = torch.stack([symbols[start : start + length] for start in starts.tolist()])
        optimizer.zero_grad()
        model(windows).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // LOOKS) == 0 or step == steps:
            bits = sum(model.bits(each) for each in validation)
            if bits < best:
                best, weights = bits, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return model
