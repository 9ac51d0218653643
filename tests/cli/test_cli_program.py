"""The program around the commands: the shell, the terminal, signals."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import xcodec
from cli_builders import SPEECH, files_in, finish, run, start
from waiting import PATIENCE, wait_until
from xcodec.cli.app import COMMANDS as SUMMARIES
from xcodec.cli.manual import manual
from xcodec.codes import Codes


def test_a_shell_completes_commands_once_that_is_installed(tmp_path: Path) -> None:
    if (bash := shutil.which("bash")) is None:
        pytest.skip("needs apt-get install bash")
    program = f"{sys.executable} -m xcodec"
    environment = os.environ | {"HOME": str(tmp_path)}
    # Not the last command, or bash would become the program, and would no longer be there to be recognised.
    installed = subprocess.run(
        [bash, "-c", f"{program} --install-completion && true"], env=environment, capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    assert "bash completion installed in" in installed.stdout
    assert "xcodec" in (tmp_path / ".bashrc").read_text()
    [script] = (tmp_path / ".bash_completions").iterdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/xcodec").write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    (tmp_path / "bin/xcodec").chmod(0o755)
    typed = 'COMP_WORDS=(xcodec re) COMP_CWORD=1; _xcodec_completion xcodec; echo "${COMPREPLY[@]}"'
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    completed = subprocess.run(
        [bash, "-c", f"source {script}; {typed}"], env=environment, capture_output=True, text=True, check=True
    )
    assert completed.stdout == "reconstruct\n"


def test_the_tests_do_not_depend_on_the_terminal_that_they_are_run_in() -> None:
    unlike_ours = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "50", "PY_COLORS": "1", "TERMINAL_WIDTH": "50"}
    chosen = ["-k", "help_reads or wrong_usage or info_tells_what_a_recording_is", "-p", "no:cacheprovider", "-q"]
    files = [str(Path(__file__).with_name(f"test_cli_{name}.py")) for name in ("usage", "info")]
    command = [sys.executable, "-m", "pytest", *files, *chosen]
    shown = subprocess.run(command, capture_output=True, text=True, env=unlike_ours, cwd=Path(__file__).parents[2])
    assert shown.returncode == 0, shown.stdout


def modules_of(*arguments: object) -> set[str]:
    """What a run of the program imports, by the names of packages and, of this one, of modules."""
    code = (
        "import sys\nfrom xcodec.cli import main\ntry: main()\nexcept SystemExit as done: assert not done.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    words = [sys.executable, "-c", code, *map(str, arguments)]
    names = subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()[-1].split()
    return {name if name.startswith(("xcodec.", "rich.")) else name.split(".")[0] for name in names}


def test_help_imports_no_command_and_nothing_that_computes() -> None:
    names = modules_of("--help")
    assert not names & {"torch", "transformers", "numpy", "pydantic", "fsspec", "soundfile", "huggingface_hub"}
    ours = {name for name in names if name.startswith("xcodec.")}
    assert ours == {"xcodec.cli", "xcodec.cli.app", "xcodec.cli.manual"}


def test_to_tell_what_codes_are_no_model_and_no_audio_is_imported(tmp_path: Path) -> None:
    Codes([[1, 2, 3]], 50.0, 900, 16000, 16000, (65536,)).save(tmp_path / "a.codes")
    names = modules_of("info", tmp_path / "a.codes")
    assert not names & {"torch", "transformers", "fsspec", "soundfile", "soxr", "huggingface_hub", "asyncio"}
    assert not names & {"rich.console", "rich.table"}
    assert "xcodec.codes" in names
    assert not [name for name in names if name.startswith(("xcodec.audio", "xcodec.models", "xcodec.cli.serve"))]


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_command_is_listed_by_how_its_manual_begins(name: str) -> None:
    assert SUMMARIES[name] == manual(import_module(f"xcodec.cli.{name}").HELP).split("\n\n")[0]


def test_the_version_is_told() -> None:
    assert run("--version").out == f"xcodec {xcodec.__version__}\n"


def test_help_loads_neither_torch_nor_numpy() -> None:
    code = """
import sys
from xcodec.cli import main
sys.argv = ["xcodec", "encode", "--help"]
try:
    main()
except SystemExit as end:
    print(end.code, sorted({"torch", "transformers", "numpy", "soundfile"} & set(sys.modules)), file=sys.stderr)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr == "0 []\n"


def test_ctrl_c_ends_in_one_line_and_leaves_whole_files(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(200):
        (tmp_path / f"in/{i:03}.wav").write_bytes(SPEECH.read_bytes())
    process = start("encode", tmp_path / "in", "-o", tmp_path / "out", "-m", model, "--batch-seconds", 1)
    wait_until(lambda: list(tmp_path.glob("out/*.codes")), process)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.code, result.out, result.err) == (130, "", "interrupted; every file that was written is whole\n")
    written = files_in(tmp_path / "out")
    assert 0 < len(written) < 200
    assert all(len(Codes.load(tmp_path / "out" / name)) == 150 for name in written)


def test_a_terminal_shows_progress_with_its_speed(model: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    process = start("encode", SPEECH, "-o", tmp_path, "-m", model, stderr=child)
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
    os.close(parent)
    assert process.wait(timeout=PATIENCE) == 0
    assert b"1/1" in shown
    assert re.search(rb"3\.0 s of audio, [\d.]+ audio-s/s", shown)
    assert process.stdout is not None
    assert process.stdout.read().startswith("Encoded 1 of 1 file: 3.0 s of audio in ")
    process.stdout.close()
