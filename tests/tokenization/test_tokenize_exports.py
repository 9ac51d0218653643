"""A finished output in other forms, and back to audio."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import builders
import xcodec_builders
from llasa_builders import small_llama, text_tokenizer
from tokenize_builders import job_for, run, write_clips
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import CheckpointError, CodesError, InputError
from xcodec.llasa import Prompts, SpeechTokens, TrainingRows
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.tokenization.detokenize import detokenize
from xcodec.tokenization.exports import EXPORTS
from xcodec.tokenization.exports.llasa import prepare_rows
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.run import prepare
from xcodec.tokenization.tokens import Tokens, path_below

TEXTS = ["Call me Ishmael.", "  ", None, "Some years ago", "say <|s_5|> aloud", "never mind how long", "precisely"]


@pytest.fixture(scope="module")
def tokens(model: Path, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"path": name, "id": name, "text": text, "speaker": i}
        for i, (name, text) in enumerate(zip(sorted(write_clips(folder, len(TEXTS))), TEXTS, strict=True))
    ]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, folder / "out"), codec, folder / "m.jsonl", hours=0.0004)
    return Tokens(folder / "out")


def test_arrays_lie_in_a_tree_like_the_inputs(tokens: Tokens, tmp_path: Path) -> None:
    assert EXPORTS["npy"](tokens, tmp_path).rows == len(TEXTS)
    for row in tokens.rows():
        stored = np.load(tmp_path / f"{row.id}.npy")
        assert stored.dtype == np.uint16
        assert np.array_equal(stored, row.codes[0])


def test_json_lines_hold_everything(tokens: Tokens, tmp_path: Path) -> None:
    assert EXPORTS["jsonl"](tokens, tmp_path).rows == len(TEXTS)
    lines = [json.loads(line) for line in (tmp_path / "codes.jsonl").read_text().splitlines()]
    for row, line in zip(tokens.rows(), lines, strict=True):
        assert line.pop("codes") == row.codes[0].tolist()
        assert line.pop("frames") == row.codes.shape[1]
        assert line == {"id": row.id, "seconds": row.seconds, "source_rate": 16000, **row.carried}


def test_tars_hold_a_sample_of_array_and_json_for_each_row(tokens: Tokens, tmp_path: Path) -> None:
    assert EXPORTS["webdataset"](tokens, tmp_path).rows == len(TEXTS)
    found = {}
    tars = sorted(tmp_path.glob("*.tar"))
    assert len(tars) == tokens.plan.fingerprint.shards > 1
    for path in tars:
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert [name.partition(".")[0] for name in names[::2]] == [name.partition(".")[0] for name in names[1::2]]
            for array, described in zip(names[::2], names[1::2], strict=True):
                (tmp_path / "x.npy").write_bytes(tar.extractfile(array).read())
                found[json.load(tar.extractfile(described))["id"]] = np.load(tmp_path / "x.npy")
    for row in tokens.rows():
        assert np.array_equal(found[row.id], row.codes[0])


def test_training_rows_hold_texts_and_codes_and_what_makes_none_is_counted(tokens: Tokens, tmp_path: Path) -> None:
    tokenizer = text_tokenizer()
    prompts = Prompts(tokenizer, SpeechTokens.add(tokenizer))
    small_llama(len(tokenizer)).save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    report = prepare_rows(tokens, tmp_path / "rows", str(tmp_path / "llm"))
    assert str(report) == "4 rows to train and 0 to validate; 3 left out"
    assert any(line.startswith("2 left out, such as") and "the text is empty" in line for line in report.reasons())
    assert not report.codec_is_known
    rows = TrainingRows(tmp_path / "rows", prompts)
    assert rows.codec is not None
    assert rows.codec.weights_hash == tokens.codec["weights_hash"]
    said = [row for row in tokens.rows() if row.carried["text"] in (TEXTS[0], *TEXTS[3:4], *TEXTS[5:])]
    for i, row in enumerate(said):
        text_ids, codes = rows.parts(i)
        assert tokenizer.decode(text_ids[1:-1]) == row.carried["text"]
        assert np.array_equal(codes, row.codes[0])


def test_training_rows_need_a_text_and_a_language_model(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"carries no column 'words' \(it carries text, speaker\)"):
        prepare_rows(tokens, tmp_path / "rows", "none", text_column="words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"is a folder without config.json"):
        prepare_rows(tokens, tmp_path / "rows", str(tmp_path / "empty"))


@pytest.mark.parametrize("form", EXPORTS)
def test_what_is_not_finished_is_not_exported(form: str, model: Path, codec: Codec, tmp_path: Path) -> None:
    write_clips(tmp_path / "in", 2)
    prepare(job_for(model, tmp_path), codec, Inputs([str(tmp_path / "in")]), 1.0)
    with pytest.raises(InputError, match=r"is not finished, 1 of 1 shards are left"):
        EXPORTS[form](Tokens(tmp_path), tmp_path / "export")


def test_ids_do_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    assert path_below(tmp_path, "/data/./x/a.wav", ".npy") == tmp_path / "data/x/a.wav.npy"
    for name in ("../x", "a/../../x", "/", "a\0b"):
        with pytest.raises(InputError, match=r"leads out of"):
            path_below(tmp_path, name, ".npy")


# Back to audio


def test_rows_become_recordings_of_their_length(tokens: Tokens, codec: Codec, tmp_path: Path) -> None:
    report = detokenize(tokens, codec, tmp_path, batch_seconds=1.0)
    assert report.written == len(TEXTS)
    for row in tokens.rows():
        expected = codec.decode(tokens.codes(row))
        audio = Audio.read(tmp_path / row.id)
        assert audio.num_samples == expected.num_samples == round(16000 * row.seconds)
        assert np.allclose(audio.samples, expected.samples.clip(-1, 1), atol=2e-4)
    again = detokenize(tokens, codec, tmp_path)
    assert (again.written, again.there) == (0, len(TEXTS))


def test_single_rows_become_recordings_of_another_format(tokens: Tokens, codec: Codec, tmp_path: Path) -> None:
    wanted = [row.id for row in tokens.rows()][2:4]
    detokenize(tokens, codec, tmp_path, wanted, suffix=".flac")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.flac")}
    assert found == {f"{name}.flac" for name in wanted}
    [failure] = detokenize(tokens, codec, tmp_path, ["nobody.wav"]).failures
    assert (failure.id, failure.error) == ("nobody.wav", "has no codes here")


def test_two_ids_of_one_file_name_do_not_overwrite_each_other(model: Path, codec: Codec, tmp_path: Path) -> None:
    [clip] = write_clips(tmp_path / "in", 1)
    rows = [{"path": f"in/{clip}", "id": name, "duration": seconds} for name, seconds in (("a", 0.5), ("a.wav", 0.4))]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, tmp_path / "out"), codec, tmp_path / "m.jsonl")
    tokens = Tokens(tmp_path / "out")
    [failure] = detokenize(tokens, codec, tmp_path / "audio").failures
    assert failure.error.endswith("audio/a.wav: is the file of another id; give this one alone, and another folder")
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["a.wav"]
    detokenize(tokens, codec, tmp_path / "second", ["a.wav"])
    assert Audio.read(tmp_path / "second/a.wav").duration == 0.4


def test_codes_of_another_model_are_refused(tokens: Tokens, tmp_path: Path) -> None:
    other = Codec.from_pretrained(builders.save_tiny(tmp_path / "other", seed=1))
    with pytest.raises(CodesError, match=r"the codes were made by tiny"):
        detokenize(tokens, other, tmp_path / "audio")
    assert detokenize(tokens, other, tmp_path / "audio", check_identity=False).written == len(TEXTS)


def test_several_codebooks_are_lists_of_lists(tmp_path: Path) -> None:
    xcodec_builders.tiny_xcodec().save_pretrained(tmp_path / "model")
    XcodecFeatureExtractor().save_pretrained(tmp_path / "model")
    codec = Codec.from_pretrained(tmp_path / "model")
    Audio(builders.speech(1.0), 16000).save(tmp_path / "a.wav")
    run(job_for(tmp_path / "model", tmp_path / "out"), codec, tmp_path / "a.wav")
    tokens = Tokens(tmp_path / "out")
    [row] = tokens.rows()
    assert row.codes.shape == (8, 50)
    assert tokens.codes(row) == codec.encode(tmp_path / "a.wav")
    EXPORTS["npy"](tokens, tmp_path / "npy")
    assert np.load(tmp_path / "npy/a.wav.npy").shape == (8, 50)
    assert detokenize(tokens, codec, tmp_path / "audio").written == 1
    with pytest.raises(InputError, match=r"carries no column 'text' \(it carries none\)"):
        prepare_rows(tokens, tmp_path / "rows", "none")


# Ids that are no names of files, and damaged codes


@pytest.fixture(scope="module")
def odd(model: Path, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output with ids that are no names of files."""
    folder = tmp_path_factory.mktemp("odd")
    [clip] = write_clips(folder, 1)
    names = ["../../evil", "x" * 300, "a/" + "y" * 300 + "/b", "good", "good/below", "./good", "last"]
    rows = [{"path": clip, "id": name, "text": "so"} for name in names]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, folder / "out"), codec, folder / "m.jsonl")
    return folder / "out"


