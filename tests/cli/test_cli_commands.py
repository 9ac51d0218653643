"""What each command does: real recordings, and a tiny model."""

import json
import re
from pathlib import Path

import numpy as np

from cli_builders import MIXED, SPEECH, files_in, run
from original import TINY_OPTIONS, random_original, write_original_folder
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.codes import Codes


def test_a_folder_of_mixed_formats_is_encoded_and_keeps_its_structure(
    recordings: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    result = run("encode", recordings, "-o", tmp_path / "codes", "--model", model)
    assert result.code == 0
    assert result.err == ""
    assert re.fullmatch(
        r"Encoded 5 of 5 files: 7\.\d s of audio in [\d.]+ s, [\d.]+ audio-seconds per second\n", result.out
    )
    assert files_in(tmp_path / "codes") == [f"{name}.codes" for name in MIXED]
    for name in MIXED:
        codes = Codes.load(tmp_path / "codes" / f"{name}.codes")
        assert codes == codec.encode(recordings / name)
        assert codes.source_sampling_rate == Audio.read(recordings / name).sampling_rate


def test_decoding_gives_back_every_recording_at_its_true_length(
    recordings: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    run("encode", recordings, "-o", tmp_path / "codes", "-m", model)
    result = run("decode", tmp_path / "codes", "-o", tmp_path / "out", "-m", model)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Decoded 5 of 5 files: 7.")
    outputs = ["a.flac.wav", "a.wav", "x/b.ogg.wav", "x/deep/c.mp3.wav", "x/deep/d.opus.wav"]
    assert files_in(tmp_path / "out") == outputs
    for name, output in zip(MIXED, outputs, strict=True):
        audio = Audio.read(tmp_path / "out" / output)
        assert audio.sampling_rate == 16000
        assert audio.num_samples == Audio.read(recordings / name).resample(16000).num_samples
        expected = codec.decode(codec.encode(recordings / name))
        assert np.abs(audio.samples - expected.samples.clip(-1, 1)).max() < 1e-3  # 16 bits, and batches


def test_reconstructing_is_encoding_and_decoding(recordings: Path, model: Path, tmp_path: Path) -> None:
    pattern = recordings / "**/*.[fm]*"  # a.flac, x/deep/c.mp3
    assert run("encode", pattern, "-o", tmp_path / "codes", "-m", model).code == 0
    assert run("decode", tmp_path / "codes", "-o", tmp_path / "two", "-m", model).code == 0
    result = run("reconstruct", pattern, "-o", tmp_path / "one", "-m", model)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("Reconstructed 2 of 2 files: 4.0 s of audio in ")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two") == ["a.flac.wav", "x/deep/c.mp3.wav"]
    for name in files_in(tmp_path / "one"):
        assert Audio.read(tmp_path / "one" / name) == Audio.read(tmp_path / "two" / name)


def test_one_input_may_name_its_output(model: Path, tmp_path: Path) -> None:
    codes, audio = tmp_path / "new" / "hello.safetensors", tmp_path / "hello.flac"
    assert run("encode", SPEECH, "-o", codes, "-m", model).code == 0
    assert len(Codes.load(codes)) == 150
    assert run("decode", codes, "-o", audio, "-m", model).code == 0  # codes under any suffix, FLAC by its name
    assert Audio.read(audio).num_samples == 47840
    assert audio.read_bytes()[:4] == b"fLaC"


def test_audio_is_written_in_the_format_asked_for(model: Path, tmp_path: Path) -> None:
    result = run("reconstruct", SPEECH, "-o", tmp_path / "out", "--format", "ogg", "-m", model)
    assert result.code == 0
    assert files_in(tmp_path / "out") == [f"{SPEECH.name}.ogg"]
    assert (tmp_path / "out" / f"{SPEECH.name}.ogg").read_bytes()[:4] == b"OggS"


def test_codes_do_not_depend_on_the_batch(recordings: Path, model: Path, tmp_path: Path) -> None:
    run("encode", recordings, "-o", tmp_path / "large", "-m", model)
    run("encode", recordings, "-o", tmp_path / "small", "-m", model, "--batch-seconds", 1)
    for name in files_in(tmp_path / "large"):
        assert Codes.load(tmp_path / "large" / name) == Codes.load(tmp_path / "small" / name)


def test_half_precision_is_a_matter_of_an_option(model: Path, tmp_path: Path) -> None:
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "-m", model, "--dtype", "bfloat16").code == 0
    assert run("encode", SPEECH, "-o", tmp_path / "b.codes", "-m", model).code == 0
    half, full = Codes.load(tmp_path / "a.codes"), Codes.load(tmp_path / "b.codes")
    assert half.codec == full.codec
    assert 0 < (half.ids != full.ids).mean() < 1  # so the option had an effect, and not too much of one


def test_an_original_checkpoint_is_converted_and_then_encodes(tmp_path: Path) -> None:
    source = write_original_folder(random_original().state_dict(), tmp_path / "original")
    layers, heads = TINY_OPTIONS["num_semantic_layers"], TINY_OPTIONS["num_attention_heads"]
    sizes = ("--num-semantic-layers", layers, "--num-attention-heads", heads)
    result = run("convert", source, tmp_path / "new", *sizes)
    assert (result.code, result.err) == (0, "")
    kept, folded, dropped = (int(re.search(rf"{word} +(\d+)", result.out)[1]) for word in ("kept", "folded", "dropped"))
    assert min(kept, folded, dropped) > 0
    assert "layer" in result.out[result.out.index("dropped") :]  # and why: layers that are never used, for one
    assert f"written to {tmp_path / 'new'}" in result.out
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "-m", tmp_path / "new").code == 0
    assert len(Codes.load(tmp_path / "a.codes")) == 150

    again = run("convert", source, tmp_path / "new", *sizes)
    assert again.code == 1
    assert "exists and holds config.json" in again.err
    assert run("convert", source, tmp_path / "new", *sizes, "--overwrite").code == 0


def test_long_recordings_are_cut_on_request(model, tmp_path):
    options = ("-m", model, "--max-memory", "64MiB")
    assert run("encode", SPEECH, "-o", tmp_path / "a.codes", "--segment-seconds", 1.2, *options).code == 0
    codes = Codes.load(tmp_path / "a.codes")
    assert len(codes) == 150
    assert len(codes.segment_starts) >= 3
    told = json.loads(run("info", "--json", tmp_path / "a.codes").out)
    assert told["segment_starts"] == list(codes.segment_starts)
    assert run("decode", tmp_path / "a.codes", "-o", tmp_path / "a.wav", *options).code == 0
    assert run("reconstruct", SPEECH, "-o", tmp_path / "b.wav", "--segment-seconds", 1.2, *options).code == 0
    assert run("encode", SPEECH, "-o", tmp_path / "whole.codes", *options).code == 0
    assert run("decode", tmp_path / "whole.codes", "-o", tmp_path / "c.wav", "--segment-seconds", 1, *options).code == 0
    assert Audio.read(tmp_path / "c.wav").num_samples == Audio.read(tmp_path / "b.wav").num_samples
    assert Audio.read(tmp_path / "a.wav") == Audio.read(tmp_path / "b.wav")
