"""Recordings are measured, cut, and left out where they are unfit or not new; each is told of, and none is lost."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import builders
from tokenize_builders import job_for, output_of
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.tokenization.conditions import parse_conditions
from xcodec.tokenization.engines.local import run_locally
from xcodec.tokenization.inputs import Inputs
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.quality import QUALITY, measure
from xcodec.tokenization.readers import ReaderPool, ReadingLimits
from xcodec.tokenization.repeated_audio import leave_out
from xcodec.tokenization.run import IncompleteError, prepare, tokenize
from xcodec.tokenization.sample import check_sample
from xcodec.tokenization.status import RunStatus, Standing, read_runs
from xcodec.tokenization.stores import FolderStore
from xcodec.tokenization.tokens import Tokens
from xcodec.tokenization.treatment import Treatment
from xcodec.tokenization.verification import verify


def treat(
    model: Path, codec: Codec, folder: Path | str, source: Path | None, treatment: Treatment, **options: object
) -> RunStatus:
    job = job_for(model, folder, batch_seconds=4.0, workers=1)
    plan = prepare(job, codec, Inputs([str(source)]) if source else None, 0.0003 if source else None, treatment)
    return tokenize(job, plan, codec, run_locally, **options)  # type: ignore[arg-type]


def save(path: Path, samples: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Audio(samples, rate).save(path)


def left_out(folder: Path) -> dict[str, str]:
    """Of what was left out, the reason, by id."""
    rows = pq.read_table(folder / "excluded.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["reason"] for row in rows}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean and noisy clips, a silent one and one that is no audio."""
    folder = tmp_path_factory.mktemp("mixed")
    spoken = builders.speech(7.0)
    for i in range(3):
        clip = spoken[i * 24000 : i * 24000 + 20000 + 777 * i]
        save(folder / f"clean-{i}.wav", clip)
        save(folder / f"noisy-{i}.wav", clip + 0.05 * np.random.default_rng(i).standard_normal(len(clip)))
    save(folder / "silent.wav", np.zeros(8000))
    (folder / "text.wav").write_text("this is no audio\n" * 100)
    return folder


# Figures and conditions


