"""`xcodec tokenize verify`: what is whole is called so, and each kind of damage is named with what to do about it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builders
from cli_builders import run as run_program
from tokenize_builders import job_for, run, write_clips
from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.tokenization.headers import METADATA, read_header
from xcodec.tokenization.plan import Plan, file_hash
from xcodec.tokenization.readers import ReaderPool, ReadingLimits
from xcodec.tokenization.sample import check_same_codec, check_sample, sampled_rows
from xcodec.tokenization.tokens import Tokens
from xcodec.tokenization.treatment import Treatment
from xcodec.tokenization.verification import Verification, shard_faults, verify

COUNT = 8


@pytest.fixture(scope="module")
def whole(model: Path, codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished output of eight clips and one that cannot be read, with a column of the user's called `parent`."""
    folder = tmp_path_factory.mktemp("data")
    names = sorted(write_clips(folder / "in", COUNT))
    (folder / "in/broken.wav").write_text("no audio")
    carried = {"level": 0.5, "parent": "session 1"}
    rows = [{"path": f"in/{name}", "id": name, "text": name, **carried} for name in [*names, "broken.wav"]]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, folder / "out"), codec, folder / "m.jsonl", hours=0.0004)
    assert Plan(folder / "out").fingerprint.shards > 2
    return folder / "out"


@pytest.fixture
def output(whole: Path, tmp_path: Path) -> Path:
    """A finished output to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def shard(output: Path, number: int = 1) -> Path:
    return output / f"codes/{number:07}.parquet"


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a file of codes anew with other contents, and what it says of itself as it was."""
    table = change(pq.read_table(path))
    pq.write_table(table, path)


def problems(output: Path) -> list[str]:
    """What is found, the files' names without their folder; each fault has a remedy."""
    found = verify(Tokens(output)).faults
    assert all(fault.remedy for fault in found)
    return [f"{Path(fault.subject).name}: {fault.problem}" for fault in found]


def test_what_is_whole_is_called_so_and_a_sample_has_its_codes(whole: Path, model: Path) -> None:
    told = run_program("tokenize", "verify", whole, "-m", model, "--sample", 5, "--device", "cpu")
    assert (told.code, told.err) == (0, "")
    shards = Plan(whole).fingerprint.shards
    assert told.out == (
        f"All is well: {shards} shards with {COUNT} recordings and 1 failures; 5 recordings were encoded again\n"
    )


# The plan


def test_a_damaged_plan_is_named(output: Path) -> None:
    (output / "plan.parquet").write_bytes((output / "plan.parquet").read_bytes()[:-9])
    told = run_program("tokenize", "verify", output, "--sample", 0)
    assert told.code == 1
    assert "plan.parquet: is damaged, or not the plan that plan.json speaks of; put it back from a copy" in told.err


@pytest.mark.parametrize(("field", "value"), [("rows", 11), ("faults", 3), ("seconds", 99.0)])
def test_a_plan_that_does_not_count_what_it_holds_is_named(output: Path, field: str, value: float) -> None:
    stored = json.loads((output / "plan.json").read_text())
    (output / "plan.json").write_text(json.dumps(stored | {field: value}))
    [problem] = problems(output)
    assert problem.startswith("plan.json: speaks of ")
    assert f"{value:g}" in problem
    assert "plan.parquet" in problem


def test_an_id_that_is_planned_twice_is_named(output: Path) -> None:
    rewrite(
        output / "plan.parquet",
        lambda table: table.set_column(0, table.schema.field(0), pa.array(["x"] * 2 + table["id"].to_pylist()[2:])),
    )
    stored = json.loads((output / "plan.json").read_text())
    stored["plan_hash"] = file_hash(output / "plan.parquet")
    (output / "plan.json").write_text(json.dumps(stored))
    found = problems(output)
    assert "plan.parquet: holds 1 ids more than once, such as 'x'" in found
    assert "0000001.parquet: belongs to another plan" in found


# Shards


def test_a_shard_that_is_missing_is_left_to_do(output: Path) -> None:
    shards = Plan(output).fingerprint.shards
    shard(output).unlink()
    [fault] = verify(Tokens(output)).faults
    assert fault.problem == f"1 of {shards} shards are not there"
    assert fault.remedy == f"run `xcodec tokenize -o {output}` again, to the end"


def test_a_shard_that_is_cut_is_damaged(output: Path) -> None:
    shard(output).write_bytes(shard(output).read_bytes()[:-30])
    assert problems(output)[0].startswith("0000001.parquet: is damaged, or no file of codes (")


