"""The original X-Codec, written down from what is known of its checkpoints and its arithmetic: an oracle for tests.

Every parameter has its original name and weight norm is torch's own. It shares no code with the package.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel


def normed(conv: nn.Module, legacy: bool) -> nn.Module:
    if not legacy:
        return weight_norm(conv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older function is deprecated; checkpoints of its making are not
        return nn.utils.weight_norm(conv)


class Snake1d(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x) ** 2 / (self.alpha + 1e-9)


class ResidualUnit(nn.Module):
    def __init__(self, width: int, dilation: int, legacy: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake1d(width),
            normed(nn.Conv1d(width, width, 7, dilation=dilation, padding=3 * dilation), legacy),
            Snake1d(width),
            normed(nn.Conv1d(width, width, 1), legacy),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Coder(nn.Module):
    """A block of the encoder or decoder: a sequence under the name `block`."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def acoustic_encoder(base: int, ratios: tuple[int, ...], latent: int, legacy: bool) -> nn.Module:
    parts: list[nn.Module] = [normed(nn.Conv1d(1, base, 7, padding=3), legacy)]
    width = base
    for stride in ratios:
        units = [ResidualUnit(width, dilation, legacy) for dilation in (1, 3, 9)]
        down = nn.Conv1d(width, 2 * width, 2 * stride, stride=stride, padding=math.ceil(stride / 2))
        parts.append(Coder(*units, Snake1d(width), normed(down, legacy)))
        width *= 2
    return Coder(*parts, Snake1d(width), normed(nn.Conv1d(width, latent, 3, padding=1), legacy))


