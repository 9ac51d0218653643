"""Causal attention on every way it is computed, rotary positions, and a look ahead."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders import randomized
from module_builders import LENGTHS, clips_of_mixed_lengths, same
from xcodec import kernels
from xcodec.modules.causal_attention import CausalSelfAttention
from xcodec.modules.linear_head import LinearHead
from xcodec.modules.lookahead import LookAhead
from xcodec.modules.rotary import rotate, rotations
from xcodec.modules.time import WHOLE, Past, Streamed, Tiled, Whole

STEPS = 90
windows = pytest.mark.parametrize("window", [None, 1, 20, 200])


def layer_of(window: int | None, key_heads: int = 2) -> CausalSelfAttention:
    layer = randomized(CausalSelfAttention(32, 4, key_heads, 8, window=window))
    assert isinstance(layer, CausalSelfAttention)
    return layer


def inputs(batch: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(batch, STEPS, 32), rotations(torch.arange(STEPS)[None], 8, 10_000.0)


def definition(layer: CausalSelfAttention, x: Tensor) -> Tensor:
    """Every query by itself, in float64; a pair of numbers is one complex number that its step turns."""
    steps, half = torch.arange(x.shape[1]), layer.head_dim // 2
    turns = torch.polar(torch.ones(()).double(), steps[:, None] * 10_000.0 ** -(torch.arange(half).double() / half))

    def turned(heads: Tensor) -> Tensor:
        return torch.complex(heads[..., :half], heads[..., half:]) * turns[:, None]

    q, k, v = (projection(x).double().unflatten(-1, (-1, layer.head_dim)) for projection in layer.projections[:3])
    k, v = (each.repeat_interleave(q.shape[2] // k.shape[2], 2) for each in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", turned(q), turned(k).conj()).real * layer.head_dim**-0.5
    distance = steps[:, None] - steps
    unseen = (distance < 0) | (distance >= (layer.window or x.shape[1]))
    weights = scores.masked_fill(unseen, -torch.inf).softmax(-1)
    return layer.projections[3](torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2).float())


@windows
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("variant", kernels.variants())
def test_it_is_its_definition(variant: str, window: int | None, key_heads: int) -> None:
    layer = layer_of(window, key_heads)
    x, rotation = inputs()
    with kernels.use(variant):
        assert same(layer(x, rotation=rotation), definition(layer, x))
        for budget in (1, 20_000):
            tiled = Tiled(None, budget).attend(layer, x.clone(), lambda part: part, rotation=rotation)
            assert same(tiled, x + definition(layer, x))


@pytest.mark.parametrize("window", [None, 20, 200])
@pytest.mark.gradients
def test_gradients_are_those_of_its_definition(window: int | None) -> None:
    layer = layer_of(window)
    x, rotation = inputs()
    weights = torch.randn(2, STEPS, 32)
    gradients = [
        torch.autograd.grad((weights * f(x)).sum(), [*layer.parameters()])
        for f in (lambda x: layer(x, rotation=rotation), lambda x: definition(layer, x))
    ]
    assert all(same(ours, expected) for ours, expected in zip(*gradients, strict=True))


@windows
def test_a_stream_of_windows_of_any_length_attends_as_the_whole(window: int | None) -> None:
    layer = layer_of(window)
    x, _ = inputs()
    pasts: list[Past | None] = [None, None]
    given, start = [], 0
    for count in (1, 2, 30, 1, 1, 40, 15):
        time = Streamed(pasts, num_final=count)
        part = x[:, start : start + count]
        assert torch.equal(time.positions(part), torch.arange(start, start + count).expand(2, -1))
        given.append(time.attend(layer, part, lambda own: own, rotation=rotations(time.positions(part), 8, 10_000.0)))
        pasts, start = list(time.after), start + count
    assert same(torch.cat(given, 1), x + definition(layer, x))
    assert pasts[0] is not None
    assert pasts[0].keys[0].shape[1] == min(STEPS, STEPS if window is None else window - 1)


def test_streams_that_are_not_equally_far_share_a_batch() -> None:
    layer = layer_of(20)
    x, _ = inputs(3)
    before = [50, 7, 0]
    pasts: list[Past | None] = []
    for clip, count in enumerate(before):
        time = Streamed([None], num_final=count)
        if count:
            part = x[clip : clip + 1, :count]
            time.attend(layer, part, lambda own: own, rotation=rotations(time.positions(part), 8, 10_000.0))
        pasts.append(time.after[0] if count else None)
    part = torch.stack([x[clip, count : count + 5] for clip, count in enumerate(before)])
    time = Streamed(pasts, num_final=5)
    found = time.attend(layer, part, lambda own: own, rotation=rotations(time.positions(part), 8, 10_000.0))
    expected = x + definition(layer, x)
    assert same(found, torch.stack([expected[clip, count : count + 5] for clip, count in enumerate(before)]))


def test_clips_whose_keys_are_not_equally_many_attend_each_to_its_own() -> None:
    layer = layer_of(20)
    x, rotation = inputs(2)
    expected = definition(layer, x)
    k, v = layer.keys_and_values(x, rotation)
    start = torch.tensor([60, 7])
    shown = torch.stack([x[clip, first : first + 5] for clip, first in enumerate(start.tolist())])
    turns = torch.stack([rotation[0, first : first + 5] for first in start.tolist()])
    found = layer.attend(shown, start, k, v, start + 5, None, turns)
    assert same(found, torch.stack([expected[clip, first : first + 5] for clip, first in enumerate(start.tolist())]))


def test_scores_depend_on_the_distance_alone_however_far_a_stream_has_come() -> None:
    q, k = torch.randn(2, 1, 1, 1, 64)
    near, far = (
        (rotate(q, rotations(torch.tensor([[at + 7]]), 64, 1e4)) * rotate(k, rotations(torch.tensor([[at]]), 64, 1e4)))
        for at in (0, 100_000_000)
    )
    assert torch.allclose(near.sum(), far.sum(), atol=1e-4)


@pytest.mark.parametrize("budget", [1, 3000, 1 << 30])
def test_a_look_ahead_sees_so_many_steps_of_its_own_clip(budget: int) -> None:
    block = randomized(LookAhead(8, 3))
    x = clips_of_mixed_lengths(8).mT
    found = Tiled(LENGTHS, budget).map(block, x, reach=(0, 3), width=8)
    assert same(Whole(LENGTHS).map(block, x, width=8)[3], found[3])
    for clip, length in enumerate(LENGTHS.tolist()):
        alone = x[clip : clip + 1, :length]
        seen = torch.cat([alone, torch.zeros(1, 3, 8)], 1).unfold(1, 4, 1)
        expected = alone + F.linear(F.silu((seen * block.conv.weight[:, 0]).sum(-1)), block.proj.weight)
        assert same(found[clip : clip + 1, :length], expected)


def test_a_linear_head_s_samples_are_those_of_its_step_and_past_the_end_there_are_none() -> None:
    head = randomized(LinearHead(8, 5))
    x = clips_of_mixed_lengths(8).mT
    found = head(x, Tiled(LENGTHS, 1))[:, 0]
    for clip, length in enumerate(LENGTHS.tolist()):
        assert same(found[clip, : 5 * length], head.proj(x[clip, :length]).tanh().flatten())
        assert not found[clip, 5 * length :].any()


def test_of_a_stream_the_steps_to_come_are_left_for_their_turn() -> None:
    x = torch.randn(1, 9, 4)
    assert Streamed([None], num_final=5).final(x).shape == (1, 5, 4)
    assert WHOLE.final(x) is x
