"""Codec, Codes and the commands with X-Codec: bandwidths, music and sound, and streams that are lowered later."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import builders
from builders import speech
from xcodec import Audio, Codec, Codes, CodesError, InputError, XcodecFeatureExtractor
from xcodec.cli.app import app
from xcodec_builders import prepare_xcodec, tiny_xcodec

SPEECH = builders.RECORDINGS[1]  # austen-0880.wav: 16 kHz, mono, 47,840 samples
CODEBOOKS = {0.5: 1, 1: 2, 1.5: 3, 2: 4, 4: 8}


def mixture(seconds: float = 2.0, rate: int = 44100) -> Audio:
    """Stereo at 44.1 kHz: tones, noise, and two voices, one of them backwards; loud enough to clip."""
    time = np.arange(int(seconds * rate)) / rate
    voices = [Audio(wave, 16000).resample(rate).samples[0] for wave in (speech(seconds), speech(seconds)[::-1].copy())]
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6, 5000.0))
    noise = np.random.default_rng(0).standard_normal(len(time))
    left = 3 * voices[0][: len(time)] + 0.3 * chord
    right = 3 * voices[1][: len(time)] + 0.2 * noise
    samples = 1.5 * np.stack([left, right])
    assert np.abs(samples).max() > 1.5
    return Audio(samples.clip(-1, 1).astype(np.float32), rate)


@pytest.fixture(scope="module")
def codec() -> Codec:
    with torch.inference_mode():
        return Codec(tiny_xcodec(), XcodecFeatureExtractor())


@pytest.fixture(scope="module")
def folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-xcodec"
    codec.model.save_pretrained(path)
    codec.feature_extractor.save_pretrained(path)
    return path


def test_a_codec_says_what_it_is(codec: Codec) -> None:
    assert (codec.sampling_rate, codec.frame_rate, codec.codebook_sizes) == (16000, 50.0, (1024,) * 8)
    assert codec.bandwidths == (0.5, 1.0, 1.5, 2.0, 4.0)
    assert "16000 Hz, 50 codes/s of (1024, 1024, 1024, " in repr(codec)


@pytest.mark.parametrize(("bandwidth", "num_codebooks"), CODEBOOKS.items())
def test_a_recording_becomes_as_many_codes_as_its_bandwidth_takes(codec: Codec, bandwidth: float, num_codebooks: int):
    codes = codec.encode(SPEECH, bandwidth=bandwidth)
    assert codes.ids.shape == (num_codebooks, 150)
    assert codes.codebook_sizes == (1024,) * num_codebooks
    assert codes.bitrate == 1000 * bandwidth
    assert (codes.num_samples, codes.frame_rate, codes.codec) == (47840, 50.0, codec.identity)
    assert codec.decode(codes).num_samples == 47840
    expected = codec.model.encode(**prepare_xcodec(Audio.read(SPEECH).samples[0]), bandwidth=bandwidth).audio_codes
    np.testing.assert_array_equal(codes.ids, expected[0].numpy())


def test_lowering_a_stream_is_encoding_at_the_lower_bandwidth(codec: Codec) -> None:
    whole = codec.encode(SPEECH)
    assert whole == codec.encode(SPEECH, bandwidth=4)
    for bandwidth in CODEBOOKS:
        assert whole.at_bandwidth(bandwidth) == codec.encode(SPEECH, bandwidth=bandwidth)
    assert whole.at_bandwidth(4.0) == whole
    assert len(whole.at_bandwidth(3.0).ids) == 6, "any number of codebooks decodes"
    assert codec.decode(whole.at_bandwidth(3.0)).num_samples == 47840
    assert not np.array_equal(codec.decode(whole.at_bandwidth(0.5)).samples, codec.decode(whole).samples)
    assert codec.reconstruct(SPEECH, bandwidth=1.5) == codec.decode(whole.at_bandwidth(1.5))


@pytest.mark.parametrize("bandwidth", [0.0, 0.25, 1.7, 8.0])
def test_a_bandwidth_that_is_no_number_of_codebooks_is_an_error(codec: Codec, bandwidth: float) -> None:
    codes = codec.encode(SPEECH)
    with pytest.raises(CodesError, match=r"these codes have 0\.5, 1, 1\.5, 2, .*4 kbit/s, by taking the first 1 to 8"):
        codes.at_bandwidth(bandwidth)
    with pytest.raises(CodesError, match=r"these codes have 0\.5 kbit/s, and one codebook"):
        codes.at_bandwidth(0.5).at_bandwidth(1)
    with pytest.raises(InputError, match=rf"bandwidth={bandwidth}: XcodecModel has 0\.5, 1, 1\.5, 2, 4 kbit/s"):
        codec.encode(SPEECH, bandwidth=bandwidth)


def test_a_codec_of_one_bandwidth_takes_only_that(tiny) -> None:
    xcodec2 = Codec(tiny, builders.Xcodec2FeatureExtractor())
    assert xcodec2.bandwidths == (0.8,)
    assert xcodec2.encode(SPEECH, bandwidth=0.8) == xcodec2.encode(SPEECH)
    assert xcodec2.encode(SPEECH).at_bandwidth(0.8) == xcodec2.encode(SPEECH)
    with pytest.raises(InputError, match=r"bandwidth=2: Xcodec2Model has 0\.8 kbit/s"):
        xcodec2.encode(SPEECH, bandwidth=2)


def test_a_list_of_several_bandwidths_is_decoded_in_order(codec: Codec) -> None:
    codes = [
        codec.encode(Audio(speech(samples=n), 16000), bandwidth=bandwidth)
        for n, bandwidth in [(16000, 2), (1, 4), (32000, 0.5), (320, 2), (321, 4)]
    ]
    for batch_seconds in (0.1, 60.0):
        together = codec.decode(codes, batch_seconds=batch_seconds)
        assert [audio.num_samples for audio in together] == [16000, 1, 32000, 320, 321]
        for audio, item in zip(together, codes, strict=True):
            np.testing.assert_allclose(audio.samples, codec.decode(item).samples, atol=1e-4)


def test_a_list_of_recordings_gives_each_its_own_codes(codec: Codec) -> None:
    recordings = [Audio(speech(samples=n), 16000) for n in (1, 16000, 319, 48000)] + [mixture()]
    together = codec.encode(recordings, bandwidth=2)
    assert [codes.ids.shape for codes in together] == [(4, 1), (4, 50), (4, 1), (4, 150), (4, 100)]
    assert together == [codec.encode(recording, bandwidth=2) for recording in recordings]


def test_music_and_sound_in_stereo_pass_and_clipping_does_not_matter(codec: Codec, tmp_path: Path) -> None:
    loud = mixture()
    assert (loud.num_channels, loud.sampling_rate) == (2, 44100)
    assert (np.abs(loud.samples) == 1).mean() > 0.01, "it is clipped"
    loud.save(tmp_path / "music.flac")
    codes = codec.encode(tmp_path / "music.flac", bandwidth=4)
    assert codes.ids.shape == (8, 100)
    assert (codes.source_sampling_rate, codes.num_samples) == (44100, 32000)
    assert all(len(np.unique(row)) > 30 for row in codes.ids)
    np.testing.assert_array_equal(
        codes.ids, codec.encode(Audio.read(tmp_path / "music.flac").mono().resample(16000)).ids
    )
    audio = codec.decode(codes)
    assert (audio.num_channels, audio.num_samples) == (1, 32000)
    assert np.isfinite(audio.samples).all()
    beyond = codec.encode(Audio(2.0 * loud.samples, 44100))  # floating point may exceed full scale
    assert beyond.ids.shape == (8, 100)


def test_codes_of_some_codebooks_survive_their_file(codec: Codec, tmp_path: Path) -> None:
    codes = codec.encode(SPEECH, bandwidth=1.5)
    codes.save(tmp_path / "a.codes")
    assert Codes.load(tmp_path / "a.codes") == codes
    assert codec.decode(tmp_path / "a.codes") == codec.decode(codes)


def test_codes_that_do_not_fit_are_refused(codec: Codec) -> None:
    for shape, sizes in [((9, 5), (1024,) * 9), ((2, 5), (1024, 512)), ((1, 5), (65536,))]:
        with pytest.raises(CodesError, match=r"this model decodes .*load the model that made them"):
            codec.decode(Codes(np.zeros(shape, int), 50.0, 1600, 16000, 16000, sizes))


def test_a_checkpoint_gives_the_same_codec_back(codec: Codec, folder: Path) -> None:
    loaded = Codec.from_pretrained(folder)
    assert loaded.encode(SPEECH).ids.tolist() == codec.encode(SPEECH).ids.tolist()
    assert loaded.identity.same_model(codec.identity)
    half = Codec.from_pretrained(folder, dtype="bfloat16")
    assert half.decode(half.encode([SPEECH, mixture()], bandwidth=1))[1].num_samples == 32000


# The commands


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.mark.parametrize(("bandwidth", "num_codebooks"), CODEBOOKS.items())
def test_encoding_at_a_bandwidth(folder: Path, tmp_path: Path, bandwidth: float, num_codebooks: int) -> None:
    mixture().save(tmp_path / "music.wav")
    code, out, err = run("encode", tmp_path / "music.wav", "-o", tmp_path, "-m", folder, "--bandwidth", bandwidth)
    assert (code, err) == (0, ""), err
    codes = Codes.load(tmp_path / "music.wav.codes")
    assert codes == Codec.from_pretrained(folder).encode(tmp_path / "music.wav", bandwidth=bandwidth)
    assert codes.ids.shape == (num_codebooks, 100)
    code, out, _ = run("info", "--json", tmp_path / "music.wav.codes")
    assert code == 0
    assert json.loads(out)["bitrate"] == 1000 * bandwidth


def test_decoding_at_a_lower_bandwidth(folder: Path, tmp_path: Path) -> None:
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "-m", folder)[0] == 0
    assert run("decode", tmp_path / "a.codes", "-o", tmp_path / "low.wav", "-m", folder, "-b", 1)[0] == 0
    assert run("reconstruct", SPEECH, "-o", tmp_path / "again.wav", "-m", folder, "-b", 1)[0] == 0
    low, again = Audio.read(tmp_path / "low.wav"), Audio.read(tmp_path / "again.wav")
    assert low == again
    assert run("decode", tmp_path / "a.codes", "-o", tmp_path / "high.wav", "-m", folder)[0] == 0
    assert low != Audio.read(tmp_path / "high.wav")


def test_bandwidths_that_there_are_not_are_told(folder: Path, tmp_path: Path) -> None:
    code, _, err = run("encode", SPEECH, "-o", tmp_path, "-m", folder, "-b", 3)
    assert code == 1
    assert "--bandwidth 3: tiny-xcodec has 0.5, 1, 1.5, 2, 4 kbit/s" in err
    run("encode", SPEECH, "-o", tmp_path, "-m", folder, "-b", 1)
    code, _, err = run("decode", tmp_path, "-o", tmp_path / "out", "-m", folder, "-b", 2)
    assert code == 1
    assert "these codes have 0.5, 1 kbit/s" in err
    assert "austen-0880.wav.codes" in err


def test_info_tells_the_bandwidths_of_a_model(folder: Path) -> None:
    code, out, _ = run("info", folder)
    assert code == 0
    assert "0.5, 1, 1.5, 2, 4 kbit/s" in out
    assert "8, of 1,024 codes each" in out
    told = json.loads(run("info", "--json", folder)[1])
    assert (told["model_type"], told["bandwidths"]) == ("xcodec", [0.5, 1, 1.5, 2, 4])
    assert told["codebook_sizes"] == [1024] * 8
    assert {"semantic_model", "acoustic_encoder", "acoustic_decoder", "fc2"} <= told["parameters"].keys()
