"""Models that several tests share; the released size is built once."""

import fcntl
import importlib.machinery
import os
import signal
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.utils import logging

import builders
from original import TINY_OPTIONS, OriginalXCodec2, random_original
from original_higgs import resample_by_its_definition
from skips import lines_about_skipped
from xcodec import Codec
from xcodec.conversion import Checkpoint
from xcodec.conversion.xcodec2 import convert_state_dict
from xcodec.models.xcodec2 import Xcodec2Model

# Before anything reads them: whatever terminal the tests are run in, programs see the same one.
for variable in ("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH"):
    os.environ.pop(variable, None)
os.environ["COLUMNS"] = "80"
os.environ["XCODEC_CACHE"] = ""  # nothing is known of a run before this one
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script, which programs would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # the tests share the cores with other processes
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))

logging.set_verbosity_error()
logging.disable_progress_bar()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that none of them is left when the other process has no more."""
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    if lines := lines_about_skipped((report.nodeid, report.longrepr[2]) for report in reports):
        terminalreporter.section("skipped, and what to install")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tiny() -> Xcodec2Model:
    return builders.tiny_model()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk, where a file of tests has none of its own."""
    return builders.save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def codec(model: Path) -> Codec:
    """It, loaded."""
    return Codec.from_pretrained(model)


@pytest.fixture(scope="session")
def released() -> Xcodec2Model:
    """629M random parameters: the size of HKUSTAudio/xcodec2-hf."""
    return builders.random_model()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Codec, Path]:
    """A very small X-Codec2, and the folder of what was exported of it: once for all processes that test."""
    pytest.importorskip("onnxscript", reason="pip install 'xcodec[onnx]'")
    pytest.importorskip("onnxruntime", reason="pip install 'xcodec[onnx]'")
    from xcodec.export import export_codec

    codec = builders.codec_to_export()
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "exported"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            export_codec(codec, folder, stream=True)
    return codec, folder


@pytest.fixture(scope="module")
def original() -> OriginalXCodec2:
    """A tiny random model as the authors' package would hold it."""
    return random_original()


@pytest.fixture(scope="module")
def state(original: OriginalXCodec2) -> dict[str, Tensor]:
    return original.state_dict()


@pytest.fixture(scope="module")
def converted(state: dict[str, Tensor]) -> Checkpoint:
    return convert_state_dict(state, **TINY_OPTIONS)


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest):
    """Inference unless a test is marked `gradients`."""
    with torch.inference_mode(mode="gradients" not in request.keywords):
        yield


@pytest.fixture(autouse=True)
def no_earlier_graphs():
    """A test compiles for itself: torch keeps graphs by code and gives up at the eighth of one function."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


@pytest.fixture(scope="module")
def torchaudio_of_one_function() -> Iterator[None]:
    """transformers' tokenizer asks for torchaudio, which does not load beside a CPU build of torch, for this alone."""
    module: Any = types.ModuleType("torchaudio")
    module.__spec__, module.__version__ = importlib.machinery.ModuleSpec("torchaudio", None), "2.11.0"
    module.functional = types.SimpleNamespace(resample=resample_by_its_definition)
    present = sys.modules.get("torchaudio")
    sys.modules["torchaudio"] = module
    yield
    del sys.modules["torchaudio"]
    if present is not None:
        sys.modules["torchaudio"] = present
