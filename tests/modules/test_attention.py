"""The native attention, in every variant that this processor runs, and the torch path beside it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders import randomized
from kernel_builds import NATIVE_HERE, every_variant, serving
from xcodec import InputError, kernels
from xcodec.modules.attention import DistanceBias, RelativeKeySelfAttention, SelfAttention
from xcodec.modules.hubert import HubertAttention
from xcodec.modules.wavlm import GatedRelativeAttention

# (batch, queries, keys, heads, key_heads, head_dim): fewer and more than a block of keys; groups of queries that are
# not full; heads that fill no vector, one, several, and more than the kernel's sums.
SIZES = [
    (1, 1, 1, 1, 1, 8),
    (2, 6, 64, 2, 2, 64),
    (2, 37, 65, 4, 2, 20),
    (1, 5, 300, 2, 1, 3),
    (1, 130, 129, 3, 3, 80),
    (1, 400, 200, 1, 1, 32),
    (1, 7, 66, 1, 1, 128),
]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def inputs(batch: int, queries: int, keys: int, heads: int, key_heads: int, head_dim: int) -> tuple[Tensor, ...]:
    torch.manual_seed(queries + keys)
    q = 2 * torch.randn(batch, queries, heads, head_dim)
    return q, *torch.randn(2, batch, keys, key_heads, head_dim)


def definition(q: Tensor, k: Tensor, v: Tensor, scores: Tensor | float = 0.0) -> Tensor:
    """softmax(q k^T / sqrt(head_dim) + scores) v in float64."""
    groups = q.shape[2] // k.shape[2]
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    weights = (q @ k.mT * q.shape[-1] ** -0.5 + scores).softmax(-1)
    return (weights @ v).transpose(1, 2)


@every_variant
@sizes
def test_it_is_its_definition(variant, size):
    q, k, v = inputs(*size)
    with serving(variant):
        y = kernels.attention(q, k, v)
    assert (y - definition(q, k, v)).abs().max() < 1e-5


@every_variant
@sizes
@pytest.mark.parametrize(("left", "distances"), [(0, 1), (64, 73), (5, 9), (400, 801)])
def test_relative_keys_add_their_query_s_bias_of_the_distance(variant, size, left, distances):
    q, k, v = inputs(*size)
    bias = DistanceBias(torch.randn(*q.shape[:3], distances), left)
    start = min(11, k.shape[1] - 1)
    with serving(variant):
        y = kernels.attention(q, k, v, bias.table, None, left, start)
    assert (y - definition(q, k, v, bias.scores(start, q.shape[1], k.shape[1]))).abs().max() < 1e-5


@every_variant
@sizes
def test_gates_open_and_close_the_biases_of_a_shared_table(variant, size):
    q, k, v = inputs(*size)
    left = max(size[1:3]) + 3
    bias = DistanceBias(torch.randn(1, 1, q.shape[2], 2 * left + 1), left, torch.randn(*q.shape[:3]))
    with serving(variant):
        y = kernels.attention(q, k, v, bias.table, bias.gates, left)
    assert (y - definition(q, k, v, bias.scores(0, q.shape[1], k.shape[1]))).abs().max() < 1e-5


def test_scores_by_distance_are_the_table_s_entries():
    table = torch.randn(1, 1, 1, 6)
    scores = DistanceBias(table, left=2, gates=torch.full((1, 4, 1), 10.0)).scores(7, num_queries=4, num_keys=20)
    for query in range(4):
        for key in range(20):
            distance = min(max(key - (7 + query), -2), 3)
            assert scores[0, 0, query, key] == 10 * table[0, 0, 0, distance + 2]


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_clip_gets_bit_for_bit_what_it_gets_alone(variant, dtype):
    lengths = torch.tensor([1, 63, 64, 65, 200, 0])
    q, k, v = (x.to(dtype) for x in inputs(6, 150, 200, 4, 2, 24))
    table = torch.randn(6, 150, 4, 9)
    for i, n in enumerate(lengths):
        k[i, n:] = v[i, n:] = float("nan")
    with serving(variant):
        together = kernels.attention(q, k, v, table, None, 4, 0, lengths)
        for i, n in enumerate(lengths[:-1]):
            own = slice(i, i + 1)
            alone = kernels.attention(q[own], k[own, :n], v[own, :n], table[own], None, 4)
            assert torch.equal(together[own], alone), f"clip of {n} steps"
    assert together[-1].eq(0).all(), "no keys, nothing to attend to"


@every_variant
def test_neither_threads_nor_blocks_of_queries_change_a_bit(variant):
    q, k, v = inputs(1, 500, 500, 2, 2, 64)
    table = torch.randn(1, 500, 2, 73)
    before = torch.get_num_threads()
    with serving(variant):
        whole = kernels.attention(q, k, v, table, None, 64)
        blocks = [
            kernels.attention(q[:, i : i + 77], k, v, table[:, i : i + 77], None, 64, i) for i in range(0, 500, 77)
        ]
        try:
            torch.set_num_threads(7)
            threaded = kernels.attention(q, k, v, table, None, 64)
        finally:
            torch.set_num_threads(before)
    assert torch.equal(torch.cat(blocks, 1), whole)
    assert torch.equal(threaded, whole)


@every_variant
@pytest.mark.parametrize("head_dim", [16, 20, 33, 64])
def test_bfloat16_is_as_close_as_torchs_own(variant, head_dim):
    """Without products of bfloat16, which take a head_dim that is a power of 4, it is float32 rounded once."""
    q, k, v = (x.bfloat16() for x in inputs(2, 70, 91, 2, 2, head_dim))
    true = definition(*(x.double() for x in (q, k, v)))
    torchs = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    with serving(variant):
        y, wide = kernels.attention(q, k, v), kernels.attention(q.float(), k.float(), v.float())
    assert y.dtype == torch.bfloat16
    assert (y - true).square().mean() < 1.3 * (torchs - true).square().mean()
    if not variant.endswith("bf16") or head_dim in (20, 33):
        assert torch.equal(y, wide.bfloat16())


@every_variant
def test_large_scores_do_not_overflow(variant):
    q, k, v = inputs(1, 20, 150, 2, 2, 16)
    with serving(variant):
        y = kernels.attention(1e4 * q, k, v)
    best = (q.transpose(1, 2) @ k.transpose(1, 2).mT).argmax(-1)  # (1, heads, queries)
    picked = v.transpose(1, 2).gather(2, best[..., None].expand(-1, -1, -1, 16)).transpose(1, 2)
    assert torch.allclose(y, picked, atol=1e-3)


@every_variant
def test_keys_that_are_never_seen_before_those_that_are(variant):
    """A bias of minus infinity over whole blocks of keys, and then none."""
    q, k, v = inputs(1, 150, 150, 2, 2, 16)
    bias = DistanceBias(torch.zeros(1, 1, 2, 299), 149)
    bias.table[..., : 149 - 20] = -torch.inf
    with serving(variant):
        y = kernels.attention(q, k, v, bias.table, None, 149)
    assert (y - definition(q, k, v, bias.scores(0, 150, 150))).abs().max() < 1e-5


@every_variant
@pytest.mark.parametrize("size", [(0, 3, 4, 2, 2, 8), (2, 0, 4, 2, 2, 8), (2, 3, 0, 2, 2, 8)], ids=str)
def test_nothing_gives_nothing(variant, size):
    q, k, v = torch.randn(*size[:2], *size[3:5][:1], size[5]), *torch.randn(2, size[0], size[2], size[4], size[5])
    with serving(variant):
        y = kernels.attention(q, k, v)
    assert y.shape == q.shape
    assert y.eq(0).all()


@every_variant
def test_what_is_no_number_reaches_its_own_query_alone(variant):
    q, k, v = inputs(1, 20, 150, 2, 2, 16)
    q[0, 7, 1, 3] = float("nan")
    with serving(variant):
        y = kernels.attention(q, k, v)
    assert y[0, 7, 1].isnan().all()
    y[0, 7, 1] = 0.0
    assert y.isfinite().all()


@pytest.mark.skipif(not NATIVE_HERE, reason="the kernel was not compiled")
def test_it_is_a_well_behaved_torch_operator():
    q, k, v = inputs(2, 9, 12, 4, 2, 8)
    lengths = torch.tensor([12, 5])
    for table, gates in ((None, None), (torch.randn(2, 9, 4, 5), None), (torch.randn(1, 1, 4, 5), torch.rand(2, 9, 4))):
        torch.library.opcheck(torch.ops.xcodec.attention.default, (q, k, v, table, gates, 2, 0, lengths))


def test_tensors_that_do_not_fit_are_refused():
    q, k, v = inputs(2, 9, 12, 4, 2, 8)
    table, gates = torch.randn(2, 9, 4, 5), torch.rand(2, 9, 4)
    with pytest.raises(InputError, match=r"q: expected float32 or bfloat16 .*, got torch.float64"):
        kernels.attention(q.double(), k.double(), v.double())
    with pytest.raises(InputError, match=r"k: expected torch.float32 \(2, keys, a divisor of 4, 8\), got .*12, 3, 8"):
        kernels.attention(q, torch.randn(2, 12, 3, 8), v)
    with pytest.raises(InputError, match=r"v: expected torch.float32 \(2, 12, 2, 8\) like k"):
        kernels.attention(q, k, v[:, :11])
    with pytest.raises(InputError, match=r"table: expected float32 \(2 or 1, 9 or 1, 4, distances\), got"):
        kernels.attention(q, k, v, table[:, :8])
    with pytest.raises(InputError, match=r"gates: expected float32 \(2, 9, 4\)"):
        kernels.attention(q, k, v, table, gates[:1])
    with pytest.raises(InputError, match=r"lengths: expected integers \(2,\)"):
        kernels.attention(q, k, v, lengths=torch.tensor([1.0, 2.0]))


KINDS = {
    "plain": lambda: SelfAttention(32, 4, 4, 8, bias=True),
    "grouped": lambda: SelfAttention(32, 4, 2, 8, bias=False),
    "relative keys": lambda: RelativeKeySelfAttention(32, 4, 5, 3),
    "HuBERT": lambda: HubertAttention(32, 4),
    "WavLM": lambda: GatedRelativeAttention(32, 4, 32, 80, has_biases=True),
}


@every_variant
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_with_the_kernel_what_torch_gives(kind, variant):
    layer = randomized(KINDS[kind]())
    x, lengths = torch.randn(2, 90, 32), torch.tensor([90, 41])
    biases = layer.distance_biases(90) if kind == "WavLM" else None
    with torch.no_grad(), kernels.use("torch"):
        expected = layer(x, lengths, biases)
    with torch.no_grad(), serving(variant):
        found = layer(x, lengths, biases)
    for clip, n in enumerate(lengths):
        assert (found[clip, :n] - expected[clip, :n]).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.gradients
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_torch_s(kind):
    layer = randomized(KINDS[kind]())
    x = torch.randn(1, 30, 32, requires_grad=True)
    layer(x, None, layer.distance_biases(30) if kind == "WavLM" else None).square().sum().backward()
    assert x.grad.abs().min() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.gradients
@pytest.mark.parametrize("trained", ["linear_q.weight", "distance_embedding.weight"])
def test_a_gradient_for_one_parameter_alone_is_not_lost(trained):
    layer = randomized(RelativeKeySelfAttention(32, 4, 5, 3)).requires_grad_(False)
    parameter = layer.get_parameter(trained).requires_grad_()
    layer(torch.randn(1, 30, 32)).square().sum().backward()
    assert parameter.grad.abs().max() > 0


def test_autocast_on_the_cpu_leaves_attention_in_float32():
    """There it is slower in bfloat16, backward above all."""
    torch.manual_seed(0)
    attention = SelfAttention(hidden_size=32, num_heads=2, num_key_value_heads=2, head_dim=16, bias=False)
    q, k, v = (x.bfloat16() for x in torch.randn(3, 2, 7, 2, 16))
    mask = torch.randn(1, 2, 7, 7).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = attention.softmax_weighted(q, k, v, mask)
    assert y.dtype == torch.float32
    assert torch.equal(y, attention.softmax_weighted(q.float(), k.float(), v.float(), mask.float()))
