"""The contract "bounded": a clip computed in tiles of time gives what it gives when it is computed whole."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from builders import prepare, randomized, speech, tiny_model
from module_builders import LENGTHS, clips_of_mixed_lengths, same
from xcodec.models import pretrained
from xcodec.models.acoustic import AcousticEncoder
from xcodec.models.semantic import SemanticAdapter
from xcodec.models.xcodec.decoder import AcousticDecoder as DacDecoder
from xcodec.modules.attention import SelfAttention
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.resnet import ResNetBlock
from xcodec.modules.snake import AntiAliasedActivation, Snake
from xcodec.modules.tiles import Tile, tiles
from xcodec.modules.time import Tiled, Whole
from xcodec.modules.transformer import MLP, TransformerLayer
from xcodec.modules.upsampler import Upsampler
from xcodec.modules.wav2vec2_bert import Wav2Vec2Bert
from xcodec_builders import KINDS, prepare_xcodec, tiny_xcodec

BUDGETS = [1, 3000, 20_000, 70_000, 1 << 30]  # bytes: from tiles of a step or a halo to one tile of all


def long_clip(seconds: float) -> np.ndarray:
    """So many seconds of the five recordings, repeated at other levels."""
    whole = speech()
    return np.concatenate([whole * level for level in (1.0, 0.7, 0.5, 0.9, 0.3)])[: int(seconds * 16000)]


def test_tiles_cover_every_step_once_and_read_what_is_there():
    for size in (1, 3, 10, 11):
        cut = list(tiles(10, size, before=2, after=1))
        assert [step for tile in cut for step in range(10)[tile.wanted]] == list(range(10))
        for tile in cut:
            assert (tile.first, tile.last) == (max(0, tile.start - 2), min(10, tile.stop + 1))
            assert list(range(10))[tile.first : tile.last][tile.kept] == list(range(10))[tile.wanted]
    assert Tile(3, 5, 1, 6).at(10) == Tile(30, 50, 10, 60)
    assert Tile(3, 5, 1, 6).lengths(torch.tensor([0, 1, 4, 9])).tolist() == [0, 0, 3, 5]


CHANNELS_FIRST = {"resnet block": lambda: ResNetBlock(64)}
TIME_FIRST = {
    "transformer layer": lambda: TransformerLayer(SelfAttention(64, 4, 4, 16, False), MLP(64, 96, F.silu), 64, 1e-6),
    "wav2vec2-bert": lambda: Wav2Vec2Bert(64, 16, 24, 2, 2, 5, 6, 2, F.silu),
    "istft head": lambda: ISTFTHead(64, 40, 10),
    "harmonic head": lambda: HarmonicHead(64, 40, 4, 16, 2000, 16, 50.0, 400.0),
}
HOPS = {"istft head": 10, "harmonic head": 40}


@pytest.mark.parametrize("max_bytes", BUDGETS)
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "full"])
@pytest.mark.parametrize("name", CHANNELS_FIRST | TIME_FIRST)
def test_a_block_in_tiles_gives_what_it_gives_whole(name, padded, max_bytes):
    block = randomized((CHANNELS_FIRST | TIME_FIRST)[name]())
    x = clips_of_mixed_lengths(64) * (0.05 if name in HOPS else 1)
    x = x if name in CHANNELS_FIRST else x.transpose(1, 2).contiguous()
    lengths = LENGTHS if padded else None
    whole, in_tiles = block(x, Whole(lengths)), block(x.clone(), Tiled(lengths, max_bytes))
    for i, n in enumerate(LENGTHS.tolist() if padded else [33] * 4):
        own = slice(n * HOPS.get(name, 1))
        pick = (i, slice(None), own) if name in CHANNELS_FIRST or name in HOPS else (i, own)
        assert same(in_tiles[pick], whole[pick]), f"{name}, clip of {n} steps"
    if padded and name in HOPS:
        assert torch.equal(in_tiles == 0, whole == 0), "zeros past each clip's end"


@pytest.mark.parametrize("max_bytes", BUDGETS)
@pytest.mark.parametrize(("ratio", "taps"), [(3, 9), (2, 4), (5, 5)])
def test_an_upsampler_in_tiles_gives_what_it_gives_whole(ratio, taps, max_bytes):
    upsampler = randomized(Upsampler(64, [ratio], [taps]))
    x = clips_of_mixed_lengths(64).transpose(1, 2).contiguous()
    for lengths in (LENGTHS, None):
        whole, expected = upsampler(x, Whole(lengths))
        in_tiles, found = upsampler(x.clone(), Tiled(lengths, max_bytes))
        assert (found.lengths is None) == (lengths is None)
        for i, n in enumerate([len(x[0])] * 4 if lengths is None else lengths.tolist()):
            assert same(in_tiles[i, : ratio * n], whole[i, : ratio * n])
        if lengths is not None:
            assert found.lengths.tolist() == expected.lengths.tolist() == (ratio * lengths).tolist()


@pytest.mark.parametrize("max_bytes", [1, 5_000_000, 1 << 30])
@pytest.mark.parametrize("activation", ["anti-aliased", "plain"])
def test_the_acoustic_encoder_in_tiles_gives_what_it_gives_whole(activation, max_bytes):
    arguments = {} if activation == "anti-aliased" else {"activation": Snake}
    encoder = randomized(AcousticEncoder(4, (4, 5, 2), 8, **arguments))
    for parameter in encoder.parameters():
        parameter.mul_(0.3)
    wave = torch.from_numpy(long_clip(2.0))[None, None].repeat(3, 1, 1)
    lengths = torch.tensor([40, 21240, 32000])
    assert same(encoder(wave, Tiled(None, max_bytes)), encoder(wave))
    padded, tiled = encoder(wave, Whole(lengths)), encoder(wave, Tiled(lengths, max_bytes))
    for i, n in enumerate(lengths // 40):
        assert same(tiled[i, :, :n], padded[i, :, :n]), f"clip of {n} codes"


def test_the_halo_is_exactly_how_far_an_input_is_felt():
    """A click reaches the latent vectors up to the halo away, and no other."""
    encoder = AcousticEncoder(2, (2, 2, 4, 4, 5), 2)
    assert encoder.halo == 28
    for module in encoder.modules():  # nothing may cancel, and silence stays silence
        if isinstance(module, torch.nn.Conv1d):
            module.weight.fill_(2 / module.weight[0].numel())
            module.bias.zero_()
        elif isinstance(module, AntiAliasedActivation):
            module.taps = [1 / 12] * 12
    click = torch.zeros(1, 1, 320 * 100, dtype=torch.float64)
    click[..., 320 * 50] = 1.0
    felt = encoder.double()(click).any(1)[0].nonzero()[:, 0]
    # A latent vector sees 8,596 samples to the left of its hop's first, and 8,851 to the right.
    assert (felt.min(), felt.max()) == (math.ceil(50 - 8851 / 320), math.floor(50 + 8596 / 320))


@pytest.mark.parametrize("max_bytes", [1, 2_000_000, 1 << 30])
def test_the_dac_decoder_in_tiles_gives_what_it_gives_whole(max_bytes):
    decoder = randomized(DacDecoder(6, 16, (5, 4, 3)))
    latents = torch.randn(3, 6, 200)
    lengths = torch.tensor([1, 133, 200])
    assert same(decoder(latents, Tiled(None, max_bytes)), decoder(latents))
    assert same(decoder(latents, Tiled(lengths, max_bytes)), decoder(latents, Whole(lengths)))


@pytest.mark.parametrize("max_bytes", [1, 20_000])
def test_the_semantic_adapter_in_tiles_gives_what_it_gives_whole(max_bytes):
    adapter = randomized(SemanticAdapter(32))
    x = clips_of_mixed_lengths(32)
    whole, tiled = adapter(x, Whole(LENGTHS)), adapter(x, Tiled(LENGTHS, max_bytes))
    for i, n in enumerate(LENGTHS):
        assert same(tiled[i, :, :n], whole[i, :, :n])


def assert_tiled_equals_whole(model, inputs, monkeypatch) -> None:
    """Compare a model's default, tiles, with the way it computes where gradients are taken."""
    encoded = model.encode(**inputs)
    codes, mask = encoded.audio_codes, encoded.audio_codes_mask
    audio = model.decode(codes, audio_codes_mask=mask).audio_values
    monkeypatch.setattr(model, "tile_bytes", lambda num_codes: None)
    assert torch.equal(model.encode(**inputs).audio_codes, codes)
    assert codes.unique().numel() > 200, "the codes hardly vary: a weak test"
    whole = model.decode(codes, audio_codes_mask=mask).audio_values
    assert (audio - whole).abs().max() < 1e-4


