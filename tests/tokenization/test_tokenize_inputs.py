"""Every kind of input becomes the same entries: where a recording lies, and what is said of it."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builders
from tokenize_builders import entries, faults, read_one
from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.readers import ReaderPool, ReadingLimits

SPEECH = builders.RECORDINGS[1]
ROWS = [
    {"path": "a.wav", "id": "one", "text": "Hello, world", "speaker": 7, "tags": ["x"]},
    {"path": "b.wav", "id": "two", "start": 0.5, "duration": 0.25, "text": "again", "score": 0.5},
]


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
        ("m.jsonl", '{"text": "a"}\n', "expected one called path or audio_filepath"),
        ("m.jsonl", '{"path": "a", "frames": 3}\n', "the column 'frames' has a name that the output needs"),
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


def test_of_a_damaged_parquet_file_all_other_row_groups_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    rows = pa.table({"path": [f"{i:03}.wav" for i in range(500)]})
    pq.write_table(rows, path, row_group_size=100, compression="none", use_dictionary=False)
    place = pq.read_metadata(path).row_group(2).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    path.write_bytes(content)
    found = entries(path)
    assert [row["id"] for row in found if not row["fault"]] == [f"{i:03}.wav" for i in (*range(200), *range(300, 500))]
    [fault] = [row for row in found if row["fault"]]
    assert fault["id"] == f"{path}:201"
    assert fault["fault"].startswith("row 201 and what follows to row 300 cannot be read, 100 in all: ")


def test_a_parquet_file_of_which_nothing_can_be_read_keeps_no_other_input_from_its_plan(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no")
    pq.write_table(pa.table({"path": ["x.wav"]}), tmp_path / "b.parquet")
    unreadable, read = entries(f"{tmp_path}/*.parquet")
    assert (read["id"], read["fault"]) == ("x.wav", None)
    assert unreadable["uri"] == f"{tmp_path}/a.parquet"
    assert unreadable["fault"].startswith("is no Parquet file, or damaged: ")


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("m.jsonl", "not json", "is not JSON"),
        ("m.jsonl", "[1]", "is a list, expected an object"),
        ("m.jsonl", '{"path": "b", "n": "x"}', "holds 'x' as 'n', which is int64 on other lines; write them alike"),
        ("m.jsonl", '{"path": "b", "n": {"a": 1}}', "holds {'a': 1} as 'n', which is int64 on other lines"),
        ("m.jsonl", '{"path": "b", "n": 123456789012345678901234567890}', "which no 64-bit number holds"),
        ("m.jsonl", '{"path": "b", "m": ' + "[" * 40 + "]" * 40 + "}", "nested in more than 32 levels"),
        ("m.jsonl", '{"path": "b", "m": ' + "[" * 9999 + "]" * 9999 + "}", "nested too deeply"),
        ("m.jsonl", '{"path": "b", "m": [1, "x"]}', "holds values of different types"),
        ("m.jsonl", '{"path": "b", "m": "\\ud800"}', "holds half a character"),
        ("m.jsonl", '{"path": "b\\u0000"}', "has a path with a NUL"),
        ("m.jsonl", '{"path": null}', "has no path"),
        ("m.jsonl", '{"path": "b", "duration": NaN}', "lasts nan s, expected more than 0"),
        ("m.jsonl", '{"path": "b", "start": -1, "duration": 1}', "begins at -1.0 s, expected 0 or more"),
        ("m.jsonl", '{"path": "b", "channel": -1}', "means the channel -1, expected 0 or more"),
        ("m.csv", "b,soon", "has 'soon' as 'start', expected a number of seconds"),
        ("m.csv", "b", "has 1 fields, its header 2"),
        ("m.csv", '"b"x,1', "is no row of separated values"),
    ],
)
def test_a_row_that_names_no_recording_is_a_fault_of_its_own(name: str, row: str, said: str, tmp_path: Path) -> None:
    header, good, last = "", '{"path": "a", "n": 1}', '{"path": "c"}'
    if name == "m.csv":
        header, good, last = "path,start\n", "a,0.5", "c,0.25"
    (tmp_path / name).write_text(f"{header}{good}\n{row}\n{last}\n")
    assert [entry["id"][0] for entry in entries(tmp_path / name) if entry["fault"] is None] == ["a", "c"]
    [(where, reason)] = faults(tmp_path / name).items()
    number = 3 if name == "m.csv" else 2
    assert where == f"{tmp_path / name}:{number}"
    assert reason.startswith(f"row {number} ")
    assert said in reason


def test_rows_without_an_id_among_rows_with_one_are_faults(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", [{"path": "a", "id": "x"}, {"path": "b"}, {"path": "c", "id": "\0"}])
    assert [entry["id"] for entry in entries(path) if entry["fault"] is None] == ["x"]
    assert list(faults(path).values()) == ["row 2 has no id", "row 3 has an id with a NUL, '\\x00'"]


def test_values_that_no_column_holds_beside_others_are_faults(tmp_path: Path) -> None:
    rows = [{"path": "a", "n": 2**60 + 1}, {"path": "b", "n": 0.5}]  # as floating point the first would be another
    assert "n" in next(iter(faults(write_lines(tmp_path / "m.jsonl", rows)).values()))


def test_an_empty_object_is_no_value(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", [{"path": "a", "meta": {"x": {}}}, {"path": "b", "meta": {}}])
    assert [entry["meta"] for entry in entries(path)] == [{"x": None}, None]


def test_a_cut_manifest_gives_the_rows_before_the_cut_and_says_where_it_ends(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(json.dumps({"path": f"{i}.wav"}).encode() + b"\n" for i in range(20_000)))
    (tmp_path / "m.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    found = entries(tmp_path / "m.jsonl.gz")
    good = [entry for entry in found if entry["fault"] is None]
    assert 0 < len(good) < 20_000
    [reason] = [entry["fault"] for entry in found if entry["fault"] is not None]
    assert f"row {len(good) + 1} and what follows cannot be read" in reason


def test_a_manifest_may_mean_one_channel_of_each_recording(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", [{"path": "a.wav", "channel": 1}, {"path": "a.wav", "channel": 0}])
    assert [(row["id"], row["channel"]) for row in entries(path)] == [("a.wav.ch1", 1), ("a.wav.ch0", 0)]


def test_bytes_of_a_csv_that_are_no_text_are_spelt(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"path,text\n\xff.wav,\xfe\n")
    [row] = entries(tmp_path / "m.csv")
    assert (row["id"], row["text"]) == ("\\xff.wav", "\\xfe")


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
    assert read_one(pool, found[3]).audio == Audio.read(builders.RECORDINGS[3])
    datasets.DatasetDict({"train": whole, "test": whole.select([2])}).save_to_disk(tmp_path / "splits")
    [row] = [row for row in entries(tmp_path / "splits") if row["id"].startswith("test/")]
    assert read_one(pool, row).audio == Audio.read(builders.RECORDINGS[2])


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
    assert faults(tmp_path / "hole") == {"00000000": "row 0 has neither audio nor a path of it"}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, kind, options=options) as stream:
        stream.write_table(pa.Table.from_pylist([{"audio": {"bytes": SPEECH.read_bytes(), "path": None}}], schema=kind))
    [reason] = faults(tmp_path / "hole").values()
    assert "is compressed, so that audio cannot be read where it lies" in reason
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
    assert np.array_equal(read_one(pool, first).audio.samples[0], expected)


def test_cuts_that_are_no_span_of_a_recording_are_faults(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "cuts.jsonl", [cut(), {"type": "MixedCut", "id": "m", "tracks": []}])
    assert faults(path)["m"].startswith("the cut (MixedCut) is not one span of one recording")
    assert [row["id"] for row in entries(path) if row["fault"] is None] == ["c"]
    source = {"type": "command", "channels": [0], "source": "sph2pipe x |"}
    path = write_lines(tmp_path / "cuts.jsonl", [cut(channel=0, recording={"sources": [source]})])
    assert faults(path) == {"c": "the cut has its audio in 'command', expected a file or a URL"}


# Texts beside recordings


def test_texts_that_lie_beside_recordings_are_carried(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / f"{name}.wav").touch()
    (tmp_path / "a.txt").write_text("As it was said.\n")
    (tmp_path / "a.normalized.txt").write_text("as it was said")
    (tmp_path / "b.txt").write_text("\ufeffzwei \n", encoding="utf-8")
    told = {"text": "drei", "speaker": 7, "language": "de", "dnsmos": 3.1}
    (tmp_path / "c.json").write_text(json.dumps(told))
    (tmp_path / "e.json").write_text("[1]")
    planned = {row["id"]: row for row in entries(tmp_path, texts=True)}
    assert [planned[f"{name}.wav"]["text"] for name in "abcde"] == ["as it was said", "zwei", "drei", None, None]
    assert (planned["c.wav"]["speaker"], planned["c.wav"]["language"]) == ("7", "de")
    assert "a list, expected an object" in planned["e.wav"]["fault"]
    assert [row["id"] for row in planned.values() if row["fault"]] == ["e.wav"]


def test_a_manifest_that_has_texts_keeps_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").touch()
        (tmp_path / f"{name}.txt").write_text("from the file")
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "text": "from the manifest"}\n{"path": "b.wav"}\n')
    rows = entries(tmp_path / "m.jsonl", texts=True)
    assert [row["text"] for row in rows] == ["from the manifest", "from the file"]
