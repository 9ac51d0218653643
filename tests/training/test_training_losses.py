"""What a codec in training is held against, and who judges it."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import auraloss
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model, WhisperConfig, WhisperFeatureExtractor, WhisperModel

from builders import speech
from xcodec.errors import CheckpointError, InputError
from xcodec.modules.mel import mel_filters
from xcodec.quantizers.rvq import ResidualVectorQuantizer
from xcodec.training.codebooks import quantize_and_learn
from xcodec.training.discriminators import (
    Discriminators,
    MultiFrequencyDiscriminator,
    MultiPeriodDiscriminator,
    SpectralDiscriminator,
    build_discriminators,
)
from xcodec.training.distances import Distances
from xcodec.training.generators.spectrum import SpectrumLoss
from xcodec.training.generators.teacher import Teacher
from xcodec.training.losses.adversarial import adversarial_loss, discriminator_loss, feature_matching_loss
from xcodec.training.losses.compressed import compressed_loss
from xcodec.training.losses.disturbance import DisturbanceLoss
from xcodec.training.losses.intelligibility import IntelligibilityLoss
from xcodec.training.losses.level import level_loss
from xcodec.training.losses.mel import MelLoss
from xcodec.training.losses.perceptual import PerceptualLoss
from xcodec.training.losses.spread import spread_loss
from xcodec.training.losses.stft import Resolution, STFTLoss
from xcodec.training.losses.sub_band import FilterBank, SubBandLoss
from xcodec.training.sections import AdversarialRecipe, LossRecipe, SpectralRecipe

pytestmark = pytest.mark.gradients


def spoken_pair() -> tuple[Tensor, Tensor]:
    """A reconstruction of a kind, and a recording: each (2, 16000)."""
    target = torch.tensor(speech(2.0)).view(2, -1)
    return 0.7 * target + 0.01 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0)), target


# Spectra


def test_losses_of_equal_signals_are_zero_and_of_a_louder_one_its_logarithm() -> None:
    signal = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    loss = MelLoss([64, 512], [5, 40])
    assert [term.item() for term in loss(signal, signal)] == [0.0, 0.0]
    logarithmic, linear = loss(2 * signal, signal)
    assert logarithmic.item() == pytest.approx(math.log(2), rel=1e-3)
    assert linear.item() == pytest.approx(1.0, rel=0.02)


def test_mel_loss_equals_a_direct_computation() -> None:
    generator = torch.Generator().manual_seed(1)
    given, wanted = torch.randn(2, 1, 1600, generator=generator, dtype=torch.float64).float()
    window, bands = 256, 20

    def mel(signal: np.ndarray) -> np.ndarray:
        padded = np.pad(signal, window // 2, mode="reflect")
        taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
        frames = [padded[start : start + window] * taper for start in range(0, len(signal) + 1, window // 4)]
        turns = np.exp(-2j * np.pi * np.outer(np.arange(window), np.arange(window // 2 + 1)) / window)
        return np.abs(np.array(frames) @ turns) * 2 / window @ mel_filters(bands, window, 16_000).numpy()

    one, other = mel(given[0].numpy()), mel(wanted[0].numpy())
    logarithmic, linear = MelLoss([window], [bands])(given, wanted)
    assert logarithmic.item() == pytest.approx(np.abs(np.log(one) - np.log(other)).mean(), rel=1e-3)
    assert linear.item() == pytest.approx(np.abs(one - other).mean() / (other.mean() + 1e-3), rel=1e-3)


@pytest.mark.parametrize(("bands", "n_fft"), [(5, 64), (80, 1024), (160, 512)])
def test_no_mel_filter_is_empty(bands: int, n_fft: int) -> None:
    filters = mel_filters(bands, n_fft, 16_000)
    assert filters.shape == (n_fft // 2 + 1, bands)
    assert (filters.amax(0) > 0).all()
    assert filters.max() <= 1.0


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 2000, requires_grad=True)
    sum(MelLoss([64, 256], [5, 20])(silence, torch.randn(1, 2000))).backward()  # type: ignore[union-attr]
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


def test_the_spread_loss_is_zero_on_white_inputs_and_sees_drift_width_and_correlation() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[None]
    assert spread_loss(signs).item() == pytest.approx(0.0)
    assert spread_loss(signs + 3).item() == pytest.approx(9.0)
    assert spread_loss(2 * signs).item() == pytest.approx(9 / 2)
    assert spread_loss(signs[..., [0, 0]]).item() == pytest.approx(1 / 2)


def test_windows_and_mel_bands_must_match() -> None:
    with pytest.raises(InputError, match="2 windows and 1 numbers"):
        MelLoss([64, 128], [5])


def test_the_mel_loss_equals_auralosss_with_the_same_filters() -> None:
    audio, target = spoken_pair()
    window, bands = 512, 40
    oracle = auraloss.freq.STFTLoss(window, window // 4, window, w_sc=0.0, w_log_mag=1.0, eps=1e-12)
    oracle.scale = "mel"  # its own filters come with a library that is not needed here
    oracle.fb = mel_filters(bands, window, 16_000).T[None] * 2 / window
    expected = oracle(audio[:, None], target[:, None])
    assert MelLoss([window], [bands])(audio, target)[0].item() == pytest.approx(expected.item(), rel=1e-2)


def test_the_stft_loss_equals_auralosss() -> None:
    audio, target = spoken_pair()
    resolutions = (Resolution(512, 480, 120), Resolution(1024, 960, 240))
    fft_sizes, windows, hops = ([getattr(each, name) for each in resolutions] for name in Resolution._fields)
    oracle = auraloss.freq.MultiResolutionSTFTLoss(fft_sizes, hops, windows, eps=1e-7)
    # auraloss takes spectral convergence of each clip and averages; X-Codec v1 takes that of the whole batch.
    expected = oracle(audio[:1, None], target[:1, None]).item()
    assert STFTLoss(resolutions)(audio[:1], target[:1]).item() == pytest.approx(expected, rel=1e-4)


def test_bands_add_up_to_the_signal_and_hold_their_own_frequencies() -> None:
    filters = FilterBank(6)
    signal = torch.tensor(speech(1.0))[None]
    error = filters.join(filters.split(signal))[:, 200:15_800] - signal[:, 200:15_800]
    assert 20 * math.log10(float(error.norm() / signal.norm())) < -40
    time = torch.arange(16_000) / 16_000
    for band in range(6):
        tone = torch.sin(2 * math.pi * (band + 0.5) * 8000 / 6 * time)[None]
        energies = filters.split(tone).square().sum(-1)[0]
        assert energies.argmax() == band
        assert energies[band] > 0.98 * energies.sum()


def test_the_sub_band_loss_hears_an_error_in_any_band() -> None:
    target = torch.tensor(speech(1.0))[None]
    loss = SubBandLoss()
    assert loss(target, target).item() == 0.0
    time = torch.arange(16_000) / 16_000
    for frequency in (300.0, 3500.0, 7500.0):
        assert loss(target + 0.05 * torch.sin(2 * math.pi * frequency * time), target).item() > 0.1


def test_the_level_loss_counts_tens_of_decibels() -> None:
    signal = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    assert level_loss(signal, signal, 16_000).item() == 0.0
    assert level_loss(signal * 10**0.5, signal, 16_000).item() == pytest.approx(1.0, rel=1e-3)
    silence = torch.zeros(1, 3200, requires_grad=True)
    level_loss(silence, signal[:1, :3200], 16_000).backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


# Listening


def degraded(target: np.ndarray) -> list[np.ndarray]:
    """The same speech in ever less noise, then with a tenth of its frequencies, then rounded to 8 bits."""
    noise = np.random.default_rng(0).standard_normal(len(target)).astype(np.float32) * target.std()
    low = np.fft.rfft(target)
    low[len(low) // 10 :] = 0
    return [target + noise * 10 ** (-snr / 20) for snr in (0, 10, 20, 30)] + [
        np.fft.irfft(low, len(target)).astype(np.float32),
        np.round(target * 128) / 128,
    ]


def of_each(loss: nn.Module, signals: list[np.ndarray], target: np.ndarray) -> list[float]:
    return [loss(torch.tensor(signal)[None], torch.tensor(target)[None]).item() for signal in signals]


def test_the_disturbance_is_what_pesq_takes_off_its_score() -> None:
    pesq = pytest.importorskip("pesq", reason="needs pip install 'xcodec[eval]'").pesq
    target = speech(4.0)
    signals = degraded(target)
    losses = of_each(DisturbanceLoss(), signals, target)
    assert losses[:4] == sorted(losses[:4], reverse=True)
    opinions = np.array([pesq(16_000, target, signal, "wb") for signal in signals])
    scores = (3.8224 - np.log(4 / (opinions - 0.999) - 1)) / 1.3669  # P.862.2 maps the score to opinions so
    assert np.corrcoef(scores, losses)[0, 1] < -0.9
    assert np.abs(scores - (4.5 - np.array(losses))).mean() < 0.5


def test_the_intelligibility_loss_is_what_stoi_lacks() -> None:
    stoi = pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'").stoi
    target = speech(4.0)
    signals = degraded(target)
    losses = of_each(IntelligibilityLoss(), signals, target)
    scores = [stoi(target, signal, 16_000) for signal in signals]
    assert np.corrcoef(scores, losses)[0, 1] < -0.95
    assert np.abs(1 - np.array(scores) - losses).mean() < 0.03


@pytest.mark.parametrize("loss", [DisturbanceLoss, IntelligibilityLoss])
def test_a_recording_is_not_unlike_itself_however_loud(loss: type[nn.Module]) -> None:
    target = torch.tensor(speech(2.0)).view(2, -1)
    assert loss()(target, target).item() == pytest.approx(0.0, abs=2e-3)
    assert loss()(0.5 * target, target).item() == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("loss", [DisturbanceLoss, IntelligibilityLoss])
@pytest.mark.parametrize("given", ["silence", "itself", "noise"])
def test_what_is_listened_to_has_a_finite_gradient(loss: type[nn.Module], given: str) -> None:
    target = torch.tensor(speech(1.0))[None]
    audio = {"silence": torch.zeros_like(target), "itself": target, "noise": 0.1 * torch.randn_like(target)}[given]
    audio = audio.clone().requires_grad_()
    for wanted in (target, torch.zeros_like(target)):
        audio.grad = None
        loss()(audio, wanted).backward()
        assert audio.grad is not None
        assert audio.grad.isfinite().all()


# A frozen listener


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def test_the_perceptual_loss_moves_the_audio_and_never_the_listener(listener: Path) -> None:
    loss = PerceptualLoss(str(listener)).train()
    assert not loss.listener.training
    before = copy.deepcopy(loss.state_dict())
    target = torch.tensor(speech(0.5))[None]
    assert loss(target, target).item() == 0.0
    audio = (target + 0.05 * torch.randn_like(target)).requires_grad_()
    loss(audio, target).backward()
    assert audio.grad is not None
    assert audio.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in loss.state_dict().items())
    one, other = (PerceptualLoss(str(listener), [i])(audio, target).item() for i in (0, 2))
    assert one != other


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper that hears a second."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    size = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    width = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_source_positions": 50}
    tokens = {"vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    WhisperModel(WhisperConfig(**size, **width, **tokens)).save_pretrained(folder)
    return folder


def test_whispers_encoder_listens_to_clips_of_any_length_as_it_does_to_its_own(whisper: Path) -> None:
    loss = PerceptualLoss(str(whisper))
    target = speech(1.0)
    features = WhisperFeatureExtractor(chunk_length=1)(target, sampling_rate=16_000, return_tensors="pt").input_features
    assert torch.allclose(loss.listener.features(torch.tensor(target)[None]), features, atol=1e-4)
    with torch.no_grad():
        expected = WhisperModel.from_pretrained(whisper).encoder.eval()(features).last_hidden_state
    assert torch.allclose(loss.listener(torch.tensor(target)[None])[-1], expected, atol=1e-4)
    audio = torch.tensor(0.5 * target[:8000])[None].requires_grad_()
    loss(audio, torch.tensor(target[:8000])[None]).backward()
    assert audio.grad is not None
    assert audio.grad.abs().max() > 0


def test_in_half_precision_a_whisper_computes_its_layers_and_not_its_spectra(whisper: Path) -> None:
    loss = PerceptualLoss(str(whisper))
    audio, target = spoken_pair()
    seen: dict[str, Tensor] = {}
    loss.listener.encoder.conv1.register_forward_pre_hook(lambda _, inputs: seen.update(spectra=inputs[0]))
    loss.listener.encoder.layers[0].fc1.register_forward_hook(lambda *call: seen.update(widened=call[2]))
    expected = loss(audio, target)
    spectra = seen["spectra"]
    with torch.autocast("cpu", torch.bfloat16):
        distance = loss(audio, target)
    assert torch.equal(seen["spectra"], spectra)
    assert seen["widened"].dtype == torch.bfloat16
    assert distance.item() == pytest.approx(expected.item(), rel=0.02)


def test_a_listener_that_is_not_there_or_has_no_such_layer_is_said(listener: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the listener of the perceptual loss"):
        PerceptualLoss(str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"perceptual_layers=\[3\]: .* has hidden states 0 to 2"):
        PerceptualLoss(str(listener), [3])
    with pytest.raises(InputError, match="hears 16000 Hz; this codec writes 24000 Hz"):
        Distances(LossRecipe(perceptual=1.0, perceptual_model=str(listener)), 24_000)


def test_only_distances_with_a_weight_are_taken(listener: Path) -> None:
    audio, target = spoken_pair()
    assert set(Distances(LossRecipe(mel=0.0), 16_000)(audio, target)) == set()
    every = LossRecipe(magnitude=1.0, stft=1.0, sub_band=1.0, level=1.0, perceptual=1.0, perceptual_model=str(listener))
    names = {"mel", "magnitude", "stft", "sub_band", "level", "perceptual"}
    terms = Distances(every, 16_000)(audio, target)
    assert set(terms) == names
    assert all(term.item() > 0 for term in terms.values())


# Discriminators


def small_discriminators() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(
        [
            MultiPeriodDiscriminator([2, 3], channels=4, growth=2, max_channels=8),
            SpectralDiscriminator([78, 206], channels=4, max_channels=8),
            MultiFrequencyDiscriminator([32, 64], [32, 32]),
        ]
    )


def test_the_released_discriminators_have_the_sizes_of_their_sources() -> None:
    built = build_discriminators(
        AdversarialRecipe(multi_period={}, spectral={}, multi_frequency={}),
        16_000,  # type: ignore[arg-type]
    )
    assert built is not None
    periods, spectra, frequencies = built.members
    assert [part.period for part in periods.parts] == [2, 3, 5, 7, 11]
    assert [part.n_fft for part in spectra.parts] == [78, 126, 206, 334, 542, 876, 1418, 2296]
    assert [part.hop_length for part in frequencies.parts] == [32, 64, 128, 256, 512, 1024]
    widths = [conv.weight.shape[0] for conv in periods.parts[0].convs]
    assert widths == [16, 64, 256, 512, 512]
    assert [conv.weight.shape[0] for conv in spectra.parts[0].convs] == [32, 64, 128, 256, 512]
    assert build_discriminators(AdversarialRecipe(), 16_000) is None
    assert build_discriminators(None, 16_000) is None


@pytest.mark.parametrize("samples", [8000, 8001, 6007])
def test_any_length_is_judged_by_every_part(samples: int) -> None:
    judgement = small_discriminators()(torch.randn(2, samples))
    assert len(judgement) == 6
    for part in judgement:
        assert all(len(features) == 2 for features in part)
        assert part[-1].shape[1] == 1


@pytest.mark.parametrize(
    "judge",
    [
        lambda: MultiPeriodDiscriminator([2, 3], channels=8, growth=2, max_channels=16),
        lambda: SpectralDiscriminator([78, 206], channels=8, max_channels=16),
        lambda: MultiFrequencyDiscriminator([32, 64], [32, 64]),
    ],
)
def test_a_discriminator_learns_to_tell_noise_from_speech(judge: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    judges = Discriminators([judge()])
    optimizer = torch.optim.Adam(judges.parameters(), 5e-3)
    real, fake = torch.tensor(speech(2.0)).view(4, -1)[:, :4000], 0.1 * torch.randn(4, 4000)
    for _ in range(80):
        loss = discriminator_loss(judges(real), judges(fake))
        optimizer.zero_grad()
        if loss.item() < 0.4:  # who always says one half has 0.5
            return
        loss.backward()
        optimizer.step()
    raise AssertionError(f"after 80 steps the loss is {loss.item():.2f}")


def test_adversarial_losses_have_their_known_values() -> None:
    ones, zeros = [[torch.ones(3)], [torch.ones(2)]], [[torch.zeros(3)], [torch.zeros(2)]]
    assert discriminator_loss(ones, zeros).item() == 0.0
    assert discriminator_loss(zeros, ones).item() == 2.0
    assert adversarial_loss(ones).item() == 0.0
    assert adversarial_loss(zeros).item() == 1.0
    real, fake = (
        [[torch.zeros(4), torch.zeros(2), torch.ones(1)]],
        [[torch.ones(4), torch.full((2,), 3.0), torch.ones(1)]],
    )
    assert feature_matching_loss(real, fake).item() == 2.0


def test_discriminators_compute_in_float32_on_the_cpu() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        judgement = small_discriminators()(torch.randn(2, 8000))
    assert {features.dtype for part in judgement for features in part} == {torch.float32}


def test_a_multi_frequency_discriminator_takes_a_width_for_each_hop() -> None:
    with pytest.raises(InputError, match="one multiple of 32 for each hop"):
        MultiFrequencyDiscriminator([32, 64], [64])
    assert SpectralRecipe().fft_sizes[0] == 78


# Compressed spectra


def test_compressed_spectra_of_equal_signals_are_equal_and_silence_lacks_all_of_them() -> None:
    _, target = spoken_pair()
    assert compressed_loss(target, target).item() == pytest.approx(0.0, abs=1e-6)
    assert compressed_loss(torch.zeros_like(target), target).item() == pytest.approx(2.0, abs=0.15)


def test_compressed_spectra_hear_phases() -> None:
    _, target = spoken_pair()
    # Turned over, a signal has the magnitudes that it had: only the complex distance is left, twice the size squared.
    assert compressed_loss(-target, target).item() == pytest.approx(4.0, abs=0.3)


# Spectra that latents hold


def test_latents_hold_the_spectrum_in_their_first_numbers() -> None:
    loss = SpectrumLoss(170, 320, 16_000)
    _, target = spoken_pair()
    spectrum = MelLoss([320], [40]).spectrum(target, 320)[:, :200]  # four frames of 5 ms for each code
    latents = torch.zeros(2, 50, 170)
    latents[..., :160] = (spectrum + 1e-3).log().reshape(2, 50, 160) + 5
    assert loss(latents, target).item() == pytest.approx(0.0, abs=1e-5)
    assert loss(latents + 1, target).item() == pytest.approx(1.0, abs=1e-5)
    assert loss(latents.roll(1, 1), target).item() > 0.2, "a code holds its own frames"
    latents[..., 160:] = 7.0
    assert loss(latents, target).item() == pytest.approx(0.0, abs=1e-5), "the others are free"
    with pytest.raises(InputError, match=r"loss\.spectrum: latents of 159 numbers have no room for 4 spectra of 40"):
        SpectrumLoss(159, 320, 16_000)


# The teacher of semantic codes


def test_a_semantic_teacher_is_told_from_both_branches_and_learns_nothing(whisper: Path) -> None:
    torch.manual_seed(0)
    teacher = Teacher(str(whisper), semantic_size=16, latent_size=8)
    waveform = torch.tensor(speech(1.0))[None]
    states = teacher.listener(waveform)[-1].detach()
    with torch.no_grad():
        teacher.from_semantic.weight.copy_(torch.eye(16))
        teacher.from_semantic.bias.zero_()
    semantic = nn.functional.layer_norm(states, (16,)).requires_grad_()
    first = torch.randn(1, 50, 8, requires_grad=True)
    loss = teacher(semantic, first, waveform)
    told = nn.functional.cosine_similarity(teacher.from_codes(first), semantic, -1)
    assert loss.item() == pytest.approx((1 - told.mean().item()) / 2, abs=1e-5)  # the semantic branch tells all
    loss.backward()
    assert first.grad is not None
    assert first.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.listener.parameters())


def test_a_teacher_that_reads_samples_makes_a_state_for_each_code(listener: Path) -> None:
    teacher = Teacher(str(listener), semantic_size=4, latent_size=8)
    assert teacher(torch.zeros(1, 50, 4), torch.zeros(1, 50, 8), torch.tensor(speech(1.0))[None]).isfinite()
    assert not any("listener" in name for name in teacher.state_dict()), "no checkpoint holds the teacher"


def test_a_teacher_of_another_rate_is_refused(whisper: Path) -> None:
    teacher = Teacher(str(whisper), semantic_size=16, latent_size=8)
    with pytest.raises(InputError, match="it makes 50 states where the codec makes 25 codes"):
        teacher(torch.zeros(1, 25, 16), torch.zeros(1, 25, 8), torch.tensor(speech(1.0))[None])


# Codebooks


def blank_quantizer() -> ResidualVectorQuantizer:
    quantizer = ResidualVectorQuantizer(dim=4, codebook_size=8, num_quantizers=3)
    for codebook in quantizer.codebooks:
        codebook.inited.zero_()
    return quantizer


def test_codebooks_find_the_clusters_and_leave_ever_less() -> None:
    torch.manual_seed(0)
    centres = 3 * torch.randn(8, 4)
    latents = (centres[torch.randint(8, (4, 100))] + 0.05 * torch.randn(4, 100, 4)).requires_grad_()
    quantizer = blank_quantizer()
    left = []
    for _ in range(30):
        quantized, first, commitment = quantize_and_learn(quantizer, latents, 3, learns=True)
        left.append((quantized - latents).square().mean().item())
    assert left[-1] < 0.02
    assert all(bool(codebook.inited) for codebook in quantizer.codebooks)
    torch.testing.assert_close(
        quantizer.decode(quantizer.encode(latents.detach())), quantized.detach(), atol=0.2, rtol=0
    )
    coarse = quantizer.decode(quantizer.encode(latents.detach(), 1))
    torch.testing.assert_close(coarse, first.detach(), atol=0.2, rtol=0)
    errors = [
        (quantizer.decode(quantizer.encode(latents.detach(), k)) - latents).square().mean().item() for k in (1, 2, 3)
    ]
    assert errors[0] > errors[1] > errors[2]
    (quantized.sum() + 0 * commitment).backward()
    assert torch.equal(latents.grad, torch.ones_like(latents))  # straight through


def test_commitment_pulls_latents_towards_their_code_vectors() -> None:
    quantizer = blank_quantizer()
    codebook = quantizer.codebooks[0]
    codebook.embed.copy_(torch.arange(8.0)[:, None].expand(8, 4))
    latents = torch.full((1, 1, 4), 2.25, requires_grad=True)
    quantized, _, commitment = quantize_and_learn(quantizer, latents, 1, learns=False)
    assert torch.equal(quantized, torch.full((1, 1, 4), 2.0))
    assert commitment.item() == pytest.approx(0.0625)
    commitment.backward()
    assert (latents.grad > 0).all()
    assert torch.equal(codebook.embed, torch.arange(8.0)[:, None].expand(8, 4))


def test_code_vectors_that_nobody_chooses_are_moved_to_where_latents_are() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(dim=4, codebook_size=8, num_quantizers=1)
    codebook = quantizer.codebooks[0]
    codebook.embed.fill_(100.0)
    codebook.embed[0] = 0.0
    latents = torch.randn(2, 50, 4)
    quantize_and_learn(quantizer, latents, 1, learns=True)
    assert codebook.embed.abs().max() < 10
    assert len(codebook.encode(latents).unique()) > 4


def test_in_a_small_batch_code_vectors_are_not_moved_for_having_little() -> None:
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(dim=4, codebook_size=8, num_quantizers=1)
    codebook = quantizer.codebooks[0]
    vectors = 3 * torch.randn(8, 4)
    codebook.embed.copy_(vectors)
    codebook.embed_avg.copy_(vectors)
    codebook.cluster_size.fill_(1.0)  # of the 8 latents of a batch
    for _ in range(3):
        quantize_and_learn(quantizer, vectors[torch.randperm(8)].view(2, 4, 4), 1, learns=True)
    torch.testing.assert_close(codebook.embed, vectors, atol=1e-3, rtol=1e-3)
