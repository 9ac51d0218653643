"""Ctrl-C is never lost: not where something swallows the KeyboardInterrupt, nor where something else goes wrong."""

import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import builders
from builders import save_tiny
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.cli.interruption import Interruption
from xcodec.codec import Codec

COUNT = 12


@pytest.fixture
def lose_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Ctrl-C in a callback from native code, where Python reports the KeyboardInterrupt and goes on."""
    lost: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: lost.append(report.exc_type))
    callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))

    def lose() -> None:
        callback()
        assert lost == [KeyboardInterrupt]

    return lose


def test_ctrl_c_comes_up_at_once_where_nothing_is_in_the_way() -> None:
    reached = []

    def work() -> None:
        with Interruption():
            signal.raise_signal(signal.SIGINT)
            reached.append("the next line")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_lost_ctrl_c_is_raised_by_the_next_look_and_on_leaving(lose_ctrl_c: Callable[[], None]) -> None:
    reached = []

    def work() -> None:
        with Interruption() as interruption:
            interruption.check()
            lose_ctrl_c()
            with pytest.raises(KeyboardInterrupt):
                interruption.check()
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached


def test_what_else_goes_wrong_does_not_hide_it(lose_ctrl_c: Callable[[], None]) -> None:
    def work() -> None:
        with Interruption():
            lose_ctrl_c()
            raise ValueError("say of a program that the same Ctrl-C ended")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_what_a_script_starts_in_the_background_ignores_it_still() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            interruption.check()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, recordings, their codes, and an output of `xcodec tokenize`."""
    folder = tmp_path_factory.mktemp("made")
    save_tiny(folder / "model")
    (folder / "in").mkdir()
    for i in range(COUNT):
        Audio(builders.speech(1.0), 16000).save(folder / f"in/{i}.wav")
    for command, output in (("encode", "codes"), ("tokenize", "tokens")):
        assert run(command, folder, "in", output).exit_code == 0
    return folder


def run(command: str, made: Path, source: str, output: str) -> Any:
    arguments = [command, made / source, "-m", made / "model", "--device", "cpu"]
    arguments += ["--asr", "none"] if command == "evaluate" else ["-o", made / output, "--batch-seconds", 1]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("encode", "in"),
        ("decode", "codes"),
        ("reconstruct", "in"),
        ("tokenize", "in"),
        ("detokenize", "tokens"),
        ("evaluate", "in"),
    ],
)
def test_a_lost_ctrl_c_ends_a_command_between_two_batches(
    command: str, source: str, made: Path, lose_ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            batches.append(method.__name__)
            if len(batches) == 3:
                lose_ctrl_c()
            return method(*arguments)

        return call

    for method in (Codec.encode_samples, Codec.decode_ids):
        monkeypatch.setattr(Codec, method.__name__, counted(method))
    result = run(command, made, source, f"interrupted-{command}")
    assert result.exit_code == 130
    assert "interrupted; every file that was written is whole" in result.output
    assert 3 <= len(batches) <= 5 < COUNT  # detokenize tries the model first, and is asked after every fourth batch
