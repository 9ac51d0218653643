"""Parquet files with the audio inside, as `datasets` writes them, are tokenized where they lie."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import builders
from tokenize_builders import entries, job_for, output_of, read_one, run
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import AudioError, InputError
from xcodec.tokenization.readers import ReaderPool, ReadingLimits
from xcodec.tokenization.tokens import Tokens

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(audio: Audio, form: str) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, audio.samples[0], audio.sampling_rate, format=form)
    return target.getvalue()


def clips(count: int) -> list[Audio]:
    spoken = builders.speech(7.0)
    return [Audio(spoken[i * 5000 : i * 5000 + 4000 + 100 * i], 16000) for i in range(count)]


def write(path: Path, stored: list[bytes | None], rows_per_group: int = 4, **further: list[object]) -> None:
    cells = pa.array([{"bytes": each, "path": f"{i}.flac"} for i, each in enumerate(stored)], AUDIO)
    pq.write_table(pa.table({**further, "audio": cells}), path, row_group_size=rows_per_group)


def test_recordings_in_cells_have_their_codes_with_what_is_said_of_them(
    model: Path, codec: Codec, tmp_path: Path
) -> None:
    spoken = clips(9)
    stored = [encoded(each, "flac") for each in spoken]
    speakers, texts = [f"s{i % 2}" for i in range(9)], [f"text {i}" for i in range(9)]
    languages = ["en"] * 9
    write(tmp_path / "train.parquet", [*stored, None, b"no audio"], text=[*texts, "", ""], speaker=[*speakers, "", ""],
          language=[*languages, "", ""])  # fmt: skip
    status = run(job_for(model, tmp_path / "out"), codec, tmp_path / "train.parquet")
    tokens = Tokens(tmp_path / "out")
    for i, row in enumerate(tokens.rows()):
        assert row.id == f"train/{i:08}"
        assert tokens.codes(row) == codec.encode(spoken[i])
        assert row.carried == {"text": texts[i], "speaker": speakers[i], "language": "en"}
    failed = {row["id"]: row["error"] for row in pq.read_table(tmp_path / "out/failures.parquet").to_pylist()}
    assert failed.keys() == {"train/00000009", "train/00000010"}
    assert failed["train/00000009"].startswith("holds no audio")
    assert (status.standing.done, status.standing.failed, status.standing.left) == (9, 2, 0)
    assert "audio" not in output_of(tmp_path / "out").schema.names


def test_cells_are_found_in_any_order_and_ids_are_the_columns(tmp_path: Path) -> None:
    spoken = clips(9)
    write(tmp_path / "a.parquet", [encoded(each, "wav") for each in spoken], id=[f"clip{i}" for i in range(9)])
    (tmp_path / "a.txt").write_text("this is not said in each of them")
    rows = entries(tmp_path / "*.parquet", texts=True)
    assert [row["id"] for row in rows] == [f"clip{i}" for i in range(9)]
    assert {row["text"] for row in rows} == {None}
    assert all(0.1 < row["seconds"] < 2 for row in rows)
    with ReaderPool(1, 16000, ReadingLimits(60.0, 60.0)) as pool:
        for i in (0, 1, 7, 3, 3, 8, 2):
            sound = read_one(pool, rows[i])
            assert np.array_equal(sound.audio.samples, Audio.read(io.BytesIO(encoded(spoken[i], "wav"))).samples)
        write(tmp_path / "a.parquet", [encoded(spoken[0], "wav")])
        with pytest.raises(AudioError, match="has been replaced since it was planned"):
            read_one(pool, rows[5])
        with pytest.raises(AudioError, match="#audio=5: cannot be"):
            read_one(pool, {"uri": rows[5]["uri"]})


def test_hashes_are_of_the_recordings_and_no_file_is_read_twice_for_planning(tmp_path: Path) -> None:
    stored = [encoded(each, "flac") for each in clips(3)]
    write(tmp_path / "a.parquet", [*stored, stored[0]])
    hashes = [row["file_sha256"] for row in entries(tmp_path / "a.parquet", hashed=True)]
    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]


def test_a_file_with_two_columns_of_audio_is_refused(tmp_path: Path) -> None:
    cells = pa.array([None], AUDIO)
    pq.write_table(pa.table({"left": cells, "right": cells}), tmp_path / "two.parquet")
    with pytest.raises(InputError, match="expected one column of audio, found left, right"):
        entries(tmp_path / "two.parquet")


def test_what_the_data_sets_library_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'xcodec[datasets]'")
    datasets.disable_progress_bars()
    stored = [encoded(each, "flac") for each in clips(3)]
    values = {"audio": [{"bytes": each, "path": None} for each in stored], "speaker": ["x", "y", "z"]}
    made = datasets.Dataset.from_dict(values).cast_column("audio", datasets.Audio(decode=False))
    made.to_parquet(str(tmp_path / "made.parquet"))
    rows = entries(tmp_path / "made.parquet")
    assert [row["speaker"] for row in rows] == ["x", "y", "z"]
    with ReaderPool(1, 16000, ReadingLimits(60.0, 60.0)) as pool:
        for row, each in zip(rows, clips(3), strict=True):
            assert read_one(pool, row).audio.num_samples == each.num_samples
