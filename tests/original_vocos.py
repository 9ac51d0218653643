"""YuE's Vocos decoder, after the vocos package's names and arithmetic: an oracle for tests."""

from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from original import Head

SIZES = {"dim": 24, "intermediate_dim": 40, "num_layers": 3}
HOP = 882


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim: int, intermediate_dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, intermediate_dim)
        self.pwconv2 = nn.Linear(intermediate_dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))).transpose(1, 2)


class Backbone(nn.Module):
    def __init__(self, input_channels: int, dim: int, intermediate_dim: int, num_layers: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(input_channels, dim, 7, padding=3)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.convnext = nn.ModuleList(ConvNeXtBlock(dim, intermediate_dim) for _ in range(num_layers))
        self.final_layer_norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embed(x).transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(x)
        return self.final_layer_norm(x.transpose(1, 2))


class VocosDecoder(nn.Module):
    """Features (batch, channels, time) -> samples (batch, 1, 882 * time)."""

    def __init__(self, input_channels: int) -> None:
        super().__init__()
        self.backbone = Backbone(input_channels, **SIZES)
        self.head = Head(SIZES["dim"], HOP)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


@torch.no_grad()
def random_decoder(input_channels: int, seed: int) -> VocosDecoder:
    torch.manual_seed(seed)
    model = VocosDecoder(input_channels).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def write_decoders(folder: Path, decoders: dict[str, VocosDecoder]) -> None:
    """Write decoders and their YAML file as YuE publishes them."""
    folder.mkdir()
    for name, decoder in decoders.items():
        torch.save(decoder.state_dict(), folder / name)
    width = next(iter(decoders.values())).backbone.embed.in_channels
    head = {"dim": SIZES["dim"], "n_fft": 4 * HOP, "hop_length": HOP, "padding": "same"}
    content = {
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": {"input_channels": width, **SIZES}},
        "head": {"class_path": "vocos.heads.ISTFTHead", "init_args": head},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