def test_each_row_has_the_figures_of_its_recording_alone(
    mixed: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    treat(model, codec, tmp_path, mixed, Treatment(quality=True))
    rows = output_of(tmp_path).to_pylist()
    assert len(rows) == 7
    for row in rows:
        expected = measure(Audio.read(mixed / row["id"], channel="mean", sampling_rate=16000).samples[0], 16000)
        assert {name: row[name] for name in QUALITY} == expected
    assert Tokens(tmp_path).codes(next(Tokens(tmp_path).rows())) == codec.encode(mixed / rows[0]["id"])


def test_what_does_not_meet_a_condition_is_left_out_with_its_reason(
    mixed: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    status = treat(model, codec, tmp_path, mixed, Treatment(where="snr > 12 and seconds >= 1.0"))
    assert {row.id for row in Tokens(tmp_path).rows()} == {f"clean-{i}.wav" for i in range(3)}
    unmet = "does not meet snr > 12"
    assert left_out(tmp_path) == {**{f"noisy-{i}.wav": unmet for i in range(3)}, "silent.wav": unmet}
    standing = status.standing
    assert (standing.done, standing.excluded, standing.failed, standing.left) == (3, 4, 1, 0)
    assert standing.exclusions == ((unmet, 4),)
    told = pq.read_table(tmp_path / "excluded.parquet").to_pylist()
    assert all(row["snr"] is None or row["snr"] <= 12 for row in told)
    assert {row["uri"] for row in told} == {str(mixed / row["id"]) for row in told}


def test_a_run_that_stops_goes_on_with_what_it_was_planned_with(
    mixed: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    wanted = Treatment(where="snr > 12")
    treat(model, codec, tmp_path / "whole", mixed, wanted)
    treat(model, codec, tmp_path / "parts", mixed, wanted, part=(1, 2))
    treat(model, codec, tmp_path / "parts", None, Treatment(), part=(0, 2))
    for path in sorted((tmp_path / "whole/codes").iterdir()):
        assert (tmp_path / "parts/codes" / path.name).read_bytes() == path.read_bytes()
    assert left_out(tmp_path / "parts") == left_out(tmp_path / "whole")
    with pytest.raises(InputError, match=r"was planned with where='snr > 12' and not 'snr > 10'"):
        treat(model, codec, tmp_path / "whole", mixed, Treatment(where="snr > 10"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("loudness > 3", "no figure is called 'loudness'; there are rms, peak"),
        ("snr > 3 or rms < 2", "expected comparisons"),
        ("snr = 3", "expected comparisons of a figure with a number"),
        ("snr > loud", "'loud' is no number"),
        ("snr > nan", "'nan' is no number"),
        ("and", "expected comparisons"),
        ("__import__('os')", "expected comparisons"),
    ],
)
def test_conditions_that_cannot_be_understood_are_refused_before_anything_starts(
    text: str, problem: str, mixed: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=problem):
        Treatment(where=text)
    out = tmp_path / "out"
    told = CliRunner().invoke(app, ["tokenize", str(mixed), "-o", str(out), "-m", str(model), "--where", text])
    assert told.exit_code == 2
    assert not out.exists()


def test_every_comparison_means_what_it_says() -> None:
    low, high, least, most = parse_conditions("a<2 and a > 1 and a>=1.5 and a <= 1.5", ["a"])
    assert all(each.is_met({"a": 1.5}) for each in (low, high, least, most))
    assert [each.is_met({"a": 2.0}) for each in (low, high, least, most)] == [False, True, True, False]
    assert not any(each.is_met({"a": None}) for each in (low, high, least, most))


def test_columns_of_the_input_do_not_meet_those_that_are_added(model: Path, codec: Codec, tmp_path: Path) -> None:
    save(tmp_path / "a.wav", builders.speech(0.5))
    (tmp_path / "m.csv").write_text("path,snr\na.wav,3\n")
    with pytest.raises(InputError, match="the input has a column 'snr'"):
        treat(model, codec, tmp_path / "out", tmp_path / "m.csv", Treatment(quality=True))
    assert not (tmp_path / "out/plan.json").exists()
    treat(model, codec, tmp_path / "out", tmp_path / "m.csv", Treatment())
    assert output_of(tmp_path / "out")["snr"].to_pylist() == ["3"]


# Duplicates


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips, of which some come again, in other containers, at other times."""
    folder = tmp_path_factory.mktemp("repeated")
    spoken = builders.speech(7.0)
    for i in range(6):
        save(folder / f"b/{i}.wav", spoken[i * 8000 : i * 8000 + 7000])
    save(folder / "a/first.flac", spoken[8000:15000])  # b/1
    save(folder / "b/2-again.wav", spoken[16000:23000])
    save(folder / "c/2-again.flac", spoken[16000:23000])
    return folder


FIRSTS = ["a/first.flac", "b/0.wav", "b/2-again.wav", "b/3.wav", "b/4.wav", "b/5.wav"]
SECONDS = {"b/1.wav": "a/first.flac", "b/2.wav": "b/2-again.wav", "c/2-again.flac": "b/2-again.wav"}


@pytest.fixture(scope="module")
def unique(repeated: Path, model: Path, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the repeated clips, each once."""
    folder = tmp_path_factory.mktemp("unique")
    treat(model, codec, folder, repeated, Treatment(dedupe="audio"))
    return folder


def test_of_rows_with_the_same_samples_the_first_of_the_plan_is_kept(repeated: Path, unique: Path) -> None:
    assert len(list((unique / "codes").iterdir())) > 3
    assert output_of(unique)["id"].to_pylist() == FIRSTS
    told = pq.read_table(unique / "excluded.parquet").to_pylist()
    assert {row["id"]: row["same_as"] for row in told} == SECONDS
    assert {row["uri"] for row in told} == {str(repeated / name) for name in SECONDS}
    standing = Standing.of(Plan(unique))
    assert (standing.done, standing.excluded, standing.left) == (6, 3, 0)
    assert standing.exclusions == (("has the same audio as a row before it", 3),)
    assert [run.standing for run in read_runs(FolderStore(unique))] == [standing]
    Tokens(unique).check_finished()


def test_it_does_not_matter_who_did_which_shard_nor_when_nor_whether_the_pass_was_killed(
    repeated: Path, unique: Path, model: Path, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    treat(model, codec, tmp_path, repeated, Treatment(dedupe="audio"), part=(1, 2))
    with pytest.raises(InputError, match="is not finished"):
        Tokens(tmp_path).check_finished()
    written = []

    def killed_at_the_fourth(plan: object, number: int, *others: object) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(number)
        leave_out(plan, number, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("xcodec.tokenization.repeated_audio.leave_out", killed_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        treat(model, codec, tmp_path, None, Treatment(), part=(0, 2))
    monkeypatch.undo()
    with pytest.raises(InputError, match="duplicates have not been left out yet"):
        Tokens(tmp_path).check_finished()
    treat(model, codec, tmp_path, None, Treatment())
    for path in sorted((unique / "codes").iterdir()):
        assert (tmp_path / "codes" / path.name).read_bytes() == path.read_bytes()
    assert left_out(tmp_path) == left_out(unique)


def test_a_duplicate_comes_back_where_the_one_that_was_kept_is_gone(
    repeated: Path, unique: Path, model: Path, codec: Codec, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(unique, out)
    (out / "codes/0000000.parquet").unlink()
    away = repeated / "a/first.flac"
    away.rename(tmp_path / "away.flac")
    with pytest.raises(IncompleteError, match="1 shards have to be done again"):
        treat(model, codec, out, None, Treatment())
    status = treat(model, codec, out, None, Treatment())
    (tmp_path / "away.flac").rename(away)
    assert (status.standing.done, status.standing.excluded, status.standing.failed) == (6, 2, 1)
    assert set(output_of(out)["id"].to_pylist()) == {*FIRSTS, "b/1.wav"} - {"a/first.flac"}
    assert set(left_out(out)) == SECONDS.keys() - {"b/1.wav"}


# Pieces


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long recording at another rate, a span of it and a short one, with texts and speakers."""
    folder = tmp_path_factory.mktemp("long")
    spoken = np.concatenate([builders.speech(7.0), builders.speech(7.0)[::-1]])
    save(folder / "book.wav", spoken)
    save(folder / "short.wav", spoken[:20000])
    (folder / "m.csv").write_text(
        "path,id,start,duration,text,speaker\nbook.wav,book,,,all of it,jane\n"
        "book.wav,span,2.5,6.25,some of it,jane\nshort.wav,short,,,a little,mary\n"
    )
    return folder


@pytest.fixture(scope="module")
def cut(long: Path, model: Path, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the long recordings in pieces, with figures."""
    folder = tmp_path_factory.mktemp("cut")
    treat(model, codec, folder, long / "m.csv", Treatment(quality=True, segment_seconds=3.0))
    return folder


def test_a_piece_has_the_codes_that_its_samples_have_in_a_file_of_their_own(
    long: Path, cut: Path, codec: Codec, tmp_path: Path
) -> None:
    book = Audio.read(long / "book.wav").samples[0]
    rows = list(Tokens(cut).rows())
    assert len(rows) > 6
    for row in rows:
        start, end = (round(row.carried[name] * 16000) for name in ("start", "end"))
        assert end - start <= 3 * 16000
        save(tmp_path / "alone.wav", book[start:end])
        assert Tokens(cut).codes(row) == codec.encode(tmp_path / "alone.wav")
        assert {name: row.carried[name] for name in QUALITY} == measure(book[start:end], 16000)
    standing = Standing.of(Plan(cut))
    assert (standing.done, standing.left, standing.rows) == (len(rows), 0, 3)


def test_pieces_of_a_recording_hold_all_of_it_and_say_whose_they_are(long: Path, cut: Path) -> None:
    table = output_of(cut)
    assert table.schema.names[5:] == ["parent", "start", "end", *QUALITY, "text", "speaker"]
    assert len(set(table["id"].to_pylist())) == len(table)
    length = Audio.read(long / "book.wav").duration
    for name, first, last in (("book", 0.0, length), ("span", 2.5, 8.75), ("short", 0.0, 1.25)):
        rows = [row for row in table.to_pylist() if row["parent"] == name]
        bounds = [first, *(row["end"] for row in rows)]
        assert [row["start"] for row in rows] == bounds[:-1]
        assert bounds[-1] == last
        assert {row["text"] for row in rows} == ({"a little"} if name == "short" else {None})
        assert {row["speaker"] for row in rows} == ({"mary"} if name == "short" else {"jane"})
        if name == "short":
            assert [row["id"] for row in rows] == ["short"]
        else:
            assert rows[0]["id"] == f"{name}#{rows[0]['start']:.3f}-{rows[0]['end']:.3f}"


def test_pieces_are_left_out_one_by_one(long: Path, cut: Path, model: Path, codec: Codec, tmp_path: Path) -> None:
    levels = output_of(cut)
    middle = float(np.median(levels["rms"].to_numpy()))
    treatment = Treatment(where=f"rms > {middle!r}", segment_seconds=3.0, dedupe="audio")
    status = treat(model, codec, tmp_path, long / "m.csv", treatment)
    kept = {row["id"] for row in levels.to_pylist() if row["rms"] > middle}
    told = left_out(tmp_path)
    assert set(output_of(tmp_path)["id"].to_pylist()) | set(told) == set(levels["id"].to_pylist())
    assert {name for name, reason in told.items() if reason.startswith("does not meet")}.isdisjoint(kept)
    assert status.standing.done + status.standing.excluded == len(levels)
    assert status.standing.left == 0


def test_an_output_of_pieces_and_one_without_duplicates_are_verified(
    cut: Path, unique: Path, codec: Codec, tmp_path: Path
) -> None:
    for folder in (cut, unique):
        found = verify(Tokens(folder))
        with ReaderPool(1, codec.sampling_rate, ReadingLimits(60.0, 60.0)) as pool:
            check_sample(Tokens(folder), codec, pool, found, count=4)
        assert found.faults == []
        assert found.compared == 4
    shutil.copytree(unique, tmp_path / "out")
    (tmp_path / "out/deduplicated.json").unlink()
    assert [each.problem for each in verify(Tokens(tmp_path / "out")).faults] == [
        "duplicates have not been left out yet"
    ]


# The command


def test_the_command_measures_cuts_and_leaves_out(long: Path, model: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    options = ["--segment-seconds", "3", "--where", "peak > -1 and snr > 90", "--dedupe", "audio", "--quality"]
    told = CliRunner().invoke(app, ["tokenize", str(long / "m.csv"), "-o", out, "-m", str(model), *options])
    assert told.exit_code == 0, told.output
    assert "Tokenized 0 pieces of 3 recordings" in told.output
    assert "excluded, 0 failed, 0 left of 3 recordings" in told.output
    assert f"listed in {out}/excluded.parquet" in told.output.replace("\n", "")
    told = CliRunner().invoke(app, ["tokenize", "status", out])
    assert "excluded: does not meet peak > -1" in told.output
    told = CliRunner().invoke(app, ["tokenize", "-o", out, "-m", str(model), "--quality"])
    assert told.exit_code == 2
    assert "give the INPUT" in told.output
