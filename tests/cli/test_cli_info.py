"""What xcodec info tells of models, codes and recordings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.cells import cell_len

import builders
from cli_builders import MIXED, run
from original import OriginalXCodec2
from xcodec import kernels
from xcodec.cli.info import commercial_use
from xcodec.cli.table import table
from xcodec.codec import Codec
from xcodec.codes import CodecIdentity, Codes
from xcodec.models.causal_xcodec2 import CausalXcodec2Config, CausalXcodec2Model
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor


def test_a_table_is_as_wide_as_its_texts_and_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = table([("a", "one two three four five six"), ("long", "首" * 12), ("", "")]).splitlines()
    assert {cell_len(line) for line in lines} == {29}
    assert lines[1:3] == ["│ a    │ one two three four │", "│      │ five six           │"]
    assert [line.split("│")[1].strip() for line in lines[1:-1]] == ["a", "", "long", "", ""]
    assert "".join(lines).count("首") == 12
    assert {len(line) for line in table([("a", "b")]).splitlines()} == {9}


def test_info_tells_what_a_recording_is(recordings: Path) -> None:
    result = run("info", recordings / "a.wav")
    assert result.code == 0
    for text in ("WAV, PCM_16", "44,100 Hz", "channels │ 2", "2.0 s (88,200 samples)", "352.8 kB"):
        assert text in result.out
    assert json.loads(run("info", "--json", recordings / "a.wav").out) == {
        "subject": str(recordings / "a.wav"),
        "kind": "audio",
        "format": "WAV",
        "subtype": "PCM_16",
        "sampling_rate": 44100,
        "num_channels": 2,
        "duration": 2.0,
        "num_samples": 88200,
        "num_bytes": (recordings / "a.wav").stat().st_size,
    }


def test_info_tells_what_codes_are(recordings: Path, codec: Codec, tmp_path: Path) -> None:
    codes = codec.encode(recordings / "a.wav")
    codes.save(tmp_path / "a.anything")
    result = run("info", tmp_path / "a.anything")
    assert result.code == 0
    for text in ("1 x 101", "2.0 s", "0.8 kbit/s", "from a recording at 44,100 Hz", "65,536", "tiny"):
        assert text in result.out
    told = json.loads(run("info", "--json", tmp_path / "a.anything").out)
    assert (told["kind"], told["shape"], told["bitrate"], told["frame_rate"]) == ("codes", [1, 101], 800.0, 50.0)
    assert (told["sampling_rate"], told["source_sampling_rate"], told["num_samples"]) == (16000, 44100, 32000)
    assert CodecIdentity(told["model"], told["config_hash"], told["weights_hash"]) == codec.identity


def test_info_tells_of_codes_whose_model_is_not_known(tmp_path: Path) -> None:
    Codes(np.arange(8), 50.0, 2500, 16000, 16000, (65536,)).save(tmp_path / "a.codes")
    assert "not known" in run("info", tmp_path / "a.codes").out
    assert json.loads(run("info", "--json", tmp_path / "a.codes").out)["model"] is None


def test_info_tells_what_a_model_is(model: Path, codec: Codec) -> None:
    result = run("info", model)
    assert (result.code, result.err) == (0, "")
    for text in ("semantic_encoder", "acoustic_decoder", "16,000 Hz", "50 per second", "0.8 kbit/s", "not known"):
        assert text in result.out
    told = json.loads(run("info", "--json", model).out)
    parameters = sum(parameter.numel() for parameter in codec.model.parameters())
    assert (told["kind"], told["model_type"]) == ("model", "xcodec2")
    assert told["num_parameters"] == sum(told["parameters"].values()) == parameters
    assert told["weights_hash"] == codec.identity.weights_hash
    assert told["licence"] is None
    assert told["kernel"] in kernels.variants()


def test_info_tells_at_which_rate_a_model_writes(model: Path, tmp_path: Path) -> None:
    assert json.loads(run("info", "--json", model).out)["output_sampling_rate"] == 16_000
    assert "writes" not in run("info", model).out
    builders.tiny_model(decoder_hop_length=480).save_pretrained(tmp_path)
    Xcodec2FeatureExtractor().save_pretrained(tmp_path)
    assert "16,000 Hz, mono; writes 24,000 Hz" in run("info", tmp_path).out


def test_info_tells_a_decoder_alone_and_how_far_a_decoder_looks_ahead(model: Path, tmp_path: Path) -> None:
    sizes = {"decoder_hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    CausalXcodec2Model(CausalXcodec2Config(has_encoder=False, **sizes)).save_pretrained(tmp_path / "alone")
    shown = run("info", tmp_path / "alone").out
    for text in ("none: it decodes", "looks ahead", "4 codes"):
        assert text in shown
    told = json.loads(run("info", "--json", model).out)
    assert (told["has_encoder"], told["lookahead"]) == (True, None)


def test_info_reads_the_licence_off_the_model_card(tmp_path: Path) -> None:
    folder = builders.save_tiny(tmp_path / "tiny", seed=0)
    (folder / "README.md").write_text(
        "---\nlicense: cc0-1.0\ntags: [speech]\n---\n\n# Tiny\n\nlicense: not this line\n"
    )
    assert json.loads(run("info", "--json", folder).out)["licence"] == "cc0-1.0"
    assert "cc0-1.0: commercial use" in run("info", folder).out


@pytest.mark.parametrize(
    ("licence", "use"),
    [
        ("CC-BY-NC-4.0", ": no commercial use"),
        ("cc-by-4.0", ": commercial use with attribution"),
        ("Apache-2.0", ": commercial use"),
        ("Boson Higgs Audio 2 Community License", ": commercial use up to 100,000 annual users"),
        ("other", ""),
    ],
)
def test_info_tells_at_a_glance_what_may_be_used_commercially(licence: str, use: str) -> None:
    assert commercial_use(licence) == use


def test_info_tells_whose_codes_a_model_decodes(model: Path, tmp_path: Path) -> None:
    assert json.loads(run("info", "--json", model).out)["decodes"] is None
    maker = {"name": "the-maker", "config_hash": "c" * 64, "weights_hash": "w" * 64}
    builders.tiny_model(decodes=maker).save_pretrained(tmp_path)
    assert json.loads(run("info", "--json", tmp_path).out)["decodes"] == maker
    assert "the codes of the-maker" in run("info", tmp_path).out


def test_info_tells_of_several_things_and_of_those_that_are_not_there(recordings: Path) -> None:
    result = run("info", "--json", recordings / "a.wav", "gone.wav", "gone.codes", recordings / "x/b.ogg")
    assert result.code == 1
    assert [json.loads(line)["format"] for line in result.out.splitlines()] == ["WAV", "OGG"]
    assert result.err == "error: gone.wav: no such file\nerror: gone.codes: no such file\n"


def test_info_finds_what_a_folder_or_a_pattern_holds(recordings: Path, model: Path, codec: Codec) -> None:
    result = run("info", "--json", recordings)
    assert (result.code, result.err) == (0, "")
    assert [json.loads(line)["subject"] for line in result.out.splitlines()] == [str(recordings / x) for x in MIXED]

    result = run("info", "--json", recordings / "*.[fw]*", model.parent / "t*")
    assert (result.code, result.err) == (0, "")
    kinds = [(told["subject"], told["kind"]) for told in map(json.loads, result.out.splitlines())]
    assert kinds == [
        (str(recordings / "a.flac"), "audio"),
        (str(recordings / "a.wav"), "audio"),
        (str(model), "model"),  # a folder with config.json
    ]


def test_info_looks_into_folders_for_codes_too(tmp_path: Path) -> None:
    codes = Codes(np.arange(8), 50.0, 2500, 16000, 16000, (65536,))
    (tmp_path / "x").mkdir()
    codes.save(tmp_path / "x" / "a.codes")
    codes.save(tmp_path / "x" / "b.other")
    for subject in (tmp_path, tmp_path / "*", tmp_path / "**/*.codes"):
        assert json.loads(run("info", "--json", subject).out)["subject"] == str(tmp_path / "x" / "a.codes")
    codes.save(tmp_path / "c.safetensors")
    assert json.loads(run("info", "--json", tmp_path / "c.safetensors").out)["kind"] == "codes"


def test_info_says_where_there_is_nothing_to_tell(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("info", tmp_path / "empty", tmp_path / "*.codes")
    assert result.code == 1
    assert result.err == (
        f"error: {tmp_path}/empty: holds neither config.json, nor recordings or .codes files\n"
        f"error: {tmp_path}/*.codes: no file matches this pattern\n"
    )


def test_info_tells_of_a_checkpoint_in_its_authors_layout(tmp_path: Path) -> None:
    with torch.inference_mode(False):
        torch.manual_seed(0)
        original = OriginalXCodec2(hidden=128, depth=1, heads=2, semantic_layers=16)
        (tmp_path / "run").mkdir()
        torch.save({"state_dict": original.state_dict()}, tmp_path / "run/epoch=5.ckpt")
    told = [
        json.loads(run("info", "--json", subject).out) for subject in (tmp_path / "run/epoch=5.ckpt", tmp_path / "run")
    ]
    assert [(each["kind"], each["model_type"]) for each in told] == [("model", "xcodec2")] * 2
    assert told[0]["weights_hash"] == told[1]["weights_hash"]


def test_info_points_the_file_of_a_checkpoint_to_its_folder(model: Path, tmp_path: Path) -> None:
    result = run("info", model / "model.safetensors")
    assert result.err == (
        f"error: {model}/model.safetensors: is a file of a checkpoint; give its folder: xcodec info {model}\n"
    )
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    for subject in (tmp_path, tmp_path / "model.safetensors"):
        assert "config.json" in run("info", subject).err