class AcousticDecoder(nn.Module):
    def __init__(self, latent: int, width: int, ratios: tuple[int, ...], legacy: bool) -> None:
        super().__init__()
        parts: list[nn.Module] = [normed(nn.Conv1d(latent, width, 7, padding=3), legacy)]
        for stride in ratios:
            padding = math.ceil(stride / 2)
            up = nn.ConvTranspose1d(width, width // 2, 2 * stride, stride, padding, output_padding=stride % 2)
            units = [ResidualUnit(width // 2, dilation, legacy) for dilation in (1, 3, 9)]
            parts.append(Coder(Snake1d(width), normed(up, legacy), *units))
            width //= 2
        self.model = nn.Sequential(*parts, Snake1d(width), normed(nn.Conv1d(width, 1, 7, padding=3), legacy))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Wrapped(nn.Module):
    """A convolution one level down, under the name `conv`."""

    def __init__(self, width: int, bias: bool, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SemanticUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Wrapped(width, bias=False)
        self.conv2 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.elu(self.conv1(F.elu(x))))


class SemanticBlock(nn.Module):
    def __init__(self, width: int, units_first: bool) -> None:
        super().__init__()
        self.res_units = nn.ModuleList([SemanticUnit(width), SemanticUnit(width)])
        self.conv = Wrapped(width, bias=True)
        self.units_first = units_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.units_first else self.conv(x)
        for unit in self.res_units:
            x = unit(x)
        return self.conv(x) if self.units_first else x


class SemanticEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Wrapped(width, bias=False)
        self.conv_blocks = nn.ModuleList([SemanticBlock(width, True), SemanticBlock(width, True)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for block in self.conv_blocks:
            x = block(x)
        return x


class SemanticDecoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = Wrapped(width, bias=False)
        self.conv_blocks = nn.ModuleList([SemanticBlock(width, False), SemanticBlock(width, False)])
        self.conv2 = Wrapped(width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for block in self.conv_blocks:
            x = block(x)
        return self.conv2(x)


class Codebook(nn.Module):
    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.rand(size))
        self.register_buffer("embed", torch.randn(size, width))
        self.register_buffer("embed_avg", torch.randn(size, width))


class Stage(nn.Module):
    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self._codebook = Codebook(size, width)


class Layers(nn.Module):
    def __init__(self, size: int, width: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Stage(size, width) for _ in range(count))


class Quantizer(nn.Module):
    def __init__(self, size: int, width: int, count: int) -> None:
        super().__init__()
        self.vq = Layers(size, width, count)

    def codebooks(self) -> list[Tensor]:
        return [stage._codebook.embed for stage in self.vq.layers]

    def encode(self, x: Tensor, count: int) -> Tensor:
        """(batch, time, width) -> (codebooks, batch, time)."""
        codes = []
        for embed in self.codebooks()[:count]:
            nearest = torch.cdist(x.double(), embed[None].double()).argmin(-1)
            x = x - embed[nearest]
            codes.append(nearest)
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        return sum(embed[ids] for embed, ids in zip(self.codebooks(), codes, strict=False))


SEMANTIC: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


class SoundStream(nn.Module):
    """The original model at a small size; with `legacy`, weight norm by the older of torch's functions."""

    def __init__(
        self,
        teacher: str = "hubert_base",
        latent: int = 24,
        bins: int = 1024,
        legacy: bool = False,
        ratios: tuple[int, ...] = (8, 5, 4, 2),
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.fields = {
            "n_filters": 32,
            "D": latent,
            "target_bandwidths": [0.5, 1, 1.5, 2, 4],
            "ratios": list(ratios),
            "sample_rate": 16000,
            "bins": bins,
            "semantic_techer": teacher,
        }
        width = SEMANTIC["hidden_size"]
        wavlm = teacher.startswith("wavlm")
        self.encoder = acoustic_encoder(4, ratios, latent, legacy)
        self.encoder_semantic = SemanticEncoder(width)
        self.decoder_semantic = SemanticDecoder(width)
        self.quantizer = Quantizer(bins, latent + width, 8)
        self.decoder_2 = AcousticDecoder(latent, 32, ratios, legacy)
        self.semantic_model = WavLMModel(WavLMConfig(**SEMANTIC)) if wavlm else HubertModel(HubertConfig(**SEMANTIC))
        self.fc_prior = nn.Linear(latent + width, latent + width)
        self.fc_post1 = nn.Linear(latent + width, width)
        self.fc_post2 = nn.Linear(latent + width, latent)
        self.eval()

    def latents(self, wave: Tensor) -> Tensor:
        """(1, 1, samples) -> what is quantized, (1, codes, channels)."""
        states = self.semantic_model(F.pad(wave[:, 0], (160, 160)), output_hidden_states=True).hidden_states
        semantic = self.encoder_semantic(torch.stack(states, 1).mean(1).transpose(1, 2))
        return self.fc_prior(torch.cat([self.encoder(wave), semantic], 1).transpose(1, 2))

    @torch.no_grad()
    def encode(self, wave: Tensor, target_bw: float) -> Tensor:
        """(1, 1, samples), whole hops -> (codebooks, 1, codes)."""
        return self.quantizer.encode(self.latents(wave), int(target_bw / 0.5))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder_2(self.fc_post2(self.quantizer.decode(codes)).transpose(1, 2))


@torch.no_grad()
def randomize(model: nn.Module) -> None:
    """Draw every parameter anew, so that it matters."""
    for name, parameter in model.named_parameters():
        if name.endswith(("original0", "weight_g")):
            parameter.mul_(torch.exp(0.3 * torch.randn_like(parameter)))
        elif name.endswith(("alpha", "gru_rel_pos_const")):
            parameter.copy_(1 + 0.2 * torch.rand_like(parameter))
        elif parameter.ndim >= 2:
            parameter.copy_(torch.randn_like(parameter) * parameter[0].numel() ** -0.5)
        elif name.endswith("norm.weight"):
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        else:
            parameter.copy_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
def random_soundstream(wave: Tensor, teacher: str = "hubert_base", legacy: bool = False) -> SoundStream:
    """A model whose every parameter matters, and whose codebooks lie where the latents of `wave` do."""
    torch.manual_seed(0)
    model = SoundStream(teacher, legacy=legacy)
    randomize(model)
    residual = model.latents(wave)[0]
    for embed in model.quantizer.codebooks():
        chosen = residual[torch.randint(len(residual), (len(embed),))]
        embed.copy_(chosen + 0.5 * residual.std(0) * torch.randn_like(chosen))
        residual = residual - embed[torch.cdist(residual, embed).argmin(-1)]
    return model


def write_pth(model: SoundStream, folder: Path, name: str = "xcodec.pth", **extra: Any) -> Path:
    """Write the state dict and its YAML file as the authors publish them."""
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict() | extra, folder / name)
    content = {
        "generator": {"name": "SoundStream", "config": model.fields},
        "d_list": ["mfd"],
        "audio_norm_scale": 0.95,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / name
