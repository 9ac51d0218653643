"""The pitch that a harmonic decoder decides on: the same whatever computes it."""

import pytest
import torch
from torch import Tensor

from builders import RECORDINGS
from xcodec import Codec, kernels
from xcodec.models.harmonic_xcodec2 import HarmonicXcodec2Model

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