@pytest.mark.parametrize("least", [1 << 19, 3_000_001])
def test_40_seconds_in_tiles_equal_40_seconds_whole(least, monkeypatch):
    monkeypatch.setattr(pretrained, "LEAST_TILE_BYTES", least)
    model = tiny_model()
    model.max_memory = 1
    assert_tiled_equals_whole(model, prepare(long_clip(40)), monkeypatch)


def test_a_batch_of_mixed_lengths_in_tiles_equals_the_batch_whole(monkeypatch):
    monkeypatch.setattr(pretrained, "LEAST_TILE_BYTES", 1 << 20)
    model = tiny_model()
    model.max_memory = 1
    clips = [long_clip(13), long_clip(7.123), long_clip(0.01), long_clip(9)]
    assert_tiled_equals_whole(model, prepare(*clips), monkeypatch)


def test_forward_in_tiles_equals_forward_whole(monkeypatch):
    monkeypatch.setattr(pretrained, "LEAST_TILE_BYTES", 1 << 20)
    model = tiny_model()
    model.max_memory = 1
    inputs = prepare(long_clip(10.01))
    tiled = model(**inputs, output_latents=True)
    monkeypatch.setattr(model, "tile_bytes", lambda num_codes: None)
    whole = model(**inputs, output_latents=True)
    assert torch.equal(tiled.audio_codes, whole.audio_codes)
    assert (tiled.latents - whole.latents).abs().max() < 1e-4
    assert (tiled.audio_values - whole.audio_values).abs().max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_xcodec_in_tiles_equals_xcodec_whole(kind, monkeypatch):
    monkeypatch.setattr(pretrained, "LEAST_TILE_BYTES", 1 << 20)
    clips = [long_clip(12), long_clip(5.123), long_clip(0.01)]
    model = tiny_xcodec(kind)
    model.max_memory = 1
    assert_tiled_equals_whole(model, prepare_xcodec(*clips), monkeypatch)


def test_the_budget_leaves_room_for_what_is_as_long_as_the_clip():
    model = tiny_model()
    assert model.tile_bytes(1000) == pretrained.TILE_BYTES
    model.max_memory = 1 << 30
    assert model.tile_bytes(1000) == (1 << 30) - 1000 * model.bytes_per_code
    assert model.tile_bytes(10**9) == pretrained.LEAST_TILE_BYTES
    with torch.inference_mode(False), torch.enable_grad():
        assert model.tile_bytes(1000) is None, "gradients need everything"


@pytest.mark.slow
def test_15_seconds_in_tiles_equal_15_seconds_whole_at_the_released_size(released, monkeypatch):
    monkeypatch.setattr(pretrained, "TILE_BYTES", pretrained.TILE_BYTES // 6)  # as many tiles as 90 seconds have
    assert_tiled_equals_whole(released, prepare(long_clip(15)), monkeypatch)
