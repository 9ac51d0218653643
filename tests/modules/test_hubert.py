"""HuBERT and WavLM: transformers' hidden states, and that a clip's neighbours, tiles and blocks do not matter."""

import pytest
import torch
import transformers

from builders import speech
from xcodec.models.xcodec.semantic import build_semantic_model
from xcodec.modules.norm import TimeNorm
from xcodec.modules.tiles import steps_of
from xcodec.modules.time import TENSORS, Tiled, Whole
from xcodec_builders import KINDS, TINY_SEMANTIC, randomize

LENGTHS = torch.tensor([400, 641, 719, 5000, 16000])  # samples, at least one frame each


def semantic_model(kind: str):
    fields = TINY_SEMANTIC | KINDS[kind]
    config_class = transformers.WavLMConfig if fields.pop("model_type") == "wavlm" else transformers.HubertConfig
    config = config_class(**fields)
    model = build_semantic_model(config).eval()
    randomize(model, seed=0)
    return model, config


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_the_mean_of_transformers_hidden_states(kind):
    model, config = semantic_model(kind)
    twin = transformers.AutoModel.from_config(config).eval()
    assert twin.load_state_dict(model.state_dict()) is not None
    wave = torch.from_numpy(speech(3.0))[None]
    states = twin(wave, output_hidden_states=True).hidden_states
    assert len(states) == 3
    assert states[0].std() > 0.1
    assert (model(wave) - torch.stack(states).mean(0)).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_each_clip_of_a_batch_gets_what_it_gets_alone(kind):
    model, _ = semantic_model(kind)
    wave = torch.full((len(LENGTHS), int(LENGTHS.max())), 7.0)  # loud garbage past each end
    for row, n in zip(wave, LENGTHS, strict=True):
        row[:n] = torch.from_numpy(speech(samples=int(n)))
    together = model(wave, Whole(LENGTHS))
    frames = model.output_length(LENGTHS)
    assert frames.tolist() == [1, 1, 1, 15, 49]
    for i, n in enumerate(LENGTHS):
        alone = model(wave[i : i + 1, :n])
        assert alone.shape[1] == frames[i]
        assert (together[i, : frames[i]] - alone[0]).abs().max() < 1e-4, f"clip of {n} samples"


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_and_blocks_do_not_matter(kind):
    """The convolutions run in tiles, the attention in blocks of queries; whole or not, the result is the same."""
    model, _ = semantic_model(kind)
    wave = torch.from_numpy(speech(2.0))[None].repeat(2, 1)
    lengths = torch.tensor([32000, 10617])
    whole, padded = model(wave), model(wave, Whole(lengths))
    own = model.output_length(10617)
    for max_bytes in (1, 300_000, 1 << 30):
        assert (model(wave, Tiled(None, max_bytes)) - whole).abs().max() < 1e-4
        assert (model(wave, Tiled(lengths, max_bytes))[1, :own] - padded[1, :own]).abs().max() < 1e-4
    assert (whole[1, :own] - padded[1, :own]).abs().max() > 0.01, "without lengths the second clip differs"


def test_the_norm_over_time_is_torchs_group_norm_and_its_moments_come_in_any_tiles():
    torch.manual_seed(0)
    norm = TimeNorm(6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 6, 100) * 3 + 50
    expected = torch.nn.functional.group_norm(x, 6, norm.weight, norm.bias)
    for size in (100, 7, 1):
        normal = Tiled(None, size * 2 * 6 * 4 * TENSORS).normalized(norm, x)
        assert (steps_of(normal, slice(None), 0, 100, dim=2) - expected).abs().max() < 1e-3, size
    assert (norm(x) - expected).abs().max() < 1e-3
    lengths = torch.tensor([40, 100])
    parts = [(x[..., start : start + 30], (lengths - start).clamp(0, 30)) for start in (0, 30, 60)]
    count, total, squares = sum(norm.moments(*part) for part in parts)[0]
    assert torch.allclose(total / count, x[0, :, :40].double().mean(-1))
    assert torch.allclose(squares / count - (total / count).square(), x[0, :, :40].double().var(-1, unbiased=False))


def test_the_biases_of_wavlm_fall_into_its_buckets():
    model, config = semantic_model("wavlm")
    twin = transformers.AutoModel.from_config(config).eval()
    ours, theirs = model.encoder.layers[0].attention, twin.encoder.layers[0].attention
    distances = torch.arange(-2000, 2001)
    assert torch.equal(ours._buckets(distances), theirs._relative_positions_bucket(distances))
