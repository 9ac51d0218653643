"""Each block alone: what it computes, and that a clip's neighbours in the batch do not matter to it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from builders import randomized
from module_builders import LENGTHS, clips_of_mixed_lengths, same
from xcodec.modules import time
from xcodec.modules.attention import RelativeKeySelfAttention, SelfAttention
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.istft import ISTFTHead, overlap_add
from xcodec.modules.lengths import replicate_past_end, zero_past_end
from xcodec.modules.linear import Linear
from xcodec.modules.norm import MaskedGroupNorm
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.snake import AntiAliasedActivation, SnakeBeta, kaiser_sinc_filter
from xcodec.modules.time import Tiled, Whole
from xcodec.modules.transformer import MLP, RMSNorm, TransformerLayer
from xcodec.modules.wav2vec2_bert import Wav2Vec2Bert


def of_lengths(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a block makes of the clips of mixed lengths, as one batch."""
    takes_time = isinstance(block, (ResNetBlock, TransformerLayer, ISTFTHead, Wav2Vec2Bert))
    return block(x, Whole(LENGTHS) if takes_time else LENGTHS)


CHANNELS_FIRST = {
    "conv": lambda: MaskedConv1d(32, 8, kernel_size=7, padding=3),
    "dilated conv": lambda: MaskedConv1d(32, 8, kernel_size=7, padding=27, dilation=9),
    "group norm": lambda: MaskedGroupNorm(8, 32),
    "resnet block": lambda: ResNetBlock(64),
    "anti-aliased activation": lambda: AntiAliasedActivation(SnakeBeta(32)),
}
TIME_FIRST = {
    "attention": lambda: SelfAttention(32, 4, 4, 8, bias=True),
    "grouped attention": lambda: SelfAttention(32, 4, 2, 8, bias=False),
    "relative-key attention": lambda: RelativeKeySelfAttention(32, 4, 5, 2),
    "transformer layer": lambda: TransformerLayer(SelfAttention(32, 4, 4, 8, False), MLP(32, 64, F.silu), 32, 1e-6),
    "wav2vec2-bert": lambda: Wav2Vec2Bert(32, 16, 24, 2, 2, 5, 6, 2, F.silu),
}


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_channels_first_blocks_give_each_clip_what_it_gets_alone(name):
    block = randomized(CHANNELS_FIRST[name]())
    x = clips_of_mixed_lengths(64 if name == "resnet block" else 32)
    together = of_lengths(block, x)
    for i, n in enumerate(LENGTHS):
        alone = block(x[i : i + 1, :, :n])
        assert same(together[i : i + 1, :, :n], alone), f"{name}, clip of {n} steps"


@pytest.mark.parametrize("name", TIME_FIRST)
def test_time_first_blocks_give_each_clip_what_it_gets_alone(name):
    block = randomized(TIME_FIRST[name]())
    x = clips_of_mixed_lengths(32).transpose(1, 2)
    together = of_lengths(block, x)
    for i, n in enumerate(LENGTHS):
        alone = block(x[i : i + 1, :n])
        assert same(together[i : i + 1, :n], alone), f"{name}, clip of {n} steps"


def test_istft_head_gives_each_clip_what_it_gets_alone():
    head = randomized(ISTFTHead(32, 40, 10))
    x = clips_of_mixed_lengths(32).transpose(1, 2) * 0.05
    together = of_lengths(head, x)
    for i, n in enumerate(LENGTHS):
        assert torch.allclose(together[i, :, : 10 * n], head(x[i : i + 1, :n])[0], atol=1e-4)
        assert together[i, :, 10 * n :].eq(0).all()


def test_without_the_lengths_the_neighbours_would_matter():
    block = randomized(ResNetBlock(64))
    x = clips_of_mixed_lengths(64)
    assert not torch.allclose(block(x)[1:2, :, :7], block(x[1:2, :, :7]), atol=1e-2)


def test_what_lies_past_the_end():
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]])
    lengths = torch.tensor([1, 3])
    assert zero_past_end(x, lengths).tolist() == [[[1, 0, 0]], [[4, 5, 6]]]
    assert replicate_past_end(x, lengths).tolist() == [[[1, 1, 1]], [[4, 5, 6]]]
    assert zero_past_end(x, None) is x
    assert replicate_past_end(x, None) is x


def test_snake_beta_is_its_formula():
    snake = randomized(SnakeBeta(3))
    x = torch.randn(2, 3, 50)
    alpha, beta = snake.alpha.exp()[None, :, None], snake.beta.exp()[None, :, None]
    assert torch.allclose(snake(x), x + torch.sin(alpha * x) ** 2 / beta, atol=1e-6)


def test_the_anti_aliasing_filter_passes_a_constant_and_is_symmetric():
    taps = kaiser_sinc_filter(0.25, 0.3, 12)
    assert math.isclose(sum(taps), 1.0, rel_tol=1e-6)
    assert all(math.isclose(a, b, abs_tol=1e-7) for a, b in zip(taps, reversed(taps), strict=True))
    ones = torch.ones(1, 2, 40)
    assert torch.allclose(AntiAliasedActivation(nn.Identity())(ones), ones, atol=1e-5)