def test_ids_that_are_no_names_are_failures_and_all_else_is_decoded(odd: Path, codec: Codec, tmp_path: Path) -> None:
    report = detokenize(Tokens(odd), codec, tmp_path / "audio")
    failures = {failure.id: failure.error for failure in report.failures}
    assert failures.keys() == {"../../evil", "x" * 300, "a/" + "y" * 300 + "/b", "./good"}
    assert "leads out of" in failures["../../evil"]
    assert failures["x" * 300] == "cannot be written: File name too long"
    assert {path.name for path in (tmp_path / "audio").rglob("*.wav")} == {"good.wav", "below.wav", "last.wav"}
    assert report.written == 3
    assert not (tmp_path.parent / "evil.wav").exists()


def test_ids_that_are_no_names_are_failures_and_all_else_is_exported(odd: Path, tmp_path: Path) -> None:
    report = EXPORTS["npy"](Tokens(odd), tmp_path / "npy")
    assert {failure.id for failure in report.failures} == {"../../evil", "x" * 300, "a/" + "y" * 300 + "/b", "./good"}
    assert report.rows == 3
    for form in ("jsonl", "webdataset"):
        report = EXPORTS[form](Tokens(odd), tmp_path / form)
        assert (report.rows, report.failures) == (7, [])


@pytest.mark.parametrize("form", ["detokenize", *EXPORTS])
def test_a_shard_whose_codes_are_damaged_is_named_and_all_else_is_done(
    form: str, tokens: Tokens, codec: Codec, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(str(tokens.plan.store), tmp_path / "out"))
    path = output / "codes/0000001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(200) + whole[204:])  # its header says that all is well
    lost = len(list(tokens.shard(1)))
    if form == "detokenize":
        decoded = detokenize(Tokens(output), codec, tmp_path / "made")
        failures, made = decoded.failures, decoded.written
    else:
        report = EXPORTS[form](Tokens(output), tmp_path / "made")
        failures, made = report.failures, report.rows
    [failure] = failures
    assert failure.id == "0000001.parquet"
    assert failure.error.startswith("is damaged (")
    assert failure.error.endswith("delete it and run `xcodec tokenize` again")
    assert made == len(TEXTS) - lost


def test_a_truncated_shard_is_named(tokens: Tokens, codec: Codec, tmp_path: Path) -> None:
    output = Path(shutil.copytree(str(tokens.plan.store), tmp_path / "out"))
    path = output / "codes/0000001.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"0000001.parquet is damaged, or no file of codes .* delete it and run again"):
        EXPORTS["npy"](Tokens(output), tmp_path / "npy")
    [failure] = detokenize(Tokens(output), codec, tmp_path / "audio").failures
    assert failure.id == "0000001.parquet"
