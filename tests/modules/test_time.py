"""The three kinds of time: what a block computes is one thing, whole, in tiles and in a stream."""

import pytest
import torch
import torch.nn.functional as F

from builders import randomized
from module_builders import same
from xcodec.modules.attention import SelfAttention
from xcodec.modules.conv import MaskedConv1d, MaskedConvTranspose1d
from xcodec.modules.growing import extended
from xcodec.modules.lengths import valid_steps
from xcodec.modules.norm import MaskedGroupNorm, TimeNorm
from xcodec.modules.tiles import steps_of
from xcodec.modules.time import TENSORS, WHOLE, Past, Streamed, Tiled, Whole, steps_within

LENGTHS = torch.tensor([5, 24, 60])
BUDGETS = [1, 8000, 30_000, 1 << 30]  # bytes: from tiles of a step or a halo to one tile of all


def clips() -> torch.Tensor:
    """(batch, time, channels)."""
    torch.manual_seed(0)
    return torch.randn(3, 60, 8)


def same_within(found: torch.Tensor, expected: torch.Tensor, lengths: torch.Tensor | None, dim: int = 1) -> bool:
    """Whether the valid steps are the same."""
    found, expected = found.movedim(dim, 1), expected.movedim(dim, 1)
    valid = slice(None) if lengths is None else valid_steps(lengths, found.shape[1])
    return found.shape == expected.shape and same(found[valid], expected[valid])


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("clips_apart", [False, True])
def test_a_map_in_tiles_is_the_map_of_the_whole(budget, lengths, clips_apart):
    x = clips().mT
    conv = randomized(MaskedConv1d(8, 6, kernel_size=5, padding=2))
    faster = randomized(MaskedConvTranspose1d(8, 6, kernel_size=6, stride=3, padding=2, output_padding=1))
    slower = randomized(MaskedConv1d(8, 6, kernel_size=6, stride=3, padding=2))
    whole, tiled = Whole(lengths), Tiled(lengths, budget)
    for f, how, length in [
        (conv, {"reach": 2}, lengths),
        (faster, {"reach": 2, "up": 3}, None if lengths is None else 3 * lengths),
        (slower, {"reach": 1, "down": 3, "steps": 20}, None if lengths is None else lengths // 3),
    ]:
        expected = whole.map(f, x, dim=2, width=8)
        found = tiled.map(f, x, dim=2, width=8, clips_apart=clips_apart, **how)
        assert same_within(found, expected, length, dim=2), how


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_map_may_take_and_give_several_signals(budget):
    x = clips()
    total, first = Tiled(LENGTHS, budget).map(lambda a, b, _: (a + b, a[..., 0]), x, 2 * x, width=8)
    assert torch.equal(total, 3 * x)
    assert torch.equal(first, x[..., 0])


@pytest.mark.parametrize("budget", BUDGETS)
def test_what_is_added_sees_nothing_that_was_written_over(budget):
    def behind(part, _):  # the sum of a step and the two before it
        return F.pad(part, (0, 0, 2, 0)).unfold(1, 3, 1).sum(-1)

    expected = WHOLE.add(behind, clips(), onto=clips(), width=8)
    x = clips()
    assert same(Tiled(None, budget).add(behind, x, onto=x, reach=(2, 0), width=8), expected)


@pytest.mark.parametrize("steps", [3, 60])
def test_steps_are_where_it_is_said(steps):
    """Whether there are more of them than channels or fewer, and whether they fit one tile or not."""
    x, conv = torch.randn(2, 30, steps), randomized(MaskedConv1d(30, 30, kernel_size=3, padding=1))
    expected = x + conv(x)
    for budget in (2 * 3 * 30 * 4 * TENSORS, 1 << 30):
        assert same(Tiled(None, budget).add(conv, x, onto=x.clone(), reach=1, dim=2, width=30), expected)
        unstored = Tiled(None, budget).unstored(lambda part, _: conv(part), x, channels=30, reach=1)
        assert same(steps_of(unstored, slice(None), 0, steps, dim=2), conv(x))


def test_a_map_that_reaches_forward_is_not_added_to_its_input():
    x = clips()
    with pytest.raises(AssertionError, match="written over"):
        Tiled(None, 1).add(lambda part, _: part, x, onto=x, reach=1, width=8)


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_step_for_itself(budget):
    assert torch.equal(Tiled(LENGTHS, budget).each(lambda part: 2 * part, clips(), width=8), 2 * clips())


def test_what_fits_one_tile_is_not_copied():
    x = clips()
    assert Tiled(None, 1 << 30).map(lambda part, _: part, x, width=8) is x


@pytest.mark.parametrize("clips_apart", [False, True])
@pytest.mark.parametrize("reach", [0, 2])
def test_tiles_are_as_long_as_the_budget_allows(clips_apart, reach):
    seen = []

    def f(part, _):
        seen.append(part.shape[0] * part.shape[1])
        return part

    budget = 100_000
    x = torch.zeros(4, 5000, 1)
    Tiled(None, budget).map(f, x, reach=reach, width=10, clips_apart=clips_apart)
    bytes_per_step = TENSORS * 10 * 4
    assert budget * 0.9 < max(seen) * bytes_per_step <= budget
    assert len(seen) > 1


def test_a_tile_wants_what_fits_and_never_less_than_its_halo():
    assert steps_within(1000, 10) == 100
    assert steps_within(1000, 10, halo=20) == 60
    assert steps_within(1000, 10, halo=45) == 45
    assert steps_within(1, 10) == 1


def test_the_group_norm_is_torchs_whatever_its_tiles():
    norm = randomized(MaskedGroupNorm(8, 32))
    x = 3 * torch.randn(2, 32, 1000) + 20  # far from zero, where sums lose digits
    for size in (1000, 77, 1):
        normal = Tiled(None, size * 2 * 32 * 4 * TENSORS).normalized(norm, x)
        found = steps_of(normal, slice(None), 0, 1000, dim=2)
        assert (found - F.group_norm(x, 8, norm.weight, norm.bias, norm.eps)).abs().max() < 1e-4


@pytest.mark.parametrize("budget", BUDGETS)
def test_what_is_not_stored_is_computed_where_it_is_read(budget):
    conv, norm = randomized(MaskedConv1d(8, 6, kernel_size=6, stride=3)), randomized(TimeNorm(6))
    x = clips().mT

    def f(time):
        y = time.unstored(lambda part, _: conv(part), x, channels=6, reach=(0, 1), down=3, steps=19)
        y = time.of(torch.tensor([2, 10, 19])).normalized(norm, y)
        return time.map(lambda part, _: part.unfold(2, 4, 3).sum(-1), y, width=6, reach=(0, 1), dim=2, down=3, steps=6)

    assert same(f(Tiled(None, budget)), f(WHOLE))


def test_a_norm_counts_valid_steps_only_whatever_its_tiles():
    norm = randomized(MaskedGroupNorm(2, 8))
    x = torch.where(valid_steps(LENGTHS, 60)[:, None], clips().mT, 100.0)
    for budget in BUDGETS:
        normal = Tiled(LENGTHS, budget).normalized(norm, x)
        assert same_within(steps_of(normal, slice(None), 0, 60, dim=2), norm(x, LENGTHS), LENGTHS, dim=2)


def test_a_compiled_graph_sees_the_whole():
    attention, norm = randomized(SelfAttention(8, 2, 2, 4, True)), randomized(MaskedGroupNorm(2, 8))
    sizes = []

    def layer(x, time):
        y = time.map(lambda part, _: sizes.append(part.shape[2]) or 2 * part, x.mT, dim=2, width=8)
        y = time.map(lambda part, _: part.mT, time.normalized(norm, y), width=8)
        return time.each(lambda part: part + 1, time.attend(attention, y, F.relu), width=8)

    expected = layer(clips(), WHOLE)
    sizes.clear()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert same(compiled(clips(), Tiled(None, 1)), expected)
    assert sizes == [60]


def streamed(f, x, windows, num=1):
    """Run f(part, time) over windows of `x`, (batch, time, channels): from `start` to `last`, final up to `stop`."""
    pasts, given = [None] * num, []
    for start, stop, last in windows:
        time = Streamed(pasts, num_final=stop - start)
        y = f(x[:, start:last], time)
        given.append(y[:, : (stop - start) * (y.shape[1] // (last - start))])
        pasts = time.after
    return torch.cat(given, 1), pasts


WINDOWS = [(0, 1, 4), (1, 20, 23), (20, 41, 44), (41, 60, 60)]


@pytest.mark.parametrize("up", [1, 3])
def test_a_map_over_a_stream_is_the_map_of_the_whole(up):
    conv = (
        randomized(MaskedConv1d(8, 6, kernel_size=7, padding=3))
        if up == 1
        else randomized(MaskedConvTranspose1d(8, 6, kernel_size=9, stride=3, padding=3))
    )

    def f(part, time):
        return time.map(conv, part.mT, reach=3, dim=2, up=up, width=8).mT

    found, pasts = streamed(f, clips(), WINDOWS, num=3)
    assert same(found, conv(clips().mT).mT)
    assert [past.steps[0].shape for past in pasts] == [(8, 3)] * 3
    assert len({past.shape for past in pasts}) == 1


def test_one_map_after_another_is_remembered_by_its_place():
    convs = [randomized(MaskedConv1d(8, 8, kernel_size=3, padding=1)) for _ in range(3)]

    def f(part, time):
        for conv in convs:
            part = time.add(lambda x, n, conv=conv: conv(x.mT, n).mT, part, onto=part, reach=1, width=8)
        return time.each(torch.tanh, part, width=8)

    found, _ = streamed(f, clips()[:1], WINDOWS)
    assert same(found, f(clips()[:1], WHOLE))


def test_a_faster_signal_of_a_stream_remembers_beside_the_slower():
    time = Streamed([Past()], num_final=2)
    time.map(lambda x, _: x, torch.zeros(1, 5, 8), reach=2, width=8)
    time.at(3).map(lambda x, _: x, torch.zeros(1, 15, 8), reach=4, width=8)
    assert [steps.shape[0] for steps in time.after[0].steps] == [2, 4]


def test_a_stream_attends_to_what_it_remembers():
    attention = randomized(SelfAttention(8, 2, 2, 4, True))
    x = clips()[:1]
    found, pasts = streamed(lambda part, time: time.attend(attention, part, F.relu), x, [(0, 30, 30), (30, 60, 60)])
    assert same(found[:, 30:], WHOLE.attend(attention, x, F.relu)[:, 30:])
    assert same(found[:, :30], WHOLE.attend(attention, x[:, :30], F.relu))
    assert pasts[0].keys[0].shape == (2, 60, 8)


def test_what_grows_at_its_end_keeps_what_was_there_and_is_seldom_copied():
    steps = torch.arange(2 * 200 * 3.0).view(2, 200, 3)
    known, end, copies = None, 0, -1
    memory = None
    for _ in range(30):  # four steps each time, and two that come again
        whole = extended(known, steps[:, end : end + 6])
        copies += whole.untyped_storage().data_ptr() != memory
        memory = whole.untyped_storage().data_ptr()
        known, end = whole[:, max(0, whole.shape[1] - 22) : -2], end + 4
        assert torch.equal(known, steps[:, max(0, end - 20) : end])
    assert 2 <= copies <= 12
