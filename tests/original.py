"""The original X-Codec2, written down from what is known of its checkpoints and its arithmetic: an oracle for tests.

Every parameter has its original name, weight norm is torch's own, and the decoder's rotation is done, over heads. It
shares no code with the package, and is written for plainness: loops where the package is batched.
"""

import json
import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy.signal import firwin, kaiser_atten, kaiser_beta
from scipy.signal.windows import hann
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

HOP = 320
FSQ_LEVELS = 8 * [4]
TINY_OPTIONS = {"num_semantic_layers": 2, "num_attention_heads": 4}


def normed_conv(*sizes: int, legacy: bool, **options: int) -> nn.Module:
    conv = nn.Conv1d(*sizes, **options)
    if not legacy:
        return weight_norm(conv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older function is deprecated; checkpoints of its making are not
        return nn.utils.weight_norm(conv)


def low_pass() -> Tensor:
    beta = kaiser_beta(kaiser_atten(6, 1.2))  # 12 taps, designed as if they were 6: so does BigVGAN
    return torch.tensor(firwin(12, 0.25, window=("kaiser", beta), fs=1.0), dtype=torch.float32).view(1, 1, 12)


class SnakeBeta(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha.exp()[:, None], self.bias.exp()[:, None]
        return x + torch.sin(alpha * x) ** 2 / (beta + 1e-9)


class Upsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = F.pad(x, (5, 5), mode="replicate")
        x = 2 * F.conv_transpose1d(x, self.filter.expand(channels, 1, 12), stride=2, groups=channels)
        return x[..., 15:-15]


class LowPass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        x = F.pad(x, (5, 6), mode="replicate")
        return F.conv1d(x, self.filter.expand(channels, 1, 12), stride=2, groups=channels)


class Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: Tensor) -> Tensor:
        return self.lowpass(x)


class Activation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = Upsample()
        self.downsample = Downsample()

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.act(self.upsample(x)))