def test_a_bit_that_flipped_is_found_unless_what_is_read_is_the_same(output: Path) -> None:
    contents, table = shard(output).read_bytes(), pq.read_table(shard(output))
    footer = len(contents) - 8 - int.from_bytes(contents[-8:-4], "little")
    tokens, found = Tokens(output), 0
    header = read_header(shard(output))
    for place in range(10, footer, footer // 20):
        shard(output).write_bytes(contents[:place] + bytes([contents[place] ^ 4]) + contents[place + 1 :])
        if problems := list(shard_faults(tokens, 1, header)):
            assert problems[0].startswith("cannot be read ("), place
            found += 1
        else:  # in what Parquet tells of a page besides
            assert pq.read_table(shard(output)).equals(table), place
    assert found > 5


def test_files_that_are_no_shards_of_the_plan_are_named(output: Path) -> None:
    shutil.copy(shard(output), output / "codes/notes.parquet")
    shutil.copy(shard(output), shard(output, 99))
    shutil.copy(shard(output, 0), shard(output))
    found = problems(output)
    assert found[0].startswith("0000099.parquet: has the name of a shard beyond the ")
    assert found[1] == "notes.parquet: has no name of a shard"
    assert found[2] == "0000001.parquet: is shard 0, under the name of another"


def without_first(table: pa.Table) -> pa.Table:
    return table.slice(1)


def first_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(0, 1), table])


def renamed(table: pa.Table) -> pa.Table:
    return table.set_column(0, "id", pa.array(["other", *table["id"].to_pylist()[1:]]))


def other_text(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("text"), "text", pa.array(["no"] * len(table)))


def too_few_codes(table: pa.Table) -> pa.Table:
    codes = [each[:2] for each in table["codes"].to_pylist()]
    table = table.set_column(1, table.schema.field("codes"), pa.array(codes, pa.list_(pa.uint16())))
    return table.set_column(2, table.schema.field("frames"), pa.array([2] * len(table), pa.int32()))


def other_frames(table: pa.Table) -> pa.Table:
    return table.set_column(2, table.schema.field("frames"), pa.array([3] * len(table), pa.int32()))


def without_codes(table: pa.Table) -> pa.Table:
    return table.drop_columns(["codes"])


def as_text(table: pa.Table) -> pa.Table:
    return table.set_column(3, "seconds", table["seconds"].cast(pa.string()))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_first, "lacks 1 of its "),
        (first_twice, "holds 1 ids more than once, such as "),
        (renamed, "holds 1 ids that are not planned in it, such as 'other'"),
        (other_text, "has other values of 'text' than the plan"),
        (too_few_codes, "holds codes that cannot be decoded, of "),
        (other_frames, "frames, not 3"),
        (without_codes, "lacks the columns codes"),
        (as_text, "has the columns seconds in other types"),
    ],
)
def test_contents_that_are_not_as_planned_are_named(
    output: Path, change: Callable[[pa.Table], pa.Table], problem: str
) -> None:
    rewrite(shard(output), change)
    found = problems(output)
    assert any(problem in each for each in found)
    assert all(each.startswith("0000001.parquet: ") for each in found)


def test_codes_beyond_their_codebook_are_named(output: Path) -> None:
    tokens = Tokens(output)
    tokens.codec = {**tokens.codec, "codebook_sizes": [max(int(row.codes.max()) for row in tokens.rows())]}
    [fault] = verify(tokens).faults
    assert "holds codes that cannot be decoded, of 1 recordings" in fault.problem


def test_a_shard_that_says_other_things_than_it_holds_is_named(output: Path) -> None:
    header = asdict(read_header(shard(output))) | {"rows": 77, "seconds": 1.0}

    def change(table: pa.Table) -> pa.Table:
        return table.replace_schema_metadata({METADATA: json.dumps(header)})

    rewrite(shard(output), change)
    found = problems(output)
    assert any("speaks of 77 rows, and there are " in each for each in found)
    assert any("speaks of 1.0 seconds, and there are " in each for each in found)


def test_a_list_of_failures_that_is_not_that_of_the_shards_is_named(output: Path) -> None:
    rewrite(output / "failures.parquet", lambda table: table.slice(1))
    assert problems(output) == ["failures.parquet: lists 0 failures, which are not the 1 of the shards"]
    (output / "failures.parquet").unlink()
    assert problems(output) == ["failures.parquet: is not there"]


