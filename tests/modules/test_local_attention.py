"""Local attention: what a dense attention with a mask gives, window by window and whatever is remembered."""

import pytest
import torch

from builders import randomized
from module_builders import same
from xcodec.modules import local_attention
from xcodec.modules.local_attention import DistanceNetwork, LocalTransformer
from xcodec.modules.time import Tiled, Whole

WINDOW = 12


def dense(transformer: LocalTransformer, x: torch.Tensor) -> torch.Tensor:
    """The same layers, every step scored against every other."""
    step = torch.arange(x.shape[1])
    query, key = step[:, None], step[None, :]
    bias = transformer.distance_bias(x.shape[1])[:, (query - key).clamp(min=0)]
    bias = bias.masked_fill((key > query) | (key // WINDOW < query // WINDOW - 1), -torch.inf)
    for layer in transformer.layers:
        attention = layer.self_attn
        normal = layer.input_layernorm(x)
        q, k, v = (
            project(normal).unflatten(-1, (2, 4)).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        y = torch.softmax(q @ k.mT / 2 + bias, -1) @ v
        x = x + attention.o_proj(y.transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    return x


@pytest.fixture
def transformer() -> LocalTransformer:
    return randomized(LocalTransformer(2, 16, 20, 2, 4, WINDOW))


@pytest.mark.parametrize("steps", [1, 5, 12, 13, 24, 30, 47])
@pytest.mark.parametrize("queries", [1, 5, 100])
def test_windows_one_after_another_give_what_a_mask_over_all_gives(
    transformer: LocalTransformer, steps: int, queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_attention, "MAX_QUERIES", queries)
    x = torch.randn(2, steps, 16)
    expected = dense(transformer, x)
    for time in (Whole(), Tiled(None, 1), Tiled(None, 1 << 30)):
        assert same(transformer(x.clone(), time), expected)


def test_what_comes_later_changes_nothing(transformer: LocalTransformer) -> None:
    x = torch.randn(1, 40, 16)
    assert same(transformer(x.clone())[:, :20], transformer(x[:, :20].clone()))


def test_half_precision_keeps_distances_apart() -> None:
    network = randomized(DistanceNetwork(8, 2)).bfloat16()
    assert network(1000).dtype == torch.float32
    assert same(network(1000), network.float()(1000))


@pytest.mark.gradients
def test_gradients_are_those_of_the_mask_over_all(transformer: LocalTransformer) -> None:
    x = torch.randn(1, 30, 16)
    found = torch.autograd.grad(transformer(x).square().sum(), list(transformer.parameters()))
    expected = torch.autograd.grad(dense(transformer, x).square().sum(), list(transformer.parameters()))
    largest = max(gradient.abs().max() for gradient in expected)
    for name, ours, theirs in zip(dict(transformer.named_parameters()), found, expected, strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * largest, name
