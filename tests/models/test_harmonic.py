"""Harmonic decoders: a pitch that is the same whatever computes it, and how far they look ahead."""

import pytest
import torch
from torch import Tensor

from builders import RECORDINGS, tiny_harmonic
from module_builders import same
from xcodec import Codec, InputError, kernels
from xcodec.models.codec_model import CodecModel
from xcodec.models.harmonic_xcodec2 import HarmonicXcodec2Model
from xcodec.modules.time import WHOLE, Streamed
from xcodec_builders import tiny_harmonic_xcodec

FINELY = 1_000_000  # times as many steps to an octave as the pitch is rounded to


def pitches(codec: Codec, ids: Tensor) -> Tensor:
    model = codec.model
    assert isinstance(model, HarmonicXcodec2Model)
    states, _ = model.acoustic_decoder.hidden(model.quantizer.decode(ids))
    predictor = model.acoustic_decoder.head.pitch
    return predictor.scale_steps(predictor(states), 120 * FINELY).double() / FINELY


@pytest.mark.parametrize("variant", sorted({kernels.TORCH, kernels.variants()[-1]}))
def test_rounding_elsewhere_moves_it_by_a_hundred_thousandth_of_a_step(variant: str) -> None:
    """What moves by so much is rounded otherwise of one frame in 50,000, which is more than a quarter of an hour."""
    packed, plain = Codec.from_pretrained(), Codec.from_pretrained(pack=False)
    moved = []
    for recording in RECORDINGS:
        ids = torch.tensor(packed.encode(recording).ids)
        with kernels.use(variant):
            found = pitches(plain, ids)
        moved.append((found - pitches(packed, ids)).abs()[0])
    nearly_all, _ = torch.cat(moved).sort()
    nearly_all = nearly_all[: int(0.999 * len(nearly_all))]  # but where two bins far apart are as likely
    assert nearly_all.mean() < 1e-5


FEW = [tiny_harmonic(decoder_lookahead=4), tiny_harmonic_xcodec(decoder_lookahead=4)]


def random_codes(model: CodecModel, frames: int) -> Tensor:
    torch.manual_seed(0)
    sizes = torch.tensor(model.codebook_sizes)[None, :, None]
    return torch.randint(0, 1 << 16, (1, len(model.codebook_sizes), frames)) % sizes


@pytest.mark.parametrize("model", FEW)
@torch.inference_mode()
def test_no_audio_depends_on_more_codes_ahead_than_the_configuration_says(model: CodecModel) -> None:
    assert model.lookahead == 4
    codes = random_codes(model, 40)
    other = codes.clone()
    other[..., 20] = (other[..., 20] + 1) % model.codebook_sizes[0]
    changed = (model.synthesize(codes, WHOLE) != model.synthesize(other, WHOLE))[0, 0].nonzero()
    assert 16 * 320 <= int(changed[0]) < 18 * 320


@pytest.mark.parametrize("model", FEW)
@torch.inference_mode()
def test_a_stream_that_looks_so_far_ahead_is_the_whole_code_by_code(model: CodecModel) -> None:
    codes, past, pieces = random_codes(model, 30), None, []
    for start in range(30 - 4):
        time = Streamed([past], 1)
        pieces.append(model.synthesize(codes[..., start : start + 5], time)[..., :320])
        [past] = time.after
    assert same(torch.cat(pieces, 2), model.synthesize(codes, WHOLE)[..., : 26 * 320])


@pytest.mark.parametrize("lookahead", [1, 6])
def test_a_decoder_looks_ahead_as_far_as_its_head_needs_and_its_first_layer_can(lookahead: int) -> None:
    with pytest.raises(InputError, match=rf"decoder_lookahead={lookahead}.*expected 2 to 5, or None"):
        tiny_harmonic(decoder_lookahead=lookahead)


def test_a_model_without_the_field_is_the_same_one_as_before_there_was_one() -> None:
    assert "decoder_lookahead" not in tiny_harmonic().config.architecture()
    assert tiny_harmonic(decoder_lookahead=4).config.architecture()["decoder_lookahead"] == 4
    codes_of = [tiny_harmonic(decoder_lookahead=ahead).config.code_architecture() for ahead in (None, 4)]
    assert codes_of[0] == codes_of[1]
