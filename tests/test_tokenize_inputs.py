"""Every kind of input becomes the same entries: where a recording lies, and what is said of it."""

import csv
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builders
from tokenize_builders import write_clips
from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError, MissingExtraError
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.readers import ReaderPool, ReadingLimits

SPEECH = builders.RECORDINGS[1]
ROWS = [
    {"path": "a.wav", "id": "one", "text": "Hello, world", "speaker": 7, "tags": ["x"]},
    {"path": "b.wav", "id": "two", "start": 0.5, "duration": 0.25, "text": "again", "score": 0.5},
]


def entries(*inputs: object, root: str | None = None) -> list[dict[str, Any]]:
    return [row for batch in Inputs([str(each) for each in inputs], root).batches() for row in batch.to_pylist()]


def refusal(*inputs: object) -> str:
    with pytest.raises(InputError) as caught:
        entries(*inputs)
    return str(caught.value)


def write_lines(path: Path, rows: list[Any]) -> Path:
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(scope="module")
def pool():
    readers = ReaderPool(1, 16000, ReadingLimits(60.0, 60.0))
    yield readers
    readers.close()


# Folders


def test_a_folder_gives_its_recordings_with_ids_that_keep_the_suffix(tmp_path: Path) -> None:
    write_clips(tmp_path, 4)
    (tmp_path / "notes.txt").write_text("no audio")
    (tmp_path / ".hidden.wav").write_text("")
    found = entries(tmp_path)
    assert [row["id"] for row in found] == ["a/clip-000.wav", "a/clip-002.wav", "b/clip-001.wav", "b/clip-003.wav"]
    assert [row["uri"] for row in found] == [str(tmp_path / row["id"]) for row in found]


def test_a_link_that_leads_back_up_is_not_followed(tmp_path: Path) -> None:
    write_clips(tmp_path, 1)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [row["id"] for row in entries(tmp_path)] == ["a/clip-000.wav"]


def test_a_pattern_gives_what_it_matches(tmp_path: Path) -> None:
    write_clips(tmp_path, 4)
    assert [row["id"] for row in entries(tmp_path / "**/*1.wav")] == ["clip-001.wav"]
    assert [row["id"] for row in entries(tmp_path / "*/*.wav")][:2] == ["a/clip-000.wav", "a/clip-002.wav"]


def test_a_folder_far_away_gives_urls() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/speech/x/a.wav", SPEECH.read_bytes())
    [row] = entries("memory://speech")
    assert (row["id"], row["uri"]) == ("x/a.wav", "memory:///speech/x/a.wav")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path}/none: no such file or folder, and no file matches it as a pattern"
    (tmp_path / "empty").mkdir()
    assert "no file ending in .wav" in refusal(tmp_path / "empty")
    assert "cannot be understood as a URL" in refusal("nosuch://bucket/x")


def test_a_protocol_whose_library_is_missing_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match="gcsfs"):
        entries("gs://bucket/x")


def test_a_pattern_of_several_kinds_of_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path\n")
    (tmp_path / "a.wav").write_text("")
    assert "matches files of several kinds" in refusal(tmp_path / "a.*")


# Manifests