# The sample


def checked(output: Path, codec: Codec, **options: float) -> Verification:
    report = Verification()
    with ReaderPool(1, codec.sampling_rate, ReadingLimits(20.0, 60.0)) as pool:
        check_sample(Tokens(output), codec, pool, report, **{"count": COUNT, **options})
    return report


def test_a_sample_is_the_same_of_the_same_seed(whole: Path) -> None:
    tokens = Tokens(whole)
    done = tokens.plan.survey().done
    drawn = [[each.row.id for each in sampled_rows(tokens, done, 3, seed)] for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({tuple(each) for each in drawn}) > 1
    assert all(len(set(each)) == 3 for each in drawn)
    assert len(list(sampled_rows(tokens, done, 99, 0))) == COUNT


def test_codes_that_are_not_those_of_their_recording_are_named_frame_by_frame(output: Path, codec: Codec) -> None:
    def change(table: pa.Table) -> pa.Table:
        codes = table["codes"].to_pylist()
        codes[0][2] = (codes[0][2] + 1) % 100
        return table.set_column(1, table.schema.field("codes"), pa.array(codes, pa.list_(pa.uint16())))

    name = pq.read_table(shard(output))["id"][0].as_py()
    frames = pq.read_table(shard(output))["frames"][0].as_py()
    rewrite(shard(output), change)
    report = checked(output, codec)
    [fault] = report.faults
    assert (report.compared, report.decoded) == (COUNT, 0)
    assert fault.subject == name
    assert fault.problem == f"1 of {frames} codes are not those of its recording, from frame 2 on"
    assert fault.remedy.startswith(f"delete {shard(output)} and run `xcodec tokenize -o {output}` again")
    assert checked(output, codec, differ=0.5).faults == []


def test_of_recordings_that_are_away_or_replaced_the_codes_are_decoded(
    model: Path, codec: Codec, tmp_path: Path
) -> None:
    write_clips(tmp_path / "in", 3)
    run(job_for(model, tmp_path / "out"), codec, tmp_path / "in")
    (tmp_path / "in/a/clip-000.wav").unlink()
    Audio(np.zeros(1600), 16000).save(tmp_path / "in/b/clip-001.wav")
    report = checked(tmp_path / "out", codec)
    assert (report.compared, report.decoded, report.faults) == (1, 2, [])
    assert "1 recordings were encoded again, and of 2 that are away the codes were decoded" in str(report)


def test_pieces_and_what_was_left_out_are_as_planned(model: Path, codec: Codec, tmp_path: Path) -> None:
    speech = builders.speech(4.0)
    Audio(speech, 16000).save(tmp_path / "long.wav")
    Audio(speech[:8000], 16000).save(tmp_path / "short.wav")
    Audio(speech[:8000], 16000).save(tmp_path / "twin.wav")
    treatment = Treatment(quality=True, dedupe="audio", segment_seconds=1.5, where="seconds < 100")
    run(job_for(model, tmp_path / "out"), codec, tmp_path, treatment=treatment)
    found = verify(Tokens(tmp_path / "out"))
    assert (found.faults, found.excluded) == ([], 1)
    assert found.rows > 3
    report = checked(tmp_path / "out", codec, count=99)
    assert (report.compared, report.decoded, report.faults) == (found.rows, 0, [])
    rewrite(shard(tmp_path / "out", 0), without_first)
    assert any("speaks of" in fault.problem for fault in verify(Tokens(tmp_path / "out")).faults)


def test_another_codec_is_refused_and_a_newer_version_is_not(
    output: Path, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xcodec.__version__", "99.0")
    check_same_codec(Plan(output), codec, None)
    with pytest.raises(InputError, match=r"is not this one: weights_hash was"):
        check_same_codec(Plan(output), Codec.from_pretrained(builders.save_tiny(tmp_path / "other", seed=1)), None)


def test_faults_are_told_to_people_and_to_programs(output: Path) -> None:
    shard(output).unlink()
    told = run_program("tokenize", "verify", output, "--sample", 0)
    assert told.code == 1
    assert "shards are not there; run `xcodec tokenize -o" in told.err
    assert told.out.startswith("1 faults: ")
    told = run_program("tokenize", "verify", output, "--sample", 0, "--json")
    assert told.code == 1
    assert [fault["subject"] for fault in json.loads(told.out)["faults"]] == [str(output)]
