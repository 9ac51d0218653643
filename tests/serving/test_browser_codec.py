"""The page runs an exported codec itself, in a real Chromium, by onnxruntime-web: the codes are Python's."""

import functools
import gc
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import builders
from browser_builders import browser, opened, silent_and_sharp
from serving_builders import serving
from xcodec import Audio, Codec, Codes
from xcodec.cli.app import app

ONNXRUNTIME = Path(__file__).parent.parent.parent / "node_modules" / "onnxruntime-web"
IDLE = "body.ready:not(.busy)"

# A mark, since a fixture that skips might come after the one that exports a codec.
pytestmark = pytest.mark.skipif(not ONNXRUNTIME.is_dir(), reason="needs npm install --no-save onnxruntime-web")


@pytest.fixture(scope="module")
def web(exported: tuple[Codec, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static page with the very small codec that was exported."""
    folder = tmp_path_factory.mktemp("static") / "web"
    arguments = ["page", str(exported[1]), "-o", str(folder), "--onnxruntime", str(ONNXRUNTIME)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def chromium(web: Path) -> Iterator[Any]:
    with browser(microphone=builders.RECORDINGS[1]) as running:
        yield running


class Files(http.server.SimpleHTTPRequestHandler):
    """A server of files that says nothing of what it does."""

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """The URL of a server of a folder, and of nothing that computes."""
    handler = functools.partial(Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def take(page: Any, path: Path) -> None:
    page.set_input_files("#file", str(path))
    page.wait_for_selector(f"{IDLE} #clips button[aria-pressed=true]:text-is('{path.name}')")


def test_codes_made_in_the_browser_are_those_of_torch(chromium: Any, web: Path, exported: tuple[Codec, Path]) -> None:
    codec = exported[0]
    with files_of(web) as url, opened(chromium, url) as page:
        page.wait_for_selector(IDLE)
        silent_and_sharp(page)
        assert page.inner_text("#codec") == "tiny, float32, in this browser"
        for recording in builders.RECORDINGS[1:3]:
            take(page, recording)
            codes = codec.encode(recording)
            assert Codes.from_bytes(saved(page, "#save-codes")) == codes
            audio = Audio.read(saved(page, "#save-audio"))
            assert np.abs(audio.samples - codec.decode(codes).samples.clip(-1, 1)).max() < 2e-4
        assert "in this browser" in page.inner_text("#status")
        assert "s encoded in" in page.inner_text("#status")


def test_a_microphone_is_recorded_encoded_and_heard_without_a_server(
    chromium: Any, web: Path, exported: tuple[Codec, Path]
) -> None:
    with files_of(web) as url, opened(chromium, url) as page:
        page.wait_for_selector(IDLE)
        page.click("#record")
        page.wait_for_selector("#record[aria-pressed=true][data-seconds^='1.']")
        page.click("#record")
        page.wait_for_selector(f"{IDLE} #clips button:text-is('take 1.wav')")
        recording = Audio.read(saved(page, "#save-original"))
        codes = Codes.from_bytes(saved(page, "#save-codes"))
        assert codes.num_samples == recording.resample(16_000).num_samples
        assert codes.codec == exported[0].identity
        page.click("#play")
        page.wait_for_selector("#play.playing")
        page.wait_for_selector("#play:not(.playing)")


def test_a_server_offers_the_codec_of_the_browser_beside_its_own(
    chromium: Any, web: Path, exported: tuple[Codec, Path]
) -> None:
    codec = exported[0]
    recording = builders.RECORDINGS[1]
    with (
        serving(codec, web_folder=web, api_key="secret") as running,
        opened(chromium, running.url, refusals=True) as page,
    ):
        page.fill("#key", "secret")
        page.keyboard.press("Enter")
        page.wait_for_selector(IDLE)
        take(page, recording)
        on_server = saved(page, "#save-codes")
        assert page.evaluate("crossOriginIsolated")  # so that WebAssembly has threads
        page.select_option("#codec", label="tiny, float32, in this browser")
        page.wait_for_selector(f"{IDLE} #status:has-text('in this browser')")
        page.wait_for_selector(f"{IDLE} #status:has-text('encoded in')")
        assert saved(page, "#save-codes") == on_server


def test_what_a_browser_cannot_have_is_refused(exported: tuple[Codec, Path], web: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(exported[1] / "codec.json", half)
    given = str(exported[1])
    for models, runtime, message in (
        ([str(tmp_path)], ONNXRUNTIME, "holds no exported codec"),
        ([str(half)], ONNXRUNTIME, "there is no encoder.onnx"),
        ([given], tmp_path, "is not the package onnxruntime-web of npm"),
        ([given, given], ONNXRUNTIME, "each with a last name of its own"),
    ):
        target = tmp_path / "out"
        done = CliRunner().invoke(app, ["page", *models, "-o", str(target), "--onnxruntime", str(runtime)])
        assert done.exit_code == 1
        assert message in " ".join(done.stderr.split())
        assert not target.exists()
    done = CliRunner().invoke(app, ["page", given, "-o", str(web), "--onnxruntime", str(ONNXRUNTIME)])
    assert "is there already" in done.stderr
    done = CliRunner().invoke(app, ["serve", "--port", "0", "--web", str(tmp_path)])
    assert done.exit_code == 1
    assert "is not a folder that `xcodec page` wrote" in " ".join(done.stderr.split())
    gc.collect()  # a port that was only forgotten, and not closed, would warn