@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz", "m.csv", "m.tsv", "m.parquet"])
def test_every_manifest_gives_the_same_recordings(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if ".jsonl" in name:
        write_lines(path, ROWS)
    elif name == "m.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS, schema=pa.schema([("path", pa.string()), ("id", pa.string()),
            ("start", pa.float32()), ("duration", pa.float32()), ("text", pa.string())])), path)  # fmt: skip
    else:
        with path.open("w", newline="") as file:
            fields = ["path", "id", "start", "duration", "text"]
            writer = csv.DictWriter(file, fields, delimiter="\t" if name == "m.tsv" else ",", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(ROWS)
    first, second = entries(path)
    assert (first["id"], first["uri"], first["start"], first["duration"]) == ("one", f"{tmp_path}/a.wav", 0.0, None)
    assert (second["id"], second["start"], second["duration"], second["seconds"]) == ("two", 0.5, 0.25, 0.25)
    assert [first["text"], second["text"]] == ["Hello, world", "again"]


def test_carried_columns_keep_their_types(tmp_path: Path) -> None:
    carried = Inputs([str(write_lines(tmp_path / "m.jsonl", ROWS))]).carried
    assert carried == pa.schema(
        [("text", pa.string()), ("speaker", pa.int64()), ("tags", pa.list_(pa.string())), ("score", pa.float64())]
    )
    path = tmp_path / "m.parquet"
    kinds = pa.schema([("path", pa.string()), ("day", pa.date32()), ("n", pa.int8()), ("deep", pa.list_(pa.float16()))])
    pq.write_table(kinds.empty_table(), path)
    assert Inputs([str(path)]).carried == pa.schema(list(kinds)[1:])


def test_values_of_separated_text_stay_text(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,speaker\na.wav,007\n")
    assert entries(tmp_path / "m.csv")[0]["speaker"] == "007"


def test_a_quote_in_a_tsv_is_a_quote(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text('path\ttext\na.wav\t"Hello\nb.wav\tyes"\n')
    assert [row["text"] for row in entries(tmp_path / "m.tsv")] == ['"Hello', 'yes"']


def test_nemo_names_are_understood_and_spans_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = [{"audio_filepath": "a.wav", "offset": offset, "duration": 1.5} for offset in (0.0, 1.5)]
    found = entries(write_lines(tmp_path / "m.jsonl", rows))
    assert [row["id"] for row in found] == ["a.wav#0.0+1.5", "a.wav#1.5+1.5"]


def test_relative_paths_are_relative_to_the_root_if_there_is_one(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", [{"path": "./x.wav"}, {"path": "/y.wav"}, {"path": "s3://b/z.wav"}])
    assert [row["uri"] for row in entries(path)] == [f"{tmp_path}/x.wav", "/y.wav", "s3://b/z.wav"]
    assert entries(path, root="/data")[0]["uri"] == "/data/x.wav"


def test_several_inputs_are_one_with_all_columns(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "one.jsonl", [{"path": "a.wav", "text": "a"}])
    two = write_lines(tmp_path / "two.jsonl", [{"path": "b.wav", "speaker": 1}])
    assert [(row["text"], row["speaker"]) for row in entries(one, two)] == [("a", None), (None, 1)]
    three = write_lines(tmp_path / "three.jsonl", [{"path": "c.wav", "text": 5}])
    assert "a column is of different types" in refusal(one, three)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.jsonl", '{"path": "a"}\nnot json\n', "line 2 is not JSON"),
        ("m.jsonl", '{"path": "a"}\n[1]\n', "line 2 is a list, expected an object"),
        ("m.jsonl", '{"file": "a"}\n', "has the columns file; expected one called path or audio_filepath"),
        ("m.jsonl", '{"path": "a", "n": 1}\n{"path": "b", "n": "x"}\n', "holds values of different types"),
        ("m.jsonl", '{"path": "a"}\n{"path": null}\n', "row 2 has no path"),
        ("m.jsonl", '{"path": "a", "id": "x"}\n{"path": "b"}\n', "row 2 has no id"),
        ("m.jsonl", '{"path": "a", "frames": 3}\n', "the column 'frames' has a name that the output needs"),
        ("m.csv", "path,start\na.wav,soon\n", "Failed to parse string: 'soon' as a scalar of type double"),
        ("m.csv", "path,text\na.wav\n", "row 2 has 1 fields, its header 2"),
        ("m.csv", "path,x,x\na,b,c\n", "has two columns called 'x'"),
        ("m.csv", "", "has the columns of an empty file"),
        ("m.parquet", "no", "is no Parquet file"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    message = refusal(tmp_path / name)
    assert said in message
    assert str(tmp_path / name) in message


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path\n\xff\xfe\n")
    assert "is no text of separated values" in refusal(tmp_path / "m.csv")


# WebDataset


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return path


def test_a_tar_gives_its_samples_where_they_lie(tmp_path: Path, pool: ReaderPool) -> None:
    members = {
        "x/k1.wav": SPEECH.read_bytes(),
        "x/k1.json": b'{"speaker": 3, "text": "hi"}',
        "x/k2.txt": b"only text",
        "x/k2.flac": SPEECH.read_bytes(),
    }
    write_tar(tmp_path / "s.tar", members)
    first, second = entries(tmp_path / "*.tar")
    assert [(row["id"], row["text"], row["speaker"]) for row in (first, second)] == [
        ("s/x/k1.wav", "hi", 3),
        ("s/x/k2.flac", "only text", None),
    ]
    assert pool.read(first).audio == pool.read(second).audio == Audio.read(SPEECH)


def test_tars_that_cannot_be_read_in_place_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        tar.add(SPEECH, "k.wav")
    assert "unpack it to .tar first" in refusal(tmp_path / "s.tar.gz")
    (tmp_path / "cut.tar").write_bytes(b"x" * 700)
    assert "is damaged, cut short or no tar" in refusal(tmp_path / "cut.tar")
    write_tar(tmp_path / "bad.tar", {"k.wav": b"", "k.json": b"[1]"})
    assert "k.json holds a list, expected an object" in refusal(tmp_path / "bad.tar")
    write_tar(tmp_path / "worse.tar", {"k.wav": b"", "k.json": b"{"})
    assert "k.json cannot be read" in refusal(tmp_path / "worse.tar")
    write_tar(tmp_path / "mixed.tar", {"k.wav": b"", "k.json": b'{"a": 1}', "l.wav": b"", "l.json": b'{"a": "x"}'})
    assert "holds values of different types" in refusal(tmp_path / "mixed.tar")


# Hugging Face


def test_a_hugging_face_data_set_gives_its_audio_where_it_lies(tmp_path: Path, pool: ReaderPool) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'xcodec[datasets]'")
    datasets.disable_progress_bars()
    rows = {
        "audio": [{"bytes": path.read_bytes(), "path": None} for path in builders.RECORDINGS],
        "text": list("abcde"),
    }
    whole = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    whole.save_to_disk(tmp_path / "whole")
    found = entries(tmp_path / "whole")
    assert [(row["id"], row["text"]) for row in found[:2]] == [("00000000", "a"), ("00000001", "b")]
    assert pool.read(found[3]).audio == Audio.read(builders.RECORDINGS[3])
    datasets.DatasetDict({"train": whole, "test": whole.select([2])}).save_to_disk(tmp_path / "splits")
    [row] = [row for row in entries(tmp_path / "splits") if row["id"].startswith("test/")]
    assert pool.read(row).audio == Audio.read(builders.RECORDINGS[2])


def test_hugging_face_data_sets_without_audio_or_damaged_are_refused(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'xcodec[datasets]'")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "text")
    assert "expected one column of audio, found none" in refusal(tmp_path / "text")
    audio = datasets.Dataset.from_dict({"audio": [{"bytes": SPEECH.read_bytes(), "path": None}]})
    audio.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(tmp_path / "hole")
    [arrow] = (tmp_path / "hole").glob("*.arrow")
    kind = pa.schema([("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, kind) as stream:
        stream.write_table(pa.Table.from_pylist([{"audio": {"bytes": None, "path": None}}], schema=kind))
    assert "row 0 has neither audio nor a path" in refusal(tmp_path / "hole")
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, kind, options=options) as stream:
        stream.write_table(pa.Table.from_pylist([{"audio": {"bytes": SPEECH.read_bytes(), "path": None}}], schema=kind))
    assert "is compressed, so that audio cannot be read where it lies" in refusal(tmp_path / "hole")
    arrow.write_bytes(b"no arrow file at all")
    assert "is damaged or no Arrow file" in refusal(tmp_path / "hole")
    arrow.unlink()
    assert "no such file, though the data set names it" in refusal(tmp_path / "hole")
    (tmp_path / "hole/state.json").write_text("{")
    assert "state.json: is damaged" in refusal(tmp_path / "hole")


# Lhotse


def cut(**fields: Any) -> dict[str, Any]:
    source = {"type": "file", "channels": [0, 1], "source": "stereo.wav"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}
    said = {"id": "s", "text": "so it is", "speaker": "ann"}
    whole = {"id": "c", "start": 0.25, "duration": 0.5, "channel": 1, "recording": recording, "supervisions": [said]}
    return whole | {"type": "MonoCut"} | fields


def test_cuts_of_lhotse_are_spans_of_one_channel(tmp_path: Path, pool: ReaderPool) -> None:
    speech = builders.speech(2.0)
    Audio(np.stack([speech[:16000], speech[16000:]]), 16000).save(tmp_path / "stereo.wav")
    path = write_lines(tmp_path / "cuts.jsonl.gz", [cut(), cut(id="d", supervisions=[])])
    first, second = entries(path, root=str(tmp_path))
    assert (first["text"], first["speaker"], second["text"]) == ("so it is", "ann", None)
    expected = Audio.read(tmp_path / "stereo.wav").samples[1, 4000:12000]
    assert np.array_equal(pool.read(first).audio.samples[0], expected)


def test_cuts_that_are_no_span_of_a_recording_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "cuts.jsonl", [cut(), {"type": "MixedCut", "id": "m", "tracks": []}])
    assert "cut 'm' (MixedCut) is not one span of one recording" in refusal(path)
    source = {"type": "command", "channels": [0], "source": "sph2pipe x |"}
    path = write_lines(tmp_path / "cuts.jsonl", [cut(channel=0, recording={"sources": [source]})])
    assert "has its audio in 'command', expected a file or a URL" in refusal(path)


# Reading spans


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_a_span_is_what_the_whole_has_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Audio(builders.speech(6.0), 16000).save(path)
    whole = Audio.read(path).samples
    span = Audio.read(path, start=4.5, duration=0.5).samples
    assert np.array_equal(span, whole[:, 72000:80000])
    assert np.array_equal(Audio.read(path, start=5.0).samples, whole[:, 80000:])


def test_spans_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    for arguments, said in [
        ({"start": 3.0}, "has no span from 3 s on: it ends at 2.99 s"),
        ({"start": 2.5, "duration": 1.0}, "has no span from 2.5 s to 3.5 s: it ends at 2.99 s"),
        ({"start": -1.0}, "start=-1.0: expected a number of seconds, 0 or more"),
        ({"duration": 0.0}, "duration=0.0: expected a number of seconds above 0"),
        ({"longest": 1.0}, "is longer than the limit of 1 s; cut it into spans"),
    ]:
        with pytest.raises(AudioError) as caught:
            Audio.read(SPEECH, **arguments)
        assert str(caught.value) == f"{SPEECH}: {said}"
    assert Audio.read(SPEECH, start=2.5, duration=0.5).num_samples == 7840  # a manifest rounded


def test_recordings_far_away_are_read(pool: ReaderPool) -> None:
    entry = {"byte_start": None, "byte_count": None, "start": 0.0, "duration": None, "channel": None}
    assert pool.read(entry | {"uri": f"file://{SPEECH}"}).audio == Audio.read(SPEECH)
    with pytest.raises(AudioError, match=r"file:///none/x.wav: cannot be fetched: FileNotFoundError"):
        pool.read(entry | {"uri": "file:///none/x.wav"})
    with pytest.raises(AudioError, match=r"austen-0880.wav: has no channel 3, only 1"):
        pool.read(entry | {"uri": str(SPEECH), "channel": 3})
    with pytest.raises(AudioError, match=r"EOFError: it ends 10 bytes before the recording does"):
        pool.read(entry | {"uri": str(SPEECH), "byte_start": SPEECH.stat().st_size, "byte_count": 10})
