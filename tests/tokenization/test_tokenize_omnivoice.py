"""The shards that OmniVoice's trainers read, read as they do: by the lines of data.lst, samples by their tar's keys."""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xcodec_builders
from builders import save_tiny
from tokenize_builders import job_for, run, write_clips
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.models.auto import feature_extractor_of
from xcodec.tokenization.exports.omnivoice import export_omnivoice
from xcodec.tokenization.tokens import Tokens

TEXTS = ["Call me Ishmael.", " ", None, "Some years ago", "never mind how long", "precisely"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "higgs"
    higgs = xcodec_builders.tiny_higgs()
    higgs.save_pretrained(folder)
    feature_extractor_of(higgs).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokens(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"path": name, "id": name, "text": text, "language_id": "en" if i % 2 else None}
        for i, (name, text) in enumerate(zip(sorted(write_clips(folder, len(TEXTS))), TEXTS, strict=True))
    ]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, folder / "out"), Codec.from_pretrained(model), folder / "m.jsonl", hours=0.0004)
    return Tokens(folder / "out")


def samples(manifest: Path) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Each sample's codes and label, as the trainers find them."""
    for line in manifest.read_text().splitlines():
        tar_path, labels_path, count, seconds = line.split()
        assert Path(tar_path).is_absolute()
        labels = {label["id"]: label for label in map(json.loads, Path(labels_path).read_text().splitlines())}
        with tarfile.open(tar_path) as tar:
            members = tar.getmembers()
            assert int(count) == len(labels) == len(members)
            assert float(seconds) == pytest.approx(sum(label["audio_duration"] for label in labels.values()), abs=1e-3)
            for member in members:
                key, _, suffix = member.name.partition(".")  # as webdataset cuts names
                assert suffix == "npy"
                yield np.load(io.BytesIO(tar.extractfile(member).read())), labels[key]


def test_every_recording_with_a_text_is_a_sample_with_its_label(tokens: Tokens, tmp_path: Path) -> None:
    report = export_omnivoice(tokens, tmp_path / "shards")
    assert str(report) == "4 recordings; 2 skipped: no text"
    found = {label["recording"]: (codes, label) for codes, label in samples(tmp_path / "shards/data.lst")}
    expected = [row for row in tokens.rows() if row.carried["text"] in TEXTS and (row.carried["text"] or "").strip()]
    assert found.keys() == {row.id for row in expected}
    for row in expected:
        codes, label = found[row.id]
        assert (codes.dtype, codes.shape[0]) == (np.int16, 8)
        assert np.array_equal(codes, row.codes)
        assert (label["text"], label["num_tokens"]) == (row.carried["text"], codes.shape[1])
        assert label.get("language_id") == row.carried["language_id"], "and what is not known is left out"
        assert None not in label.values()


def test_the_list_comes_last_and_the_same_files_come_again(tokens: Tokens, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    export_omnivoice(tokens, folder)
    written = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path.suffix for path in written} == {".tar", ".jsonl", ".lst"}
    newest = max(written, key=lambda path: (folder / path).stat().st_mtime_ns)
    assert newest == Path("data.lst")
    export_omnivoice(tokens, folder)
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == written


def test_what_is_not_finished_is_not_exported(tokens: Tokens, tmp_path: Path) -> None:
    shutil.copytree(str(tokens.plan.store), tmp_path / "out")
    (tmp_path / "out" / tokens.plan.output(0)).unlink()
    with pytest.raises(InputError, match=r"is not finished, 1 of \d+ shards are left"):
        export_omnivoice(Tokens(tmp_path / "out"), tmp_path / "shards")


def test_what_the_trainers_could_not_read_is_refused(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"carries no column 'words' \(it carries text, language_id\)"):
        export_omnivoice(tokens, tmp_path / "shards", "words")
    with pytest.raises(InputError, match=r"has white space in its path, at which data\.lst would be cut; give another"):
        export_omnivoice(tokens, tmp_path / "my shards")
    one = save_tiny(tmp_path / "tiny")
    write_clips(tmp_path / "in", 1)
    run(job_for(one, tmp_path / "out"), Codec.from_pretrained(one), tmp_path / "in", hours=1.0)
    with pytest.raises(InputError, match=r"has codebooks of 65536 codes; OmniVoice reads 8 of 1024"):
        export_omnivoice(Tokens(tmp_path / "out"), tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
