"""The original tokenizer of Higgs Audio v2, after its checkpoint and its arithmetic: an oracle for tests.

X-Codec's network with projections around its codebooks. Every parameter has its original name, as in `model.pth`.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from original_xcodec import SEMANTIC, Codebook, SoundStream, randomize

RATIOS = (8, 5, 4, 2, 3)


def resample_by_its_definition(waveform: Tensor, orig_freq: int, new_freq: int) -> Tensor:
    """Each new sample is a sum over old ones, weighed by a windowed sinc of their distance; in float64, one by one."""
    samples, ratio = waveform.double().numpy(), new_freq / orig_freq
    cutoff = 0.99 * min(1.0, ratio)
    out = np.zeros((*samples.shape[:-1], math.ceil(samples.shape[-1] * ratio)))
    for j in range(out.shape[-1]):
        centre = j / ratio
        first, last = math.ceil(centre - 6 / cutoff), math.floor(centre + 6 / cutoff)
        near = np.arange(max(0, first), min(samples.shape[-1] - 1, last) + 1)
        distance = cutoff * (near - centre)
        weights = cutoff * np.sinc(distance) * np.cos(np.pi * distance / 12) ** 2
        out[..., j] = samples[..., near] @ weights
    return torch.from_numpy(out).to(waveform.dtype)


class Stage(nn.Module):
    """A codebook between two projections."""

    def __init__(self, size: int, width: int, narrow: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(width, narrow)
        self.project_out = nn.Linear(narrow, width)
        self._codebook = Codebook(size, narrow)

    def nearest(self, x: Tensor) -> Tensor:
        return torch.cdist(self.project_in(x).double(), self._codebook.embed[None].double()).argmin(-1)

    def decode(self, ids: Tensor) -> Tensor:
        return self.project_out(self._codebook.embed[ids])


class HiggsTokenizer(SoundStream):
    """The original model at a small size: 24 kHz, eight codes every 960 samples."""

    def __init__(self, narrow: int = 8) -> None:
        super().__init__("hubert_base_general", legacy=True, ratios=RATIOS)
        width = self.fields["D"] + SEMANTIC["hidden_size"]
        self.quantizer.vq.layers = nn.ModuleList(Stage(1024, width, narrow) for _ in range(8))
        self.fields |= {"sample_rate": 24000, "codebook_dim": narrow, "n_q": 8}
        self.eval()

    def latents(self, wave: Tensor) -> Tensor:
        """(1, 1, samples), whole hops -> what is quantized, (1, codes, channels)."""
        at_16khz = F.pad(resample_by_its_definition(wave[:, 0], 24000, 16000), (160, 160))
        states = self.semantic_model(at_16khz, output_hidden_states=True).hidden_states
        semantic = self.encoder_semantic(torch.stack(states, 1).mean(1)[:, ::2].transpose(1, 2))
        return self.fc_prior(torch.cat([self.encoder(wave), semantic], 1).transpose(1, 2))

    @torch.no_grad()
    def encode(self, wave: Tensor, count: int = 8) -> Tensor:  # type: ignore[override]
        """(1, 1, samples), whole hops -> (1, codebooks, codes)."""
        x, codes = self.latents(wave), []
        for stage in self.quantizer.vq.layers[:count]:
            codes.append(stage.nearest(x))
            x = x - stage.decode(codes[-1])
        return torch.stack(codes, 1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """(1, codebooks, codes) -> (1, 1, samples)."""
        stages = zip(self.quantizer.vq.layers, codes[0], strict=False)
        quantized = sum(stage.decode(ids[None]) for stage, ids in stages)
        return self.decoder_2(self.fc_post2(quantized).transpose(1, 2))


@torch.no_grad()
def random_higgs(wave: Tensor) -> HiggsTokenizer:
    """A model whose every parameter matters, and whose codebooks lie where the latents of `wave` do."""
    torch.manual_seed(0)
    model = HiggsTokenizer()
    randomize(model)
    residual = model.latents(wave)
    for stage in model.quantizer.vq.layers:
        nn.init.orthogonal_(stage.project_in.weight)
        nn.init.orthogonal_(stage.project_out.weight)
        left = stage.project_in(residual)[0]
        embed = stage._codebook.embed
        embed.copy_(left[torch.randint(len(left), (len(embed),))] + 0.5 * left.std(0) * torch.randn_like(embed))
        residual = residual - stage.decode(stage.nearest(residual))
    return model


def write_higgs_folder(model: HiggsTokenizer, folder: Path, **fields: Any) -> Path:
    """Write the tokenizer as Boson publishes it."""
    folder.mkdir()
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "config.json").write_text(json.dumps(model.fields | fields))
    return folder
