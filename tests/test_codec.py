"""Codec: whatever people bring goes in, comes out in order, and one clip never changes another."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import set_seed

from builders import RECORDINGS
from xcodec.audio import Audio
from xcodec.batching import batches
from xcodec.codec import Codec
from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import AudioError, CheckpointError, CodesError, InputError
from xcodec.models import checkpoint as checkpoint_module
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model

FOLDER = Path(__file__).parent / "audio"
SPEECH = FOLDER / "austen-0880.wav"  # 16 kHz, mono, 47,840 samples: 150 codes


def tiny_codec(seed: int = 0) -> Codec:
    set_seed(seed)
    semantic = {
        "model_type": "wav2vec2-bert",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "layerdrop": 0.0,
    }
    config = Xcodec2Config(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        encoder_hidden_size=4,
        quantization_dim=64 + 32,
        semantic_model_config=semantic,
    )
    codec = Codec(Xcodec2Model(config), Xcodec2FeatureExtractor())
    spread_codes(codec)
    return codec


def spread_codes(codec: Codec) -> None:
    """Random weights put all of speech into one or two codes; make the quantizer's input as wide as its levels."""
    seen: list[torch.Tensor] = []
    project_in = codec.model.quantizer.project_in
    handle = project_in.register_forward_hook(lambda module, inputs, output: seen.append(output))
    codec.encode(SPEECH)
    handle.remove()
    with torch.no_grad():
        centre, spread = seen[0].mean((0, 1)), seen[0].std((0, 1))
        project_in.weight /= spread[:, None]
        project_in.bias.sub_(centre).div_(spread)
    del codec.identity  # of the weights as they were


@pytest.fixture(scope="module")
def codec() -> Codec:
    return tiny_codec()


@pytest.fixture(scope="module")
def speech() -> Audio:
    return Audio.read(SPEECH)


@pytest.fixture(scope="module")
def codes(codec: Codec) -> Codes:
    return codec.encode(SPEECH)