def test_a_folded_harmonic_is_attenuated():
    """sin^2 of a tone at 0.35 of the sampling rate makes a harmonic at 0.7, which folds back to 0.3."""
    time = torch.arange(2000.0)
    snake = SnakeBeta(1)

    def harmonic(activation, x):
        return torch.fft.rfft(activation(x)[0, 0] * torch.hann_window(2000)).abs()[600]

    tone = torch.sin(2 * math.pi * 0.35 * time)[None, None]
    assert harmonic(AntiAliasedActivation(snake), tone) < 0.3 * harmonic(snake, tone)


def test_relative_key_attention_is_its_definition():
    """The gathered bias against the sum written out, q . (k + e(clamped distance))."""
    layer = randomized(RelativeKeySelfAttention(16, 2, 5, 3))
    x = torch.randn(1, 40, 16)
    q, k, v = (p(x)[0].unflatten(-1, (2, 8)).transpose(0, 1) for p in (layer.linear_q, layer.linear_k, layer.linear_v))
    distance = (torch.arange(40) - torch.arange(40)[:, None]).clamp(-5, 3) + 5
    keys = k[:, None] + layer.distance_embedding(distance)[None]
    scores = (q[:, :, None] * keys).sum(-1) / math.sqrt(8)
    expected = layer.linear_out((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
    assert torch.allclose(layer(x)[0], expected, atol=1e-5)


ATTENTIONS = {
    "plain": lambda: SelfAttention(16, 2, 2, 8, bias=True),
    "grouped": lambda: SelfAttention(32, 4, 2, 4, bias=True),
    "relative keys": lambda: RelativeKeySelfAttention(16, 2, 5, 3),
}


@pytest.mark.parametrize("lengths", [None, torch.tensor([40, 23])], ids=["full", "padded"])
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_does_not_depend_on_the_size_of_its_query_blocks(kind, lengths, monkeypatch):
    layer = randomized(ATTENTIONS[kind]())
    x = torch.randn(2, 40, layer.projections[0].in_features)
    whole = x + layer(2 * x, lengths)
    for max_bytes in (1, 5000, 1 << 30):
        assert same(Tiled(lengths, max_bytes).attend(layer, x.clone(), lambda part: 2 * part), whole)
    monkeypatch.setattr(time, "MASK_BYTES", 5000)
    assert same(Whole(lengths).attend(layer, x, lambda part: 2 * part), whole), "where gradients are taken"


def test_rotating_queries_and_keys_by_one_angle_changes_no_score():
    """Why the decoder's rotation is left out: upstream's angle depends on the head, the same for both."""
    q, k = torch.randn(2, 4, 10, 8).unbind()
    angle = torch.arange(4.0)[:, None, None] / 10000 ** (torch.arange(0, 8, 2) / 8)

    def rotate(x):
        return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (4, 2))) * torch.polar(torch.ones(()), angle))

    assert torch.allclose(rotate(q).flatten(-2) @ rotate(k).flatten(-2).mT, q @ k.mT, atol=1e-5)


def test_rms_norm_is_its_formula():
    norm = randomized(RMSNorm(16))
    x = torch.randn(3, 5, 16)
    assert torch.allclose(norm(x), norm.weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt(), atol=1e-6)


def test_masked_group_norm_without_padding_is_torchs():
    norm = randomized(MaskedGroupNorm(4, 16))
    x = torch.randn(2, 16, 30)
    assert torch.allclose(norm(x, torch.tensor([30, 30])), F.group_norm(x, 4, norm.weight, norm.bias), atol=1e-5)


def test_overlap_add_equals_fold():
    frames = torch.randn(2, 9, 20)
    expected = F.fold(frames.mT, (1, 8 * 5 + 20), (1, 20), stride=(1, 5))[:, 0, 0]
    assert torch.allclose(overlap_add(frames, 5), expected, atol=1e-6)


def test_istft_head_inverts_an_stft():
    """A spectrogram that is one of a real signal comes back as that signal."""
    hop, n_fft = 10, 40
    signal = torch.randn(1, 400)
    padded = F.pad(signal, ((n_fft - hop) // 2,) * 2)
    spectrum = torch.fft.rfft(padded.unfold(-1, n_fft, hop) * torch.hann_window(n_fft))
    head = ISTFTHead(n_fft + 2, n_fft, hop)
    head.linear.weight.copy_(torch.eye(n_fft + 2))
    head.linear.bias.zero_()
    state = torch.cat([spectrum.abs().clamp(min=1e-9).log(), spectrum.angle()], -1)
    assert torch.allclose(head(state)[:, 0], signal, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 12), (2, 7, 12), (2, 0, 12)], ids=str)
def test_a_linear_map_is_one_whoever_computes_it(shape, bias):
    torch.manual_seed(0)
    layer, x = Linear(12, 20, bias=bias), torch.randn(shape)
    expected = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    found = {"eager": layer(x), "compiled": torch.compile(layer, fullgraph=True, backend="aot_eager")(x)}
    found["not contiguous"] = layer(x.transpose(0, -2).contiguous().transpose(0, -2))
    for name, y in found.items():
        assert y.shape == (*shape[:-1], 20), name
        assert torch.allclose(y.double(), expected, atol=1e-5), name


@pytest.mark.gradients
def test_a_linear_map_has_gradients():
    layer, x = Linear(12, 20), torch.randn(2, 7, 12, requires_grad=True)
    found = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight, layer.bias])
    expected = torch.autograd.grad(F.linear(x, layer.weight, layer.bias).square().sum(), [x, layer.weight, layer.bias])
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
