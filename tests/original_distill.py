"""The original DistillNeuCodec, written down from what is known of its checkpoints and its arithmetic.

As tests/original.py, whose decoder and quantizer it has: original names, no code shared with the package, written for
plainness. Its attention scores every step against every other and masks most; its norms see all of a clip at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from transformers import HubertConfig, HubertModel

from original import HOP, Generator, SemanticEncoder

POOLS = (1, 5, 11, 21, 45)
WINDOWS = (1500, 300)


def conv(*sizes: int, **options: int) -> nn.Module:
    return weight_norm(nn.Conv1d(*sizes, **options))


def envelope(x: Tensor, size: int) -> Tensor:
    """Of (1, 1, samples): the mean over `size` samples of the largest magnitude over as many."""
    half = size // 2
    highest = torch.stack([F.pad(x.abs(), (half, half))[..., i : i + x.shape[-1]] for i in range(size)]).amax(0)
    return sum(F.pad(highest, (half, half))[..., i : i + x.shape[-1]] for i in range(size)) / size


class FirstBlock(nn.Module):
    def __init__(self, branch: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Identity(), conv(1, branch, 7, padding=3)) for _ in POOLS)
        self.conv_1 = conv(5 * branch, 20 * branch, 1)
        self.conv_2 = conv(20 * branch + 1, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [x if size == 1 else envelope(x, size) for size in POOLS]
        y = torch.cat([block(part) for block, part in zip(self.blocks, pooled, strict=True)], 1)
        return self.conv_2(torch.cat([F.gelu(self.conv_1(y)), x], 1))


class Snake(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x) ** 2 / (self.alpha + 2**-23)


class ResponseNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, channels))
        self.beta = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = (x * x).sum((1, 2), keepdim=True).sqrt()
        return self.gamma * (x * (norm / (norm + 2**-23))) + self.beta + x


class Unit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dw_conv = conv(channels, channels, 7, padding=3, groups=channels)
        self.pw_conv1 = weight_norm(nn.Linear(channels, 4 * channels))
        self.act = Snake(4 * channels)
        self.grn = ResponseNorm(4 * channels)
        self.pw_conv2 = weight_norm(nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.pw_conv2(self.grn(self.act(self.pw_conv1(self.dw_conv(x).mT)))).mT


class Residual(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return x + self.module(x)


class Encoder(nn.Module):
    def __init__(self, branch: int, base: int, width: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [FirstBlock(branch, base)]
        for i, depth in enumerate((1, 1, 1, 2)):
            channels = base * 2**i
            blocks.append(nn.Sequential(*(Residual(Unit(channels)) for _ in range(depth))))
            if i < 3:
                blocks.append(nn.Sequential(conv(channels, 2 * channels, 4, stride=4), nn.Identity()))
        self.blocks = nn.Sequential(*blocks, conv(8 * base, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class LocalAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * heads * (width // 4), bias=False)
        self.to_out = nn.Linear(heads * (width // 4), width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        # (batch, time, 3 * heads * head_dim) -> 3 x (batch, heads, time, head_dim)
        q, k, v = self.to_qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5 + bias, -1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class GatedGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, -1)
        return x * F.gelu(gate)


class PositionBias(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads)
        )


class LocalTransformer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, depth: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    LocalAttention(width, heads),
                    nn.Sequential(
                        nn.LayerNorm(width),
                        nn.Linear(width, 2 * inner, bias=False),
                        GatedGELU(),
                        nn.Dropout(0.0),
                        nn.Linear(inner, width, bias=False),
                    ),
                ]
            )
            for _ in range(depth)
        )
        self.dynamic_pos_bias = PositionBias(width // 2, heads)

    def forward(self, x: Tensor) -> Tensor:
        step = torch.arange(x.shape[1])
        query, key = step[:, None], step[None, :]
        bias = self.dynamic_pos_bias.mlp(step[:, None].float()).mT[:, (query - key).abs()]  # (heads, time, time)
        seen = (key <= query) & (key // self.window >= query // self.window - 1)
        bias = bias.masked_fill(~seen, -torch.inf)
        for attention, feed_forward in self.layers:
            x = x + attention(x, bias)
            x = x + feed_forward(x)
        return x


class DownTransformer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, depth: int) -> None:
        super().__init__()
        self.trans = LocalTransformer(width, inner, heads, depth, WINDOWS[0])
        self.down_layer = conv(width, width, 5, stride=5)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_layer(self.trans(x).mT).mT


class LocalEncoder(nn.Module):
    def __init__(self, width: int, inner: int, heads: int, depths: tuple[int, int]) -> None:
        super().__init__()
        self.cache_token = nn.Parameter(torch.zeros(1, 0, width))
        self.down_trans = DownTransformer(width, inner, heads, depths[0])
        self.local_trans = LocalTransformer(width, inner, heads, depths[1], WINDOWS[1])

    def forward(self, x: Tensor) -> Tensor:
        return self.local_trans(self.down_trans(x.mT))


class CodecEncoder(nn.Module):
    def __init__(self, branch: int, base: int, width: int, inner: int, heads: int, depths: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = Encoder(branch, base, width)
        self.en_encoder = LocalEncoder(width, inner, heads, depths)

    def forward(self, wave: Tensor) -> Tensor:
        """(1, 1, samples) -> (1, codes, width)."""
        return self.en_encoder(self.encoder(wave))


class OriginalDistillNeuCodec(nn.Module):
    """The original model at a small size; --num-attention-heads 4."""

    def __init__(self) -> None:
        super().__init__()
        hidden, semantic, fused, local = 64, 64, 80, 32
        config = HubertConfig(
            hidden_size=semantic,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=48,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_proj_layer_norm=False,
        )
        self.semantic_model = HubertModel(config)
        self.SemanticEncoder_module = SemanticEncoder(semantic, 48)
        self.codec_encoder = CodecEncoder(2, 4, local, 40, 3, (1, 2))
        self.generator = Generator(hidden, 2, 4, fused, hop=480)
        self.fc_sq_prior = nn.Linear(local, 24)
        self.fc_prior = nn.Linear(semantic + 24, fused)
        self.fc_post_a = nn.Linear(fused, hidden)
        self.eval()

    def latents(self, wave: Tensor) -> Tensor:
        """(1, samples) -> (1, codes, channels)."""
        wave = F.pad(wave, (0, HOP - wave.shape[1] % HOP))
        states = self.semantic_model(F.pad(wave, (160, 160))).last_hidden_state
        semantic = self.SemanticEncoder_module(states.mT).mT
        acoustic = self.fc_sq_prior(self.codec_encoder(wave[:, None]))
        return self.fc_prior(torch.cat([semantic, acoustic], -1))

    @torch.no_grad()
    def encode_code(self, wave: Tensor) -> Tensor:
        """(1, samples) -> (1, 1, codes)."""
        return self.generator.quantizer(self.latents(wave))[:, None]

    @torch.no_grad()
    def decode_code(self, codes: Tensor) -> Tensor:
        """(batch, 1, codes) -> (batch, 1, samples)."""
        latents = self.generator.quantizer.get_output_from_indices(codes[:, 0])
        return self.generator.head(self.generator.backbone(self.fc_post_a(latents)))


@torch.no_grad()
def random_original_distill(wave: Tensor, seed: int = 0) -> OriginalDistillNeuCodec:
    """A model of random weights, all of which matter, whose codes vary on a wave (1, samples)."""
    torch.manual_seed(seed)
    model = OriginalDistillNeuCodec()
    for name, parameter in model.named_parameters():
        if name.endswith("original0"):
            parameter.copy_(torch.exp(0.3 * torch.randn_like(parameter)))
        elif name.endswith("alpha"):
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        elif ".grn." in name:
            parameter.copy_(0.3 * torch.randn_like(parameter))
        elif parameter.ndim > 1 and parameter.numel():
            parameter.copy_(parameter[0].numel() ** -0.5 * torch.randn_like(parameter))
        elif name.endswith("weight"):  # norms
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        else:
            parameter.copy_(0.1 * torch.randn_like(parameter))
    projected = model.generator.quantizer.project_in(model.latents(wave))[0]
    model.generator.quantizer.project_in.weight.div_(projected.std(0)[:, None])
    model.generator.quantizer.project_in.bias.sub_(projected.mean(0)).div_(projected.std(0))
    return model