@pytest.fixture(scope="module")
def checkpoint(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    codec.model.save_pretrained(folder)
    codec.feature_extractor.save_pretrained(folder)
    return folder


# --- encoding


def test_a_codec_says_what_it_is(codec: Codec) -> None:
    assert codec.sampling_rate == 16000
    assert codec.frame_rate == 50.0
    assert codec.codebook_sizes == (65536,)
    assert codec.device == torch.device("cpu")
    assert codec.dtype == torch.float32
    assert repr(codec).startswith("Codec(Xcodec2Model: 0.")
    assert repr(codec).endswith("16000 Hz, 50 codes/s of (65536,), on cpu in float32)")


def test_a_recording_becomes_fifty_codes_a_second(codec: Codec, codes: Codes) -> None:
    assert codes.ids.shape == (1, 47840 // 320 + 1)
    assert len(np.unique(codes.ids)) > 100
    assert (codes.num_samples, codes.sampling_rate, codes.source_sampling_rate) == (47840, 16000, 16000)
    assert (codes.frame_rate, codes.codebook_sizes) == (50.0, (65536,))
    assert codes.codec == codec.identity
    assert codes.codec.name == "Xcodec2Model"


@pytest.mark.parametrize(
    "convert",
    [
        lambda speech: str(SPEECH),
        lambda speech: speech,
        lambda speech: speech.samples,
        lambda speech: speech.samples[0].astype(np.float64),
        lambda speech: np.round(speech.samples[0] * 32768).astype(np.int16),
        lambda speech: torch.tensor(speech.samples),
        lambda speech: torch.tensor(speech.samples[0]).double().requires_grad_(),
        lambda speech: (torch.tensor(speech.samples[0]) * 32768).round().to(torch.int16),
        lambda speech: np.repeat(speech.samples, 2, axis=0),
    ],
    ids=["path", "Audio", "numpy", "float64", "int16", "torch", "torch with gradient", "torch int16", "stereo"],
)
def test_the_same_recording_in_any_form_gives_the_same_codes(
    codec: Codec, speech: Audio, codes: Codes, convert: Callable[[Audio], Audio]
) -> None:
    assert codec.encode(convert(speech), sampling_rate=16000) == codes


def test_rate_and_channels_are_converted(codec: Codec, speech: Audio, tmp_path: Path) -> None:
    wide = speech.resample(44100)
    stereo = Audio(np.concatenate([wide.samples, wide.samples * 0.5]), 44100)
    stereo.save(tmp_path / "stereo.flac")
    stored = Audio.read(tmp_path / "stereo.flac")
    codes = codec.encode(tmp_path / "stereo.flac")
    by_hand = codec.encode(stored.mono().resample(16000))
    np.testing.assert_array_equal(codes.ids, by_hand.ids)
    assert codes.source_sampling_rate == 44100
    assert codes.num_samples == by_hand.num_samples == 47840
    assert codec.encode(stored.samples, sampling_rate=44100) == codes


@pytest.mark.parametrize("batch_seconds", [0.1, 8.0, 60.0])
def test_a_list_gives_each_its_own_codes_in_order(codec: Codec, speech: Audio, batch_seconds: float) -> None:
    inputs = [
        FOLDER / "austen-0930.wav",
        Audio(speech.samples[:, :1], 16000),
        str(FOLDER / "austen-0870.wav"),
        speech.samples[:, 1000:1319],
        torch.tensor(speech.samples[0, 1000:1320]),
        Audio(speech.samples[:, :22050], 22050),
        Audio(speech.samples[:, 1000:1321], 16000),
        np.zeros(16000),
    ]
    together = codec.encode(inputs, sampling_rate=16000, batch_seconds=batch_seconds)
    alone = [codec.encode(item, sampling_rate=16000) for item in inputs]
    assert [len(codes) for codes in together] == [165, 1, 356, 1, 2, 51, 2, 51]
    for one, other in zip(together, alone, strict=True):
        assert one == other


def test_lists_of_none_and_of_one(codec: Codec, codes: Codes) -> None:
    assert codec.encode([]) == []
    assert codec.decode([]) == []
    assert codec.encode([SPEECH]) == [codes]


def test_progress_counts_every_second_of_audio_once(codec: Codec, speech: Audio) -> None:
    done: list[float] = []
    inputs = [speech, Audio(speech.samples[:, :8000], 8000), SPEECH]
    codes = codec.encode(inputs, batch_seconds=4.0, on_progress=done.append)
    assert sum(done) == pytest.approx(2.99 + 2.99 + 1.0)
    assert len(done) > 3  # within a batch too
    done.clear()
    codec.decode(codes, batch_seconds=60.0, on_progress=done.append)
    assert sum(done) == pytest.approx(5.98 + 1.0)
    assert len(done) > 2


@pytest.mark.parametrize("seconds", [[], [3.0], [1.0] * 10, [5.0, 0.1, 2.0, 90.0, 2.0, 7.5, 0.1, 0.1]])
@pytest.mark.parametrize("budget", [0.05, 4.0, 10.0, 1000.0])
def test_batches_hold_every_clip_once_within_the_budget(seconds: list[float], budget: float) -> None:
    groups = list(batches(seconds, budget))
    assert sorted(i for group in groups for i in group) == list(range(len(seconds)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(seconds[i] for i in group) <= budget


def test_batches_are_filled() -> None:
    assert list(batches([1.0, 9.0, 1.0, 4.0, 5.0], 10.0)) == [[1], [4, 3], [0, 2]]


@pytest.mark.parametrize("budget", [60.0, 600.0])
def test_padding_is_less_than_a_twentieth_of_read_speech(budget: float) -> None:
    lengths = np.random.default_rng(0).triangular(1.5, 15.0, 18.0, size=200)  # seconds, as of LibriSpeech's utterances
    padded = sum(len(group) * max(lengths[i] for i in group) for group in batches(lengths.tolist(), budget))
    assert padded < 1.05 * lengths.sum()


# --- bad input


def test_a_bad_member_is_named_by_index_and_path(codec: Codec, speech: Audio, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no audio")
    with pytest.raises(AudioError, match=r"^inputs\[1\]: .*notes\.wav: is not audio"):
        codec.encode([SPEECH, tmp_path / "notes.wav"])
    with pytest.raises(AudioError, match=r"^inputs\[2\]: .*gone\.wav: no such file"):
        codec.encode([SPEECH, SPEECH, tmp_path / "gone.wav"])
    with pytest.raises(AudioError, match=r"^inputs\[1\]: 1 of 2 samples are NaN"):
        codec.encode([speech, np.array([0.0, np.nan])], 16000)
    with pytest.raises(InputError, match=r"^inputs\[0\]: expected the path of an audio file.* got float"):
        codec.encode([0.1, 0.2], 16000)
    with pytest.raises(CodesError, match=r"^inputs\[1\]: .*gone\.codes: no such file"):
        codec.decode([codec.encode(speech), tmp_path / "gone.codes"])


def test_a_member_whose_damage_shows_late_is_named_too(codec: Codec, speech: Audio, tmp_path: Path) -> None:
    speech.save(tmp_path / "cut.flac")
    content = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"^inputs\[1\]: .*cut\.flac: is damaged or cut short"):
        codec.encode([SPEECH, tmp_path / "cut.flac"])


@pytest.mark.parametrize("level", [1e30, 32768.0])
def test_absurdly_loud_samples_are_named_before_they_become_nan(codec: Codec, speech: Audio, level: float) -> None:
    loud = Audio(speech.samples * level, 16000)
    with pytest.raises(AudioError, match=r"inputs\[1\]: samples reach .*, where full scale is 1.0; divide PCM"):
        codec.encode([speech, loud])


def test_codes_hold_their_own_ids_and_not_the_whole_batch(codec: Codec, speech: Audio) -> None:
    short, _ = codec.encode([Audio(speech.samples[:, :640], 16000), speech])
    assert short.ids.base is None
    assert short.ids.nbytes == 8 * 3
    with pytest.raises(ValueError, match="read-only"):
        short.ids[0, 0] = 0


def test_a_single_bad_input_needs_no_index(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=rf"^{tmp_path}: is a folder"):
        codec.encode(tmp_path)
    with pytest.raises(InputError, match=r"^an array of shape \(100,\) needs its sampling_rate, in Hz"):
        codec.encode(np.zeros(100))
    with pytest.raises(InputError, match="got NoneType"):
        codec.encode(None)
    with pytest.raises(AudioError, match="samples of type int64"):
        codec.encode(torch.zeros(100, dtype=torch.int64), 16000)
    with pytest.raises(InputError, match=r"expected Codes, the path of a file of codes, or .* ids, got NoneType"):
        codec.decode(None)


@pytest.mark.parametrize("batch_seconds", [0, -1.0, float("nan")])
def test_a_batch_needs_a_size(codec: Codec, codes: Codes, batch_seconds: float) -> None:
    with pytest.raises(InputError, match="expected a number of seconds above 0"):
        codec.encode(SPEECH, batch_seconds=batch_seconds)
    with pytest.raises(InputError, match="expected a number of seconds above 0"):
        codec.decode(codes, batch_seconds=batch_seconds)


# --- decoding


def test_codes_become_audio_of_the_true_length(codec: Codec, codes: Codes, speech: Audio) -> None:
    audio = codec.decode(codes)
    assert audio.samples.shape == speech.samples.shape
    assert audio.sampling_rate == 16000
    assert np.abs(audio.samples).max() > 0
    inputs = codec.feature_extractor(audio=speech.samples[0], sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        values = codec.model(**inputs).audio_values
    np.testing.assert_allclose(audio.samples, values[0, :, :47840].numpy(), atol=1e-5)


@pytest.mark.parametrize("batch_seconds", [0.1, 8.0, 60.0])
def test_a_list_of_codes_gives_each_its_own_audio(codec: Codec, speech: Audio, batch_seconds: float) -> None:
    lengths = [16000, 1, 47840, 319, 320, 321]
    codes = codec.encode([Audio(speech.samples[:, :n], 16000) for n in lengths])
    together = codec.decode(codes, batch_seconds=batch_seconds)
    assert [audio.num_samples for audio in together] == lengths
    for audio, item in zip(together, codes, strict=True):
        np.testing.assert_allclose(audio.samples, codec.decode(item).samples, atol=1e-4)


def test_codes_in_a_file_are_decoded(codec: Codec, codes: Codes, tmp_path: Path) -> None:
    codes.save(tmp_path / "speech.codes")
    assert codec.decode(tmp_path / "speech.codes") == codec.decode(codes)
    assert codec.decode([str(tmp_path / "speech.codes")]) == [codec.decode(codes)]


def test_true_length_is_counted_at_the_rate_of_the_codes(codec: Codec, codes: Codes) -> None:
    halved = Codes(codes.ids, 50.0, 23920, 8000, 8000, (65536,), codes.codec)
    assert codec.decode(halved) == codec.decode(codes)


def test_reconstruct_is_encode_then_decode(codec: Codec, codes: Codes, speech: Audio) -> None:
    assert codec.reconstruct(SPEECH) == codec.decode(codes)
    assert codec.reconstruct(speech.samples, 16000) == codec.decode(codes)
    assert codec.reconstruct([SPEECH]) == [codec.decode(codes)]


def test_codes_of_another_model_are_refused_unless_asked_for(codec: Codec, codes: Codes, tmp_path: Path) -> None:
    other = tiny_codec(seed=1)
    with pytest.raises(
        CodesError, match=r"made by Xcodec2Model \(.*this model is Xcodec2Model \(.*check_identity=False"
    ):
        other.decode(codes)
    codes.save(tmp_path / "speech.codes")
    with pytest.raises(CodesError, match=r"^inputs\[1\]: .*speech\.codes: the codes were made by"):
        other.decode([other.encode(SPEECH), tmp_path / "speech.codes"])
    assert other.decode(codes, check_identity=False).num_samples == 47840


def test_codes_of_an_unknown_model_are_taken(codec: Codec, codes: Codes) -> None:
    unsigned = Codes(codes.ids, 50.0, 47840, 16000, 16000, (65536,))
    assert codec.decode(unsigned) == codec.decode(codes)


def test_a_name_does_not_make_another_model(codec: Codec, codes: Codes) -> None:
    assert codes.codec is not None
    renamed = CodecIdentity("someone's copy", codes.codec.config_hash, codes.codec.weights_hash)
    copied = Codes(codes.ids, 50.0, 47840, 16000, 16000, (65536,), renamed)
    assert codec.decode(copied) == codec.decode(codes)


@pytest.mark.parametrize("check_identity", [True, False])
def test_codes_that_do_not_fit_are_refused_whatever_was_asked(codec: Codec, check_identity: bool) -> None:
    smaller = Codes(np.zeros((8, 50), int), 50.0, 16000, 16000, 16000, (1024,) * 8)
    with pytest.raises(CodesError, match=r"made by an unknown model, have codebooks of \(1024, .*load the model"):
        codec.decode(smaller, check_identity=check_identity)
    slower = Codes(np.zeros((1, 25), int), 25.0, 16000, 16000, 16000, (65536,), CodecIdentity("slow", "a", "b"))
    with pytest.raises(CodesError, match=r"made by slow \(.*at 25 Hz; this model decodes \(65536,\) at 50 Hz"):
        codec.decode(slower, check_identity=check_identity)


# --- checkpoints, devices and dtypes


def test_a_checkpoint_gives_the_same_codec_back(codec: Codec, codes: Codes, checkpoint: Path) -> None:
    loaded = Codec.from_pretrained(checkpoint, pack=False)
    assert not loaded.model.training
    again = loaded.encode(SPEECH)
    np.testing.assert_array_equal(again.ids, codes.ids)
    assert loaded.identity.name == "tiny"
    assert loaded.identity.same_model(codec.identity)
    assert loaded.decode(codes) == codec.decode(codes)
    assert repr(loaded).startswith("Codec(tiny: ")


def test_identity_follows_the_weights_and_may_be_given(codec: Codec) -> None:
    changed = copy.deepcopy(codec.model)
    with torch.no_grad():
        changed.fc_encoder.bias[0] += 1e-3
    assert not Codec(changed, codec.feature_extractor).identity.same_model(codec.identity)
    given = CodecIdentity("mine", "a", "b")
    assert Codec(codec.model, codec.feature_extractor, given).encode(SPEECH).codec == given


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", torch.bfloat16])
def test_half_precision_is_opt_in(codec: Codec, checkpoint: Path, dtype: str | torch.dtype) -> None:
    half = Codec.from_pretrained(checkpoint, device="cpu", dtype=dtype)
    assert str(half.dtype).endswith(str(dtype).removeprefix("torch."))
    codes = half.encode([SPEECH, FOLDER / "austen-0930.wav"])
    assert [len(item) for item in codes] == [150, 165]
    # The same checkpoint, whatever dtype it runs in.
    assert codes[0].codec == Codec.from_pretrained(checkpoint).identity
    audio = half.decode(codes)
    assert audio[0].samples.dtype == np.float32
    assert [item.num_samples for item in audio] == [47840, 52640]


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
@pytest.mark.parametrize("pack", [True, False])
def test_a_codec_brought_into_another_dtype_is_the_one_that_was_loaded_so(
    checkpoint: Path, dtype: str | torch.dtype, pack: bool
) -> None:
    loaded = Codec.from_pretrained(checkpoint, device="cpu", dtype=dtype, pack=pack)
    moved = Codec.from_pretrained(checkpoint, device="cpu", pack=pack)
    assert moved.to(dtype=dtype) is moved
    assert (moved.dtype, moved.precision, moved.device) == (loaded.dtype, loaded.precision, loaded.device)
    codes = moved.encode(SPEECH)
    assert codes == loaded.encode(SPEECH)
    assert moved.decode(codes) == loaded.decode(codes)


def test_a_packed_codec_stays_packed_where_that_serves_and_a_plain_one_plain(checkpoint: Path) -> None:
    def packed(codec: Codec) -> int:
        return sum(getattr(module, "is_packed", False) for module in codec.model.modules())

    codec, plain = (Codec.from_pretrained(checkpoint, device="cpu", pack=pack) for pack in (True, False))
    before = packed(codec)
    assert packed(codec.to("cpu")) == packed(codec.to("cpu", "float32")) == before
    assert packed(codec.to(dtype="float16")) == 0
    assert packed(plain.to("cpu", "bfloat16")) == 0


def test_a_codec_keeps_its_identity_in_whatever_dtype() -> None:
    made, moved = tiny_codec(), tiny_codec()
    moved.to(dtype="bfloat16")
    assert moved.identity == made.identity
    half = Codec(Xcodec2Model(made.model.config, decoder_only=True), made.feature_extractor)
    assert half.to(dtype="bfloat16").dtype == torch.bfloat16  # it does not know its identity, and need not


def test_a_codec_goes_nowhere_that_is_not_there() -> None:
    codec = tiny_codec()
    with pytest.raises(InputError, match="device='gpu': cannot be used here"):
        codec.to("gpu")
    with pytest.raises(InputError, match="expected one of float32, bfloat16, float16, int8"):
        codec.to(dtype="int4")
    with pytest.raises(InputError, match="into int8, and out of it, only when it is loaded"):
        codec.to(dtype="int8")


@pytest.mark.parametrize("device", [None, "auto"])
def test_device_is_cuda_where_there_is_one(checkpoint: Path, device: str | None) -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert Codec.from_pretrained(checkpoint, device=device).device.type == expected


def test_what_is_unknown_or_not_there_is_an_error_that_says_so(checkpoint: Path, tmp_path: Path) -> None:
    for device in ("gpu", "cuda:99", "mps:7", 5.0):
        with pytest.raises(InputError, match=rf"device='{device}': cannot be used here \(.*give 'cpu', 'cuda'"):
            Codec.from_pretrained(checkpoint, device=device)
    for dtype in ("int4", torch.float64, None):
        with pytest.raises(InputError, match="expected one of float32, bfloat16, float16, int8"):
            Codec.from_pretrained(checkpoint, dtype=dtype)
    known = "device, dtype, max_memory, compile, pack, encoder_only"
    with pytest.raises(InputError, match=f"no argument devise; it has {known}"):
        Codec.from_pretrained(checkpoint, devise="cpu")
    with pytest.raises(CheckpointError, match="nowhere"):
        Codec.from_pretrained(tmp_path / "nowhere")


def test_built_in_model_is_found_in_the_package_or_missed_by_name(
    checkpoint: Path, codes: Codes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "BUILT_IN", {"mini": tmp_path / "mini"})
    with pytest.raises(CheckpointError, match=r"built-in model mini is not installed: .*mini lacks config\.json, prep"):
        Codec.from_pretrained()
    shutil.copytree(checkpoint, tmp_path / "mini")
    assert Codec.from_pretrained().identity.name == "mini"
    (tmp_path / "mini" / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"mini lacks model\.safetensors; reinstall xcodec, or name another model"
    ):
        Codec.from_pretrained()


def test_the_built_in_model_comes_with_the_package_and_speech_can_be_followed() -> None:
    from pystoi import stoi

    codec = Codec.from_pretrained()
    assert sum(parameter.numel() for parameter in codec.model.parameters()) <= 20_000_000
    assert (codec.frame_rate, codec.codebook_sizes, codec.identity.name) == (50.0, (65536,), "mini")
    recording = Audio.read(RECORDINGS[0])
    codes = codec.encode(recording)
    assert codes.ids.shape == (1, recording.num_samples // 320 + 1)
    again = codec.decode(codes)
    assert again.num_samples == recording.num_samples
    assert stoi(recording.samples[0], again.samples[0], 16000) > 0.8


def test_the_other_built_in_model_has_several_bandwidths_and_is_better_the_more_there_is() -> None:
    from pystoi import stoi

    codec = Codec.from_pretrained("mini-general")
    model = codec.model
    assert sum(parameter.numel() for parameter in model.parameters()) <= 20_000_000
    assert (codec.frame_rate, codec.codebook_sizes, codec.identity.name) == (50.0, (1024,) * 8, "mini-general")
    recording = Audio.read(RECORDINGS[0])
    codes = codec.encode(recording)
    again = [codec.decode(codes.at_bandwidth(rate)) for rate in codec.bandwidths]
    assert [audio.num_samples for audio in again] == [recording.num_samples] * 4
    scores = [stoi(recording.samples[0], audio.samples[0], 16000) for audio in again]
    assert scores == sorted(scores)
    assert scores[-1] > 0.93
