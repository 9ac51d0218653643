"""`xcodec tokenize` and `detokenize` as a new user gives them, on a folder with broken files among good ones."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import builders
from tokenize_builders import counts, output_of, poison_readers, write_clips
from waiting import PATIENCE, wait_until
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.status import Standing

GOOD = {"a/clip-000.wav", "a/clip-002.wav", "b/clip-001.wav", "long.wav", "stereo.flac", "x.wav/größe 語.mp3"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of several kinds, and what only looks like recordings."""
    folder = tmp_path_factory.mktemp("mixed")
    write_clips(folder, 3)
    speech = builders.speech(1.0)
    (folder / "x.wav").mkdir()
    (folder / "none.flac").mkdir()
    Audio(speech, 16000).save(folder / "x.wav/größe 語.mp3")
    Audio(np.stack([speech] * 2), 16000).resample(44100).save(folder / "stereo.flac")
    Audio(np.zeros(30 * 16000), 16000).save(folder / "long.wav")
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("no audio\n")
    (folder / "cut.wav").write_bytes(builders.RECORDINGS[0].read_bytes()[:9000])
    (folder / "away.wav").symlink_to("nowhere.wav")
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def finished(mixed: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "tokens"
    code, told = run("tokenize", mixed, "-o", folder, "-m", model, "--shard-hours", 0.01)
    assert code == 1
    assert "Tokenized 6 of 11 recordings, 3" in told
    assert "the model worked" in told
    assert "6 done, 5 failed, 0 left of 11 recordings" in told
    assert f"The failures are listed in {folder / 'failures.parquet'}" in told
    return folder


def run(*arguments: object) -> tuple[int, str]:
    """The exit code, and all that was printed, in one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.output.split())


def test_good_recordings_are_done_and_broken_ones_are_listed(finished: Path, mixed: Path, model: Path) -> None:
    assert set(output_of(finished)["id"].to_pylist()) == GOOD
    assert set(counts(finished).values()) == {1}
    assert len(counts(finished)) == 11
    assert run("tokenize", mixed, "-o", finished, "-m", model)[0] == 1  # again: nothing to do, the failures stay
    code, told = run("tokenize", "status", finished)
    assert code == 0
    assert "6 done, 5 failed, 0 left of 11 recordings" in told
    assert "1 read: no such file" in told
    assert "local run" in told
    status = json.loads(CliRunner().invoke(app, ["tokenize", "status", str(finished), "--json"]).stdout)
    assert status["standing"]["failed"] == 5
    assert status["runs"][0]["state"] == "finished"


def test_unreadable_recordings_can_be_ignored_but_are_counted(finished: Path, mixed: Path, model: Path) -> None:
    code, told = run("tokenize", mixed, "-o", finished, "-m", model, "--ignore-unreadable")
    assert code == 0
    assert "6 done, 5 failed, 0 left of 11 recordings" in told


def test_what_a_plan_will_take_is_tried_and_told(mixed: Path, model: Path, tmp_path: Path) -> None:
    plan = ("tokenize", mixed, "-m", model, "-o", tmp_path / "out")
    code, told = run(*plan, "--plan-only", "--trial", 1)
    assert code == 0
    assert "in 1 shards" in told
    assert re.search(r"The codes take up to \d+(\.\d+)? (bytes|kB), and what is carried comes on top", told)
    assert re.search(r"Tried \d.* of audio: \d+\.\d audio-seconds per second. At that speed all takes \d", told)
    assert not list((tmp_path / "out/codes").iterdir())
    assert "--trial is for --plan-only" in run(*plan, "--trial", 1)[1]


def test_lists_channels_and_faults_are_planned(model: Path, tmp_path: Path) -> None:
    Audio(np.stack([builders.speech(0.5)] * 2), 16000).save(tmp_path / "call.wav")
    (tmp_path / "list.txt").write_text("call.wav\n{broken\n")
    plan = ("tokenize", tmp_path / "list.txt", "-m", model, "--channel", "each", "--plan-only", "-o")
    code, told = run(*plan, tmp_path / "out")
    assert code == 1
    assert "Planned 3 recordings, of which 1 cannot be read, about 2.0 s, in 1 shards" in told
    assert run(*plan, tmp_path / "out", "--ignore-unreadable")[0] == 0
    assert run("tokenize", "-o", tmp_path / "out", "-m", model)[0] == 1
    assert set(output_of(tmp_path / "out")["id"].to_pylist()) == {"call.wav.ch0", "call.wav.ch1"}
    assert "expected mean, left, right, each" in run(*plan, tmp_path / "x", "--channel", "both")[1]
    assert "are for planning" in run("tokenize", "-o", tmp_path / "out", "--channel", "left")[1]


@pytest.mark.parametrize("form", ["npy", "webdataset", "jsonl"])
def test_an_output_is_exported(form: str, finished: Path, tmp_path: Path) -> None:
    code, told = run("tokenize", "export", finished, "--to", form, "-o", tmp_path / "made")
    assert code == 0
    assert told.endswith("made: 6 recordings")
    assert any((tmp_path / "made").rglob("*.*"))


def test_an_output_is_decoded_to_recordings(finished: Path, model: Path, tmp_path: Path) -> None:
    code, told = run(
        "detokenize", finished, "-o", tmp_path, "-m", model, "--id", "stereo.flac", "--id", "a/clip-000.wav"
    )
    assert code == 0
    assert "Decoded 2 recordings" in told
    assert Audio.read(tmp_path / "stereo.flac.wav").num_samples == 16000
    code, told = run("detokenize", finished, "-o", tmp_path, "-m", model, "--id", "empty.wav")
    assert code == 1
    assert "empty.wav: has no codes here" in told
    assert "Decoded 0 recordings, 0.000 s of audio; 1 failed" in told


def test_another_model_or_another_input_is_refused(finished: Path, mixed: Path, tmp_path: Path) -> None:
    other = builders.save_tiny(tmp_path / "other", seed=1)
    code, told = run("tokenize", mixed, "-o", finished, "-m", other)
    assert code == 1
    assert "was begun with the codec tiny, which is not this one: weights_hash was" in told
    code, told = run("detokenize", finished, "-o", tmp_path, "-m", other)
    assert code == 1
    assert "or give --ignore-identity" in told
    assert "holds no plan.json, so it is no output of `xcodec tokenize`" in run("tokenize", "status", tmp_path)[1]
    assert "expected I/N with I from 1 to N, such as 3/8" in run("tokenize", "-o", finished, "--part", "0/2")[1]


def test_ctrl_c_ends_a_run_that_then_goes_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hang.wav").write_bytes(builders.RECORDINGS[0].read_bytes())  # a run that gets there stays there
    rows = [{"path": str(builders.RECORDINGS[i % 5]), "id": str(i)} for i in range(20)]
    rows[10]["path"] = str(tmp_path / "hang.wav")
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = ["-o", tmp_path / "out", "-m", model, "--shard-hours", "0.002", "--batch-seconds", "5"]
    command = [sys.executable, "-m", "xcodec", "tokenize", tmp_path / "m.jsonl", *options]
    with monkeypatch.context() as poisoned:
        poison_readers(tmp_path / "poison", poisoned)
        process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: len(list((tmp_path / "out/codes").glob("*.parquet"))) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everything that was started gets it
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "interrupted; every file that was written is whole" in told
    assert "Traceback" not in told
    assert 2 <= Standing.of(Plan(tmp_path / "out")).shards_done < Plan(tmp_path / "out").fingerprint.shards
    code, told = run("tokenize", "export", tmp_path / "out", "--to", "npy", "-o", tmp_path / "npy")
    assert code == 1
    assert "is not finished" in told
    assert run("tokenize", tmp_path / "m.jsonl", *options)[0] == 0
    assert counts(tmp_path / "out") == dict.fromkeys(map(str, range(20)), 1)


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
from xcodec.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["xcodec", *line.split()]
    try:
        main()
    except SystemExit as ended:
        print(ended.code)
"""


def test_without_the_extra_every_command_that_needs_it_names_it(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens/a.parquet").touch()
    (tmp_path / "a.wav").symlink_to(builders.RECORDINGS[1])
    commands = [
        "tokenize a.wav -o out",
        "tokenize status tokens",
        "detokenize tokens -o audio",
        "train mini --data tokens -o run --set data.audio=tokens",
    ]
    program = [sys.executable, "-c", WITHOUT_PYARROW]
    done = subprocess.run(program, input="\n".join(commands), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["1"] * len(commands)
    named = r"error: pyarrow is needed, and cannot be used: .*; pip install 'xcodec\[tokenize\]' \(pyarrow\)"
    assert [bool(re.fullmatch(named, line)) for line in done.stderr.splitlines()] == [True] * len(commands)