class ResidualUnit(nn.Module):
    def __init__(self, channels: int, dilation: int, legacy: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Activation(channels),
            normed_conv(channels, channels, 7, dilation=dilation, padding=3 * dilation, legacy=legacy),
            Activation(channels),
            normed_conv(channels, channels, 1, legacy=legacy),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class EncoderBlock(nn.Module):
    def __init__(self, channels: int, stride: int, legacy: bool) -> None:
        super().__init__()
        padding = stride // 2 + stride % 2
        self.block = nn.Sequential(
            *(ResidualUnit(channels, dilation, legacy) for dilation in (1, 3, 9)),
            Activation(channels),
            normed_conv(channels, 2 * channels, 2 * stride, stride=stride, padding=padding, legacy=legacy),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class CodecEncoder(nn.Module):
    def __init__(self, base: int, strides: tuple[int, ...], hidden: int, legacy: bool) -> None:
        super().__init__()
        widths = [base * 2**i for i in range(len(strides) + 1)]
        self.conv_blocks = nn.Sequential(
            normed_conv(1, base, 7, padding=3, legacy=legacy),
            *(EncoderBlock(width, stride, legacy) for width, stride in zip(widths, strides, strict=False)),
        )
        self.conv_final_block = nn.Sequential(
            Activation(widths[-1]), normed_conv(widths[-1], hidden, 3, padding=1, legacy=legacy)
        )

    def forward(self, wave: Tensor) -> Tensor:
        return self.conv_final_block(self.conv_blocks(wave))


class SemanticEncoder(nn.Module):
    def __init__(self, width: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.initial_conv = nn.Conv1d(width, hidden, 3, padding=1, bias=False)
        self.residual_blocks = nn.Sequential(
            nn.ReLU(inplace=True),  # in place: what is added below has been rectified too
            nn.Conv1d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(hidden, hidden, 3, padding=1),
        )
        self.final_conv = nn.Conv1d(hidden, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.initial_conv(x)
        x = self.residual_blocks(x) + x
        return self.final_conv(x)


class Quantizer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(width, len(FSQ_LEVELS))
        self.project_out = nn.Linear(len(FSQ_LEVELS), width)

    @staticmethod
    def bound(z: Tensor) -> Tensor:
        half_range, offset = 3 * 1.001 / 2, 0.5  # of 4 levels
        return torch.tanh(z + math.atanh(offset / half_range)) * half_range - offset

    def forward(self, x: Tensor) -> Tensor:
        rounded = self.bound(self.bound(self.project_in(x))).round()
        return sum((rounded[..., i] + 2) * 4**i for i in range(8)).to(torch.int32)

    def get_output_from_indices(self, codes: Tensor) -> Tensor:
        digits = torch.stack([codes.long() // 4**i % 4 for i in range(8)], -1)
        return self.project_out((digits - 2) / 2)


def rotate_pairs(x: Tensor) -> Tensor:
    """Torchtune's rotary embedding: x is read as (batch, position, heads, head_dim), and neighbours are pairs."""
    frequencies = 10000.0 ** -(torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = torch.arange(x.shape[1])[:, None] * frequencies  # (position, pairs)
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]  # -> (position, 1, pairs)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # (batch, time, 3 * heads * head_dim) -> 3 x (batch, heads, time, head_dim)
        return self.c_attn(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.projections(x)
        q, k = rotate_pairs(q), rotate_pairs(k)  # the module takes dimension 1, the heads, for positions
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1)
        return self.c_proj((weights @ v).transpose(1, 2).flatten(2))


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.weight


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width, bias=False)
        self.fc2 = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.silu(self.fc1(x)))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.att_norm = RMSNorm(width)
        self.ffn_norm = RMSNorm(width)
        self.att = Attention(width, heads)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.att(self.att_norm(x))
        return x + self.mlp(self.ffn_norm(x))


class ResnetBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, width, eps=1e-6)
        self.conv1 = nn.Conv1d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(32, width, eps=1e-6)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))


class Backbone(nn.Module):
    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(width, width, 7, padding=3)
        self.prior_net = nn.Sequential(ResnetBlock(width), ResnetBlock(width))
        self.transformers = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.final_layer_norm = nn.LayerNorm(width, eps=1e-6)
        self.post_net = nn.Sequential(ResnetBlock(width), ResnetBlock(width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.prior_net(self.embed(x.transpose(1, 2)))
        x = self.transformers(x.transpose(1, 2))
        x = self.post_net(x.transpose(1, 2))
        return self.final_layer_norm(x.transpose(1, 2))


class ISTFT(nn.Module):
    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.tensor(hann(4 * hop, sym=False), dtype=torch.float32))

    def forward(self, spectrum: Tensor) -> Tensor:
        hop = self.hop
        frames = torch.fft.irfft(spectrum, dim=-1) * self.window
        audio = torch.zeros(frames.shape[0], (frames.shape[1] + 3) * hop)
        envelope = torch.zeros_like(audio)
        for i in range(frames.shape[1]):
            here = slice(i * hop, (i + 4) * hop)
            audio[:, here] += frames[:, i]
            envelope[:, here] += self.window**2
        trim = slice(3 * hop // 2, -(3 * hop) // 2)
        return audio[:, trim] / envelope[:, trim]


class Head(nn.Module):
    def __init__(self, width: int, hop: int = HOP) -> None:
        super().__init__()
        self.out = nn.Linear(width, 4 * hop + 2)
        self.istft = ISTFT(hop)

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = self.out(x).chunk(2, -1)
        return self.istft(torch.polar(magnitude.exp().clip(max=100.0), phase))[:, None]


class Generator(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, quantized_width: int, hop: int = HOP) -> None:
        super().__init__()
        self.quantizer = Quantizer(quantized_width)
        self.backbone = Backbone(width, depth, heads)
        self.head = Head(width, hop)


class OriginalXCodec2(nn.Module):
    """The original model at a size of choice; with `legacy`, weight norm by the older of torch's functions."""

    def __init__(
        self,
        hidden: int = 64,
        depth: int = 2,
        heads: int = 4,
        encoder_base: int = 4,
        strides: tuple[int, ...] = (2, 2, 4, 4, 5),
        semantic_hidden: int = 32,
        semantic_heads: int = 2,
        semantic_intermediate: int = 48,
        semantic_layers: int = 3,
        used_semantic_layers: int = 2,
        legacy: bool = False,
    ) -> None:
        super().__init__()
        self.used_semantic_layers = used_semantic_layers
        config = Wav2Vec2BertConfig(
            hidden_size=semantic_hidden,
            num_attention_heads=semantic_heads,
            intermediate_size=semantic_intermediate,
            num_hidden_layers=semantic_layers,
            output_hidden_states=True,
        )
        self.semantic_model = Wav2Vec2BertModel(config)
        self.SemanticEncoder_module = SemanticEncoder(semantic_hidden)
        self.CodecEnc = CodecEncoder(encoder_base, strides, hidden, legacy)
        both = hidden + semantic_hidden
        self.generator = Generator(hidden, depth, heads, both)
        self.fc_prior = nn.Linear(both, both)
        self.fc_post_a = nn.Linear(both, hidden)
        self.features = SeamlessM4TFeatureExtractor()
        self.eval()

    def input_features(self, wave: Tensor) -> Tensor:
        """(samples,) -> (1, codes, 160), the wave padded to whole codes before."""
        return self.features(
            F.pad(wave, (160, 160)).numpy().astype(np.float32), sampling_rate=16000, return_tensors="pt"
        ).input_features

    def fused(self, wave: Tensor, features: Tensor) -> Tensor:
        """(batch, 1, samples) and (batch, codes, 160) -> what is quantized, (batch, codes, channels)."""
        semantic = self.semantic_model(features).hidden_states[self.used_semantic_layers]
        semantic = self.SemanticEncoder_module(semantic.transpose(1, 2))
        return self.fc_prior(torch.cat([semantic, self.CodecEnc(wave)], 1).transpose(1, 2))

    @torch.no_grad()
    def encode_code(self, wave: Tensor) -> Tensor:
        """(1, samples) -> (1, 1, codes)."""
        wave = F.pad(wave, (0, HOP - wave.shape[1] % HOP))
        return self.generator.quantizer(self.fused(wave[:, None], self.input_features(wave[0])))[:, None]

    @torch.no_grad()
    def decode_code(self, codes: Tensor) -> Tensor:
        """(batch, 1, codes) -> (batch, 1, samples)."""
        latents = self.generator.quantizer.get_output_from_indices(codes[:, 0])
        return self.generator.head(self.generator.backbone(self.fc_post_a(latents)))


@torch.no_grad()
def randomize(model: OriginalXCodec2, seed: int = 0) -> None:
    """Give every parameter values that matter: no zeros, no ones, and magnitudes that are not the directions' norms."""
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=generator)

    for name, parameter in model.named_parameters():
        if name.endswith("original0"):
            parameter.mul_(torch.exp(normal(parameter, 0.3)))
        elif parameter.ndim >= 2:
            parameter.copy_(normal(parameter, 1.4 * parameter[0].numel() ** -0.5))
        elif name.endswith("weight"):  # norms
            parameter.copy_(1 + normal(parameter, 0.2))
        else:  # biases, SnakeBeta's logarithms
            parameter.copy_(normal(parameter, 0.1))
    # Speech is quiet: bring it to where the activations bend, and the latents to where the quantizer has its steps.
    model.CodecEnc.conv_blocks[0].parametrizations.weight.original0.mul_(20.0)
    model.generator.quantizer.project_in.weight.mul_(0.3)
    model.generator.head.out.bias[: 2 * model.generator.head.istft.hop + 1] += 2.0  # audible


def random_original() -> OriginalXCodec2:
    """A tiny original model that computes something; TINY_OPTIONS tell the conversion what its tensors do not."""
    model = OriginalXCodec2()
    randomize(model)
    return model


def write_original_folder(state: dict[str, Tensor], folder: Path) -> Path:
    """Write a state dict as the original package's save_pretrained does."""
    folder.mkdir()
    config = {
        "architectures": ["XCodec2Model"],
        "model_type": "xcodec",
        "semantic_hidden_size": 1024,
        "codec_encoder_hidden_size": 1024,
        "codec_decoder_hidden_size": 1024,
        "use_vocos": True,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return folder


def original_neucodec(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make of an original X-Codec2 an original NeuCodec: a head of 480 samples, and tensors that only training used."""
    state = {name: tensor for name, tensor in state.items() if "SemanticDecoder" not in name}
    width = state["generator.head.out.weight"].shape[1]
    generator = torch.Generator().manual_seed(3)
    return state | {
        "generator.head.out.weight": 0.1 * torch.randn(1922, width, generator=generator),
        "generator.head.out.bias": 0.1 * torch.randn(1922, generator=generator),
        "generator.head.istft.window": torch.hann_window(1920),
        "SemanticDecoder_module.initial_conv.weight": torch.zeros(4, 4, 3),
        "fc_post_s.weight": torch.zeros(4, 4),
    }


def with_head(state: dict[str, Tensor], hop: int) -> dict[str, Tensor]:
    """Give an original decoder a head of other samples a step."""
    width, generator = state["generator.head.out.weight"].shape[1], torch.Generator().manual_seed(4)
    return state | {
        "generator.head.out.weight": 0.05 * torch.randn(4 * hop + 2, width, generator=generator),
        "generator.head.out.bias": 0.05 * torch.randn(4 * hop + 2, generator=generator),
        "generator.head.istft.window": torch.hann_window(4 * hop),
    }


def with_upsampler(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give an original decoder two stages of 3 for one and a head of 98 samples, as Anime-XCodec2-44.1kHz has them."""
    width, generator = state["generator.head.out.weight"].shape[1], torch.Generator().manual_seed(0)
    added: dict[str, Tensor] = {}
    for i in range(2):
        wide, narrow = width // 2**i, width // 2 ** (i + 1)
        added[f"generator.upsampler.upsample_layers.{i}.weight"] = torch.empty(wide, narrow, 9)
        added[f"generator.upsampler.upsample_layers.{i}.bias"] = torch.empty(narrow)
        for name, tensor in ResnetBlock(narrow).state_dict().items():
            added[f"generator.upsampler.resnet_blocks.{i}.{name}"] = tensor
    added["generator.upsampler.out_proj.weight"] = torch.empty(width, width // 4)
    added["generator.upsampler.out_proj.bias"] = torch.empty(width)
    drawn = {name: 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in added.items()}
    return with_head(state, 98) | drawn


def put_into_hub_cache(folder: Path, name: str, cache: Path) -> None:
    """Lay a folder out as the hub's client does what it has downloaded."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
