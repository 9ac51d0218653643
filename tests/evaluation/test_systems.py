"""Codecs of transformers, and any program, as systems of an evaluation."""

import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import builders
from evaluation_builders import benchmark
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.codec import Codec
from xcodec.device import Precision
from xcodec.errors import CheckpointError, InputError
from xcodec.evaluation import opinion
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems import Model
from xcodec.evaluation.systems.command import Command
from xcodec.evaluation.systems.operations import macs_of
from xcodec.evaluation.systems.system import ReconstructionError
from xcodec.evaluation.systems.transformers_codec import TransformersCodec, TransformersModel, is_of_transformers
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.probing.coder import coder_of
from xcodec_builders import tiny_xcodec

CLIP = Clip("clip.wav", Path("clip.wav"))
CPU = torch.device("cpu")
KINDS = ("encodec", "encodec-stereo", "dac", "mimi")
SIZES = {"encodec": 1024, "dac": 1024, "mimi": 2048}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint of each class, in the folder of its name."""
    root = tmp_path_factory.mktemp("codecs")
    random_codecs = benchmark("random_codecs.py")
    for name in KINDS:
        random_codecs.save_random_codec(name, root / name, Audio(builders.speech(6.0), 16_000))
    return root


@pytest.fixture(scope="module")
def loaded(folder: Path) -> dict[str, TransformersModel]:
    return {name: TransformersModel.load(str(folder / name), CPU) for name in KINDS}


@pytest.mark.parametrize(
    ("name", "rate", "codebooks", "frame_rate", "sampling_rate"),
    [
        ("encodec", 1.5, 2, 75, 24_000),
        ("encodec", None, 8, 75, 24_000),
        ("dac", 2, 2, 50, 16_000),
        ("dac", None, 12, 50, 16_000),
        ("mimi", 1, 1, 12.5, 24_000),
        ("mimi", 5, 5, 12.5, 24_000),
        ("mimi", None, 8, 12.5, 24_000),
    ],
)
def test_a_codec_of_transformers_gives_back_a_clip_and_its_bits_are_those_of_its_codes(
    loaded: dict[str, TransformersModel],
    name: str,
    rate: float | None,
    codebooks: int,
    frame_rate: float,
    sampling_rate: int,
) -> None:
    system = TransformersCodec(loaded[name], name, rate)
    result = system.reconstruct(CLIP, Audio(builders.speech(2.0), 16_000).resample(44_100))
    assert result.codes is not None
    assert result.codes.ids.shape == (codebooks, 2 * frame_rate)
    assert result.codes.codebook_sizes == (SIZES[name],) * codebooks
    assert result.bits == 2 * frame_rate * codebooks * math.log2(SIZES[name])
    assert result.audio.sampling_rate == sampling_rate
    # Of an odd stride DAC gives a few samples less.
    assert 2 * sampling_rate - 10 * (name == "dac") <= result.audio.num_samples <= 2 * sampling_rate
    assert all(len(np.unique(row)) > row.size / 3 for row in result.codes.ids), "one code should not stand for all"


def test_what_comes_back_is_what_the_model_itself_makes_of_its_feature_extractor_s_input(
    loaded: dict[str, TransformersModel],
) -> None:
    recording = Audio(builders.speech(1.0), 16_000)
    mine = TransformersCodec(loaded["dac"], "dac").reconstruct(CLIP, recording).audio
    inputs = loaded["dac"].extractor(recording.samples[0], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = loaded["dac"].model(inputs["input_values"]).audio_values
    assert np.allclose(mine.samples, theirs.numpy()[:, :16_000], atol=1e-6)


def test_encodec_s_chunks_are_counted_without_their_padding_and_with_their_scales(
    loaded: dict[str, TransformersModel],
) -> None:
    """Two and a half seconds in chunks of one, every 0.99: three as its extractor pads them, and their overlap."""
    result = TransformersCodec(loaded["encodec-stereo"], "x").reconstruct(CLIP, Audio(builders.speech(2.5), 16_000))
    assert result.codes is not None
    assert result.codes.ids.shape == (2, 3 * 150 + 2)
    assert result.bits == 2 * 452 * 10 + 4 * 32
    assert result.audio.samples.shape == (2, 120_000)


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("encodec", 5, r"encodec has 1.5, 3, 6 kbit/s"),
        ("dac", 13, r"asked for a number of codebooks, from 1 to 12, not for kbit/s; got 13; write .*dac@12"),
        ("mimi", 1.5, r"a number of codebooks, from 1 to 8, not for kbit/s; got 1.5"),
        ("mimi", 0, r"got 0"),
    ],
)
def test_a_rate_that_a_codec_does_not_have_is_refused_with_those_it_has(
    loaded: dict[str, TransformersModel], name: str, rate: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TransformersCodec(loaded[name], name, rate)


def test_a_clip_that_a_model_cannot_take_is_an_error_with_what_it_said(loaded: dict[str, TransformersModel]) -> None:
    """A stereo codec whose feature extractor gives mono."""
    mismatched = replace(loaded["encodec-stereo"], extractor=loaded["encodec"].extractor)
    with pytest.raises(ReconstructionError, match=r"EncodecModel says: .*channels"):
        TransformersCodec(mismatched, "encodec").reconstruct(CLIP, Audio(builders.speech(0.5), 24_000))


def test_only_a_codec_that_has_all_its_weights_is_loaded(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "empty.safetensors")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / "dac" / name).read_bytes())
    tensors = load_file(folder / "dac" / "model.safetensors")
    tensors.pop("encoder.conv1.weight")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 of its weights, such as encoder.conv1.weight"):
        TransformersModel.load(str(tmp_path), CPU)
    with pytest.raises(InputError, match="int8 is for the codecs of this package"):
        TransformersModel.load(str(folder / "dac"), CPU, Precision.INT8)


def test_whose_a_checkpoint_is_its_configuration_says(folder: Path, tmp_path: Path) -> None:
    builders.tiny_model().save_pretrained(tmp_path / "xcodec2")
    assert [is_of_transformers(str(folder / name)) for name in KINDS] == [True] * 4
    assert not is_of_transformers(str(tmp_path / "xcodec2"))
    assert not is_of_transformers(str(tmp_path))


def test_operations_are_those_of_its_convolutions_whoever_computes_them(loaded: dict[str, TransformersModel]) -> None:
    """By hand: 2 s of a linear map, 100 in and 30 out; and the same model of ours with and without packed weights."""
    layer = torch.nn.Linear(100, 30)
    assert macs_of(lambda: layer(torch.zeros(7, 100)), layer) == 7 * 100 * 30
    packed, plain = (Model(Codec.from_pretrained(pack=pack), "mini").count_macs() for pack in (True, False))
    assert packed == plain
    assert packed is not None
    assert 0.9e9 < packed < 1.2e9
    assert Model(Codec(tiny_xcodec(), XcodecFeatureExtractor()), "tiny").count_macs()  # whose weights are normed
    macs = [TransformersCodec(loaded["mimi"], "mimi", count).count_macs() for count in (1, 8)]
    assert 0 < macs[0] < macs[1]


SLEEP = "import time; time.sleep(60)"
HALVE = (
    "import sys, numpy, soundfile; x, r = soundfile.read(sys.argv[1]); soundfile.write(sys.argv[2], x / 2, r);"
    "open(sys.argv[3], 'wb').write(bytes(100))"
)


def python(code: str, *arguments: str, timeout: float = 60.0) -> Command:
    return Command(shlex.join([sys.executable, "-c", code, *arguments]), timeout)


def test_a_command_reads_a_file_and_writes_another_and_its_bitstream_is_counted() -> None:
    recording = Audio(builders.speech(0.5), 16_000)
    result = python(HALVE, "{in}", "{out}", "{bitstream}").reconstruct(CLIP, recording)
    assert np.allclose(result.audio.samples, recording.samples / 2, atol=1e-4)
    assert result.bits == 800
    assert python(HALVE, "{in}", "{out}", "/dev/null").reconstruct(CLIP, recording).bits is None


def test_a_shell_s_pipeline_is_a_command_too() -> None:
    command = Command("sh -c 'cp {in} {bitstream} && cp {bitstream} {out}'", 60.0)
    recording = Audio(builders.speech(0.1), 16_000)
    assert command.reconstruct(CLIP, recording).bits == 8 * (44 + 2 * 1600)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('first', file=sys.stderr); sys.exit('no such model')", "exit code 1: no such model"),
        ("pass", r"ended well, and wrote no \{out\}"),
        (SLEEP, "was ended after 1 s"),
    ],
)
def test_a_command_that_fails_says_why(code: str, message: str) -> None:
    with pytest.raises(ReconstructionError, match=message):
        python(code, "{in}", "{out}", timeout=1.0 if code == SLEEP else 60.0).reconstruct(
            CLIP, Audio(builders.speech(0.1), 16_000)
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cp {in}", r"expected the places of the file to read and of the file to write; write them as \{in\} and"),
        ("cp {in} {out} {model}", r"\{model\} is not known; expected \{in\}, \{out\} and \{bitstream\}"),
        ("no-such-codec {in} {out}", "there is no program no-such-codec"),
        ("cp '{in} {out}", "cannot be split into words: no closing quotation"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Command(text, 60.0)


def test_all_kinds_are_in_one_table(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="needs pip install 'xcodec[eval]'")
    monkeypatch.setattr(opinion, "find_spec", lambda name: None)  # DNSMOS takes long, and so does ViSQOL
    monkeypatch.setitem(sys.modules, "visqol.api", None)
    builders.save_tiny(tmp_path / "tiny")
    (tmp_path / "recordings").mkdir()
    for name in "ab":
        Audio(builders.speech(1.0), 16_000).save(tmp_path / "recordings" / f"{name}.wav")
    models = [str(tmp_path / "tiny"), *(f"{folder}/{name}" for name in ("encodec@1.5", "dac@2", "mimi", "mimi@3"))]
    command = f"{shlex.quote(sys.executable)} -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' {{in}} {{out}}"
    report = tmp_path / "report.json"
    arguments = ["evaluate", str(tmp_path / "recordings"), "--command", command, "--asr", "none", "--json", str(report)]
    done = CliRunner().invoke(app, arguments + [word for model in models for word in ("-m", model)])
    assert done.exit_code == 0, done.output
    systems = {system["name"]: system for system in json.loads(report.read_text())["systems"]}
    assert list(systems) == [*models, command]
    rates = [(systems[name]["token_rate"], systems[name]["bitrate"]) for name in models[1:]]
    assert rates == [(150, 1500), (100, 1000), (104, 1144), (39, 429)]  # of Mimi 13 frames, for the last is not full
    for name in models:
        assert systems[name]["parameters"] > 10_000
        assert systems[name]["macs_per_second"] > 1e6
    assert systems[command]["parameters"] is None
    assert all(system["real_time_factor"] > 0 for system in systems.values())
    assert all(heading in done.output for heading in ("tokens/s", "parameters [M]", "GMAC/s", "real-time factor"))


@pytest.mark.parametrize("name", ["encodec", "dac", "mimi"])
def test_a_codec_of_transformers_is_probed_by_the_codes_and_audio_that_it_gives_as_a_system(
    folder: Path, name: str
) -> None:
    system = TransformersCodec(TransformersModel.load(str(folder / name), CPU), name)
    coder = coder_of(system)
    samples = builders.speech(1.0)
    resampled = Audio(samples, 16_000).resample(coder.sampling_rate).samples[0]
    coding = coder.encode_with_latents(resampled)
    expected = system.reconstruct(CLIP, Audio(samples, 16_000))
    assert expected.codes is not None
    assert np.array_equal(coding.ids, expected.codes.ids)
    assert coder.codebook_sizes == expected.codes.codebook_sizes
    decoded, given = coder.decode(coding.ids, coding), expected.audio.samples[0]
    assert len(decoded) == len(resampled)  # of DAC a few samples fewer come back, and silence is in their place
    assert np.array_equal(decoded[: len(given)], given)
    assert not decoded[len(given) :].any()
    assert coding.latents is not None
    assert len(coding.latents) == coding.ids.shape[1]
    assert coder.frame_rate == pytest.approx(coding.ids.shape[1], abs=1)


def test_a_codec_that_cuts_recordings_into_chunks_is_not_probed(folder: Path) -> None:
    system = TransformersCodec(TransformersModel.load(str(folder / "encodec-stereo"), CPU), "stereo")
    with pytest.raises(InputError, match="encodes stereo, or in chunks"):
        coder_of(system)
