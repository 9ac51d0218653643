"""Nemotron Audex's speech decoder, written down from what is known of its tensors and its arithmetic: an oracle.

Every tensor has its original name. It shares no code with the package, and is written for plainness: one step of time
after the other, each looking back at all before it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

HEADS = 3
LOOKAHEAD = 4


def audex_tensors(width: int = 24, layers: int = 2, codes_width: int = 20, hop: int = 320) -> dict[str, Tensor]:
    """Random tensors of a decoder of 3 heads."""
    torch.manual_seed(3)
    shapes = {
        "audex_speech_token_embedder.project_out.weight": (codes_width, 8),
        "audex_speech_token_embedder.project_out.bias": (codes_width,),
        "module.wav_proj.weight": (width, hop),
        "module.fc_post_a.weight": (width, codes_width),
        "module.lookahead_conv.weight": (width, 1, LOOKAHEAD + 1),
        "module.lookahead_proj.weight": (width, width, 1),
        "module.backbone.final_layer_norm.weight": (width,),
        "module.head.proj.weight": (hop, width),
    }
    for i in range(layers):
        block = f"module.backbone.transformers.{i}"
        shapes |= {
            f"{block}.att_norm.weight": (width,),
            f"{block}.ffn_norm.weight": (width,),
            f"{block}.att.c_attn.weight": (3 * width, width),
            f"{block}.att.c_proj.weight": (width, width),
            f"{block}.mlp.fc1.weight": (4 * width, width),
            f"{block}.mlp.fc2.weight": (width, 4 * width),
        }
    return {name: torch.randn(shape) * (0.2 if len(shape) > 1 else 1.0) for name, shape in shapes.items()}


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def turned(x: Tensor, step: int) -> Tensor:
    """Heads (heads, head_dim) of one step, neighbouring numbers as one complex number each."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    angles = step * 10_000.0 ** (-torch.arange(pairs.shape[-1]).double() / pairs.shape[-1])
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2).float()


def audex_decode(tensors: dict[str, Tensor], codes: list[int]) -> Tensor:
    """Decode the codes of one clip: samples (320 for each code,)."""
    t = {name.removeprefix("module."): x for name, x in tensors.items()}
    levels = torch.tensor([[code // 4**i % 4 for i in range(8)] for code in codes])
    embedder = "audex_speech_token_embedder.project_out"
    x = F.linear(levels * (2 / 3) - 1, t[f"{embedder}.weight"], t[f"{embedder}.bias"]) @ t["fc_post_a.weight"].T
    after = torch.cat([x, torch.zeros(LOOKAHEAD, x.shape[1])])
    kernel = t["lookahead_conv.weight"][:, 0].T  # (steps, width)
    seen = torch.stack([(after[i : i + LOOKAHEAD + 1] * kernel).sum(0) for i in range(len(x))])
    x = x + F.silu(seen) @ t["lookahead_proj.weight"][..., 0].T
    for i in range(sum(name.endswith("att_norm.weight") for name in t)):
        block = f"backbone.transformers.{i}"
        fused = rms_norm(x, t[f"{block}.att_norm.weight"]) @ t[f"{block}.att.c_attn.weight"].T
        q, k, v = (part.unflatten(-1, (HEADS, -1)) for part in fused.chunk(3, -1))
        q, k = (torch.stack([turned(heads, step) for step, heads in enumerate(part)]) for part in (q, k))
        attended = []
        for step in range(len(x)):
            scores = torch.einsum("hd,shd->hs", q[step], k[: step + 1]) / q.shape[-1] ** 0.5
            attended.append(torch.einsum("hs,shd->hd", scores.softmax(-1), v[: step + 1]).flatten())
        x = x + torch.stack(attended) @ t[f"{block}.att.c_proj.weight"].T
        inner = F.silu(rms_norm(x, t[f"{block}.ffn_norm.weight"]) @ t[f"{block}.mlp.fc1.weight"].T)
        x = x + inner @ t[f"{block}.mlp.fc2.weight"].T
    return (rms_norm(x, t["backbone.final_layer_norm.weight"]) @ t["head.proj.weight"].T).tanh().flatten()
