"""The acoustic encoder that reads spectra: one latent vector for each hop, of the hop itself and what is around it."""

import pytest
import torch

from xcodec.errors import InputError
from xcodec.models.harmonic_xcodec import HarmonicXcodecConfig
from xcodec.modules.autocorrelation import Autocorrelation
from xcodec.modules.spectral_encoder import SpectralEncoder
from xcodec.modules.time import Tiled, Whole

HOP = 320


@pytest.fixture(scope="module")
def encoder() -> SpectralEncoder:
    torch.manual_seed(0)
    pitches = Autocorrelation(16000, 30, 60.0, 400.0, 1024, HOP)
    return SpectralEncoder(16000, HOP, (400, 1024), (4, 2), 20, pitches, 16, 24, 2, 8).eval()


def noise(codes: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, 1, codes * HOP, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_features_are_log_energies_of_windows_in_the_middle_of_their_samples(encoder: SpectralEncoder) -> None:
    click = torch.zeros(1, 10 * HOP)
    click[0, 5 * HOP + 200] = 1.0  # in the third quarter and the second half of code 5
    features = encoder.features(click)
    assert features.shape == (1, 10, 20 * (4 + 2) + 30)
    features = features[..., :-30]
    banks = features.unflatten(2, (6, 20)).mean(-1)[0]  # (codes, four short windows and two long ones)
    assert banks[:, :4].flatten().argmax() == 4 * 5 + 2
    assert banks[:, 4:].flatten().argmax() == 2 * 5 + 1
    louder = encoder.features(10 * click)[..., :-30]
    heard = features > features.min()
    assert torch.allclose((louder - features)[heard], torch.tensor(4.605 / 5), atol=1e-2), "20 dB of energy"


@torch.no_grad()
def test_a_latent_depends_on_what_its_halo_says_and_on_nothing_else(encoder: SpectralEncoder) -> None:
    codes, at = 40, 20
    before = encoder(noise(codes))
    changed = noise(codes)
    changed[..., at * HOP : (at + 1) * HOP] = 0.0
    moved = (encoder(changed) - before).abs().amax((0, 1)) > 0
    reach = encoder.halo
    assert moved[at - 1 : at + 2].all()
    assert not moved[: at - reach].any()
    assert not moved[at + reach + 1 :].any()
    assert moved.sum() >= 2 * reach - 1, "and the halo is no wider than it has to be"


@torch.no_grad()
def test_tiles_and_batches_change_nothing(encoder: SpectralEncoder) -> None:
    clips = [noise(23, 1), noise(50, 2)]
    alone = [encoder(clip) for clip in clips]
    batch = torch.full((2, 1, 50 * HOP), 7.0)  # whatever is past a clip's end
    for i, clip in enumerate(clips):
        batch[i, :, : clip.shape[2]] = clip
    lengths = torch.tensor([23, 50]) * HOP
    for time in (Whole(lengths), Tiled(lengths, budget=90_000)):
        together = encoder(batch.clone(), time)
        for i, latents in enumerate(alone):
            assert torch.allclose(together[i : i + 1, :, : latents.shape[2]], latents, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"encoder_windows": [400]}, r"encoder_windows=\[400\] and encoder_frames=\[4, 2\]: expected one of each"),
        ({"encoder_frames": [3, 2]}, r"encoder_frames=\[3, 2\]: expected numbers that divide the 320 samples"),
        ({"encoder_windows": [60, 1024]}, r"encoder_windows=\[60, 1024\]: expected at least the 80 samples"),
        ({"encoder_pitch_window": 500}, r"encoder_pitch_window=500: expected at least 582: .*lowest_pitch=55"),
        ({"lowest_pitch": 20.0}, r"encoder_pitch_window=1024: expected at least 1600"),
        ({"encoder_mel_bins": 0}, r"encoder_mel_bins"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        HarmonicXcodecConfig(**fields)


def test_the_pitches_that_a_head_may_predict_decide_codes_too() -> None:
    assert HarmonicXcodecConfig(lowest_pitch=60.0).code_architecture() != HarmonicXcodecConfig().code_architecture()
    assert HarmonicXcodecConfig(filters_per_code=2).code_architecture() == HarmonicXcodecConfig().code_architecture()
