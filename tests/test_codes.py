"""Codes: what they hold, how they are kept, and every way in which a file of them can be bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import CodesError

IDENTITY = CodecIdentity("HKUSTAudio/xcodec2-hf", config_hash="c0" * 32, weights_hash="1f" * 32)


def make(**changes: Any) -> Codes:
    """356 frames of one codebook, as `austen-0870.wav` at 44.1 kHz would give."""
    fields: dict[str, Any] = {
        "ids": np.arange(356) * 184,
        "frame_rate": 50.0,
        "num_samples": 113600,
        "sampling_rate": 16000,
        "source_sampling_rate": 44100,
        "codebook_sizes": (65536,),
        "codec": IDENTITY,
    }
    return Codes(**fields | changes)


def residual(**changes: Any) -> Codes:
    """Eight codebooks of 1,024 codes, as X-Codec has."""
    ids = np.random.default_rng(0).integers(0, 1024, (8, 356))
    return make(**{"ids": ids, "codebook_sizes": (1024,) * 8} | changes)


# --- in memory


def test_codes_know_their_length_duration_and_bitrate() -> None:
    codes = make()
    assert codes.ids.shape == (1, 356)
    assert codes.ids.dtype == np.int64
    assert len(codes) == 356
    assert codes.duration == 7.1
    assert codes.bitrate == 800.0
    assert residual().bitrate == 4000.0


@pytest.mark.parametrize("convert", [list, np.uint16, np.int32, torch.tensor], ids=["list", "uint16", "int32", "torch"])
def test_ids_come_in_any_integer_form(convert: Callable[[list[int]], Any]) -> None:
    codes = make(ids=convert([5, 65535, 0]), num_samples=900)
    assert codes.ids.dtype == np.int64
    assert codes.ids.tolist() == [[5, 65535, 0]]


def test_numpy_scalars_become_plain_numbers() -> None:
    codes = make(num_samples=np.int64(113600), frame_rate=np.float32(50), codebook_sizes=np.array([65536]))
    assert codes == make()
    assert type(codes.num_samples) is int
    assert type(codes.frame_rate) is float
    assert codes.codebook_sizes == (65536,)


def test_codes_are_equal_by_content() -> None:
    assert make() == make()
    assert make() != make(ids=np.arange(356))
    assert make() != make(num_samples=113599)
    assert make() != make(source_sampling_rate=16000)
    assert make() != make(codec=None)
    assert make() != "codes"


def test_a_model_is_known_by_its_hashes_not_its_name() -> None:
    renamed = CodecIdentity("/models/xcodec2", IDENTITY.config_hash, IDENTITY.weights_hash)
    assert renamed.same_model(IDENTITY)
    assert not CodecIdentity(IDENTITY.name, IDENTITY.config_hash, "2f" * 32).same_model(IDENTITY)
    assert str(IDENTITY) == "HKUSTAudio/xcodec2-hf (config c0c0c0c0c0c0, weights 1f1f1f1f1f1f)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": np.zeros((1, 2, 3), int)}, r"ids of shape \(1, 2, 3\): expected \(codebooks, frames\)"),
        ({"ids": []}, r"ids of shape \(1, 0\): expected"),
        ({"ids": [[1, 2], [3]]}, "ids are not an array"),
        ({"ids": np.zeros(356)}, "ids of type float64: expected integers"),
        ({"ids": np.full(356, 65536)}, "ids of codebook 0 go from 65536 to 65536: expected 0 to 65535"),
        ({"ids": np.arange(356) - 1}, "ids of codebook 0 go from -1 to 354: expected 0 to 65535"),
        ({"ids": np.zeros((2, 356), int)}, r"ids of 2 codebooks, but 1 codebook_sizes=\(65536,\)"),
        ({"codebook_sizes": (65536, 65536)}, "ids of 1 codebooks, but 2 codebook_sizes"),
        ({"codebook_sizes": 65536}, "codebook_sizes=65536: expected one whole number per codebook"),
        ({"codebook_sizes": ()}, "codebook_sizes is empty"),
        ({"codebook_sizes": (0,)}, "codebook_sizes=0: expected a whole number above 0"),
        ({"frame_rate": 0}, "frame_rate=0: expected a number of Hz from 0.001 to 1e\\+06"),
        ({"frame_rate": float("inf")}, "frame_rate=inf: expected a number of Hz from 0.001 to 1e\\+06"),
        ({"frame_rate": "50"}, "frame_rate='50': expected a number of Hz from 0.001 to 1e\\+06"),
        ({"num_samples": 0}, "num_samples=0: expected a whole number above 0"),
        ({"num_samples": 7.5}, "num_samples=7.5: expected a whole number above 0"),
        ({"num_samples": True}, "num_samples=True: expected a whole number above 0"),
        (
            {"num_samples": 114240},  # one less than the next frame's end may have no code: so does NeuCodec
            "num_samples=114240 does not fit: 356 frames at 50 Hz cover 114239 samples",
        ),
        ({"num_samples": 1}, "num_samples=1 does not fit: 356 frames at 50 Hz .* are needed for 113281 at least"),
        ({"num_samples": 354 * 320}, "num_samples=113280 does not fit"),
        (
            {"num_samples": 10**400},
            "num_samples=10000.*: expected a whole number above 0, and 9007199254740992 at most",
        ),
        ({"frame_rate": 1e-320}, "frame_rate=1e-320: expected a number of Hz"),
        ({"frame_rate": 10**400}, "frame_rate=1000.*: expected a number of Hz"),
        ({"sampling_rate": 10**400}, "sampling_rate=1000.*: expected a whole number above 0, and 2147483647 at most"),
        ({"codebook_sizes": (2**70,)}, "codebook_sizes=1180591620717411303424: expected a whole number"),
        ({"sampling_rate": -16000}, "sampling_rate=-16000: expected a whole number above 0"),
        ({"source_sampling_rate": 0}, "source_sampling_rate=0: expected a whole number above 0"),
        ({"codec": "xcodec2"}, "codec='xcodec2': expected a CodecIdentity or None"),
    ],
)
def test_what_is_not_codes_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CodesError, match=message):
        make(**changes)


@pytest.mark.parametrize(("num_frames", "fewest"), [(1, 1), (2, 1), (3, 321), (356, 113281)])
def test_the_last_frame_holds_sound_or_the_one_zero_of_padding(num_frames: int, fewest: int) -> None:
    ids = np.zeros(num_frames, int)
    assert make(ids=ids, num_samples=fewest).num_samples == fewest
    if fewest > 1:
        with pytest.raises(CodesError, match="does not fit"):
            make(ids=ids, num_samples=fewest - 1)


def test_what_the_caller_does_later_does_not_change_codes() -> None:
    for ids in (np.zeros((1, 356), np.int64), torch.zeros(356, dtype=torch.int64)):
        codes = make(ids=ids)
        ids[:] = 7
        assert codes.ids.max() == 0
        with pytest.raises(ValueError, match="read-only"):
            codes.ids[0, 0] = 7


def test_the_largest_codebook_that_counts_is_kept(tmp_path: Path) -> None:
    codes = make(ids=np.full(356, 2**63 - 1), codebook_sizes=(2**63,))
    codes.save(tmp_path / "huge.codes")
    assert Codes.load(tmp_path / "huge.codes") == codes


def test_second_codebook_is_checked_against_its_own_size() -> None:
    with pytest.raises(CodesError, match="ids of codebook 1 go from 9 to 9: expected 0 to 7"):
        make(ids=np.full((2, 356), 9), codebook_sizes=(16, 8))


# --- in a file


@pytest.mark.parametrize("codes", [make(), residual(), make(codec=None), make(ids=[7], num_samples=1)])
@pytest.mark.parametrize("name", ["speech.codes", "speech.safetensors", "speech"])
def test_codes_come_back_as_they_were_under_any_suffix(tmp_path: Path, codes: Codes, name: str) -> None:
    codes.save(tmp_path / name)
    assert Codes.load(tmp_path / name) == codes
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("size", "dtype"), [(256, "uint8"), (257, "uint16"), (1024, "uint16"), (65536, "uint16"), (65537, "uint32")]
)
def test_ids_take_the_smallest_type_that_holds_the_codebook(tmp_path: Path, size: int, dtype: str) -> None:
    codes = make(ids=[0, size - 1], num_samples=500, codebook_sizes=(size,))
    codes.save(tmp_path / "speech.codes")
    with safe_open(tmp_path / "speech.codes", framework="numpy") as stored:
        assert stored.get_tensor("ids").dtype == dtype
    assert Codes.load(tmp_path / "speech.codes") == codes


def test_a_file_explains_itself_to_any_safetensors_reader(tmp_path: Path) -> None:
    make().save(tmp_path / "speech.codes")
    with safe_open(tmp_path / "speech.codes", framework="numpy") as stored:
        metadata = stored.metadata()
    assert json.loads(metadata.pop("codec")) == vars(IDENTITY)
    assert metadata == {
        "format": "xcodec.codes",
        "format_version": "1",
        "frame_rate": "50.0",
        "num_samples": "113600",
        "sampling_rate": "16000",
        "source_sampling_rate": "44100",
        "codebook_sizes": "[65536]",
    }


def rewrite(path: Path, changes: dict[str, str | None], **tensors: np.ndarray) -> None:
    """Change a saved file as damage or another program would."""
    with safe_open(path, framework="numpy") as stored:
        metadata = stored.metadata() | changes
        tensors = tensors or {"ids": stored.get_tensor("ids")}
    save_file(tensors, path, {name: value for name, value in metadata.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, r"is a safetensors file, but not of codes \(its metadata says format None"),
        ({"format": "pt"}, "not of codes.*give a file that Codes.save or `xcodec encode` wrote"),
        ({"format_version": "3"}, "has format version 3, this xcodec reads up to 2; update it"),
        ({"format_version": "one"}, "is damaged: format_version 'one' is not a version number"),
        ({"format_version": None}, "is damaged: format_version '' is not a version number"),
        ({"num_samples": None}, "is damaged: its metadata is incomplete or malformed.*num_samples"),
        ({"num_samples": "many"}, "is damaged: its metadata is incomplete or malformed"),
        ({"num_samples": "-5"}, "is damaged: num_samples=-5"),
        ({"num_samples": "200000"}, "is damaged: num_samples=200000 does not fit"),
        ({"format_version": "1" * 5000}, "is damaged: format_version '1+' is not a version number"),
        ({"num_samples": "1" * 5000}, "is damaged: "),
        ({"num_samples": "[" * 100_000}, "is damaged: its metadata is incomplete or malformed"),
        ({"num_samples": "1"}, "is damaged: num_samples=1 does not fit"),
        ({"frame_rate": "1e-320"}, "is damaged: frame_rate=1e-320"),
        ({"sampling_rate": "1" * 400}, "is damaged: sampling_rate=1"),
        ({"frame_rate": "NaN"}, "is damaged: frame_rate=nan"),
        ({"codebook_sizes": "[1024]"}, "is damaged: ids of codebook 0 go from 0 to 65320: expected 0 to 1023"),
        ({"codebook_sizes": "[65536, 65536]"}, "is damaged: ids of 1 codebooks, but 2"),
        ({"codec": '{"name": "x"}'}, "is damaged: its metadata is incomplete.*config_hash"),
        ({"codec": '{"name": 1, "config_hash": 2, "weights_hash": 3}'}, "is damaged.*expected a name and two hashes"),
        ({"codec": '"xcodec2"'}, "is damaged"),
        ({"segment_starts": "[0, 100000]"}, "is damaged: segment_starts="),
        ({"segment_starts": "0"}, "is damaged: segment_starts="),
    ],
)
def test_metadata_that_lies_is_refused(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    path = tmp_path / "speech.codes"
    make().save(path)
    rewrite(path, changes)
    with pytest.raises(CodesError, match=rf"speech\.codes: .*{message}"):
        Codes.load(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"codes": np.zeros((1, 356), np.uint16)}, r"holds the tensors \['codes'\], expected only 'ids'"),
        ({"ids": np.zeros((1, 356), np.float32)}, "ids of type float32: expected integers"),
        ({"ids": np.full((1, 356), -3, np.int16)}, "ids of codebook 0 go from -3 to -3"),
        ({"ids": np.zeros((1, 356, 1), np.uint16)}, r"ids of shape \(1, 356, 1\)"),
    ],
)
def test_tensors_that_are_not_ids_are_refused(tmp_path: Path, tensors: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "speech.codes"
    make().save(path)
    rewrite(path, {}, **tensors)
    with pytest.raises(CodesError, match=f"is damaged: .*{message}"):
        Codes.load(path)


def test_checkpoint_is_not_codes(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3), "bias": np.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CodesError, match=r"model\.safetensors: is a safetensors file, but not of codes"):
        Codes.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 8, 9, 100, 500, -1])
def test_file_that_is_cut_short(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "speech.codes"
    make().save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CodesError, match=r"speech\.codes: is damaged or cut short"):
        Codes.load(path)


def test_audio_is_not_codes() -> None:
    with pytest.raises(CodesError, match=r"austen-0880\.wav: is not a file of codes, nor safetensors at all"):
        Codes.load(Path(__file__).parent / "audio" / "austen-0880.wav")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CodesError, match=r"nothing\.codes: no such file"):
        Codes.load(tmp_path / "nothing.codes")
    with pytest.raises(CodesError, match="is a folder; give a file of codes in it"):
        Codes.load(tmp_path)
    with pytest.raises(CodesError, match=r"cannot be written: the folder .*nowhere does not exist"):
        make().save(tmp_path / "nowhere" / "speech.codes")


def test_codes_are_printed_on_one_line() -> None:
    assert repr(make()).startswith("Codes(1 x ")
    assert "\n" not in repr(make())


def test_equal_codes_are_equal_files(tmp_path: Path) -> None:
    for name in "abcd":
        make().save(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1
