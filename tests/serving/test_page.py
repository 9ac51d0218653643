"""The page of the server, in a real Chromium: seen, heard, changed and saved, by mouse and by keyboard."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import builders
import llasa_builders
import xcodec_builders
from browser_builders import browser, opened, silent_and_sharp
from serving_builders import Running, serving
from xcodec import Audio, Codec, Codes
from xcodec.models.auto import feature_extractor_of
from xcodec.serving.limits import Limits
from xcodec.serving.speaker import Speaker

FIRST, SECOND = builders.RECORDINGS[1], builders.RECORDINGS[4]  # of 3 s each
NAME = "(({id, value, className, textContent}) => id || value || className || textContent)(document.activeElement)"
IDLE = "body.ready:not(.busy)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser(microphone=FIRST) as running:
        yield running


@pytest.fixture(scope="module")
def server(codec: Codec) -> Iterator[Running]:
    with serving(codec) as running:
        yield running


@pytest.fixture
def page(chromium: Any, server: Running) -> Iterator[Any]:
    with opened(chromium, server.url) as page:
        page.wait_for_selector(IDLE)
        yield page


def take(page: Any, *paths: Path) -> None:
    """Choose files, and wait until the last has been encoded and decoded."""
    page.set_input_files("#file", [str(path) for path in paths])
    page.wait_for_selector(f"{IDLE} #clips button[aria-pressed=true]:text-is('{paths[-1].name}')")


def press(page: Any, button: str) -> None:
    """Press a button that changes codes, and wait until they have been decoded."""
    before = page.inner_text("#status")
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click(button)
    page.wait_for_selector(f"{IDLE} #status:not(:empty)")
    assert "decoded in" in page.inner_text("#status"), before


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def saved_codes(page: Any) -> Codes:
    return Codes.from_bytes(saved(page, "#save-codes"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_every_control_has_a_name(chromium: Any, server: Running, scheme: str) -> None:
    with opened(chromium, server.url, viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        page.wait_for_selector(IDLE)
        silent_and_sharp(page)
        take(page, FIRST)
        silent_and_sharp(page)


def test_a_recording_is_heard_beside_its_reconstruction(page: Any) -> None:
    take(page, FIRST)
    assert page.inner_text("#original-facts") == "2.99 s at 16 kHz"
    assert page.inner_text("#codes-facts") == "150, 0.8 kbit/s, 300 bytes"
    assert page.is_checked("input[value=reconstruction]")
    page.keyboard.press("Space")
    page.wait_for_selector("#play.playing[aria-label=Pause]")
    page.keyboard.press("a")
    assert page.is_checked("input[value=original]")
    page.keyboard.press("x")
    assert page.is_checked("input[value=reconstruction]")
    page.wait_for_selector("#play:not(.playing)")  # the end
    assert page.inner_text("#time") == "0:02.9 / 0:02.9"
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#time") == "0:01.9 / 0:02.9"
    page.check("input[value=original]")
    assert page.get_attribute("[data-lane=original]", "class") == "heard"


def test_what_is_saved_is_what_the_package_makes(page: Any, codec: Codec) -> None:
    take(page, FIRST)
    codes = codec.encode(FIRST)
    assert saved_codes(page) == codes
    assert json.loads(saved(page, "#save-json"))["codes"] == codes.ids.tolist()
    audio = Audio.read(saved(page, "#save-audio"))
    assert audio.sampling_rate == codec.output_sampling_rate
    assert np.abs(audio.samples - codec.decode(codes).samples.clip(-1, 1)).max() < 1e-4


def test_codes_are_changed_and_come_back(page: Any, codec: Codec) -> None:
    take(page, FIRST)
    codes = codec.encode(FIRST)
    press(page, "#flip")
    flipped = saved_codes(page)
    changed = int((flipped.ids != codes.ids).sum())
    assert 0 < changed < 150
    assert page.inner_text("#changes") == f"{changed} of 150 codes changed."
    press(page, "#digits button:text-is('2')")
    digits = saved_codes(page).ids // 4 % 4
    assert set(digits.ravel().tolist()) == {2}
    press(page, "#undo")
    assert saved_codes(page) == flipped
    press(page, "#restore")
    assert saved_codes(page) == codes
    assert page.is_disabled("#undo")


def test_halves_of_two_recordings_change_places(page: Any, codec: Codec) -> None:
    assert not page.is_visible("#swap")
    take(page, FIRST)
    assert page.is_disabled("#swap")
    take(page, SECOND)
    first, second = codec.encode(FIRST).ids[0], codec.encode(SECOND).ids[0]
    press(page, "#swap")
    halves = [len(first) // 2, len(second) // 2]
    assert saved_codes(page).ids[0].tolist() == [*second[: halves[1]], *first[halves[0] :]]
    page.click(f"#clips >> text={FIRST.name}")
    page.wait_for_selector(f"{IDLE} #clips button[aria-pressed=true]:text-is('{FIRST.name}')")
    mixed = saved_codes(page)
    assert mixed.ids[0].tolist() == [*first[: halves[0]], *second[halves[1] :]]
    heard = Audio.read(saved(page, "#save-audio"))
    assert np.abs(heard.samples - codec.decode(mixed).samples.clip(-1, 1)).max() < 1e-4


def test_the_microphone_is_recorded_and_encoded(page: Any, codec: Codec) -> None:
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true][data-seconds^='1.']")
    page.click("#record")
    page.wait_for_selector(f"{IDLE} #clips button:text-is('take 1.wav')")
    recording = Audio.read(saved(page, "#save-original"))
    assert recording.duration > 1.0
    assert np.abs(recording.samples).max() > 0.01
    assert saved_codes(page).ids.tolist() == codec.encode(recording).ids.tolist()


def test_a_broken_file_is_told_in_words_and_the_next_one_is_taken(
    chromium: Any, server: Running, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF, or so it says")
    with opened(chromium, server.url, refusals=True) as page:
        page.wait_for_selector(IDLE)
        page.set_input_files("#file", str(broken))
        page.wait_for_selector("#alert[role=alert]")
        assert "is not audio in a format that can be read" in page.inner_text("#alert")
        take(page, FIRST)
        assert not page.is_visible("#alert")


def test_a_server_that_has_gone_is_told(chromium: Any, codec: Codec) -> None:
    with serving(codec) as running, chromium.new_page() as page:
        page.goto(running.url)
        page.wait_for_selector(IDLE)
        page.route("**/v1/**", lambda route: route.abort())
        page.set_input_files("#file", str(FIRST))
        page.wait_for_selector("#alert")
        assert "The server does not answer." in page.inner_text("#alert")


def test_the_page_asks_for_the_key_that_the_server_wants(chromium: Any, codec: Codec) -> None:
    with serving(codec, api_key="secret") as running, opened(chromium, running.url, refusals=True) as page:
        page.wait_for_selector("#key-dialog[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#again:not([hidden])")
        assert "This server wants an API key." in page.inner_text("#alert")
        page.click("#again")
        for key in ("wrong", "secret"):
            page.wait_for_selector("#key-dialog[open]")
            silent_and_sharp(page)
            page.fill("#key", key)
            page.keyboard.press("Enter")
        page.wait_for_selector(IDLE)
        take(page, FIRST)
        assert httpx.get(f"{running.url}/v1/models").status_code == 401


def test_a_text_is_said_while_it_is_made_and_becomes_a_recording(chromium: Any, codec: Codec) -> None:
    service = {"speaker": Speaker(llasa_builders.small_llasa(codec), "tiny", {"seed": 3})}
    with (
        serving(codec, Limits(seconds=1.1), service=service) as running,
        opened(chromium, running.url) as page,
    ):
        page.wait_for_selector(IDLE)
        page.fill("#text", "Hello there.")
        page.keyboard.press("Tab")  # voice
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#keep")
        assert "the first after" in page.inner_text("#speech-facts")
        page.click("#keep")
        page.wait_for_selector(f"{IDLE} #clips button:text-is('Hello there.wav')")
        assert page.inner_text("#original-facts").endswith("s at 24 kHz")
        assert 0 < Audio.read(saved(page, "#save-original")).duration <= 1.1


def test_all_is_reached_by_keyboard_in_the_order_of_reading(page: Any) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(str(SECOND)))
    take(page, FIRST)
    page.evaluate("document.activeElement.blur()")
    order: list[str] = []
    while "interface" not in order:
        page.keyboard.press("Tab")
        order.append(page.evaluate(NAME))
    wanted = ["skip", "codec", "file", "record", FIRST.name, "play", "reconstruction", "position", "flip-rate", "flip"]
    wanted += ["save-codes", "interface"]
    assert [name for name in order if name in wanted] == wanted
    page.focus("#file")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{IDLE} #clips button[aria-pressed=true]:text-is('{SECOND.name}')")


def test_the_switch_makes_no_gap(page: Any) -> None:
    """Two tracks of one tone, switched thrice while they play, are that tone."""
    heard, written = page.evaluate(
        """async () => {
          const { Player } = await import("/page/player.js");
          const context = new OfflineAudioContext(1, 24000, 24000);
          const buffer = context.createBuffer(1, 24000, 24000);
          const tone = buffer.getChannelData(0).map((_, i) => Math.sin(i / 9));
          buffer.copyToChannel(tone, 0);
          const player = new Player(context);
          player.setTrack("a", buffer);
          player.setTrack("b", buffer);
          for (const [when, name] of [[0.2, "b"], [0.4, "a"], [0.405, "b"]]) {
            context.suspend(when).then(() => { player.choose(name); context.resume(); });
          }
          await player.play();
          return [[...(await context.startRendering()).getChannelData(0)], [...tone]];
        }"""
    )
    begin = 480  # tracks begin together, 0.02 s after they are asked to
    assert np.abs(np.array(heard)[begin:] - np.array(written)[:-begin]).max() < 1e-3


def test_the_pictures_transform_is_the_fourier_transform(page: Any) -> None:
    frame = np.random.default_rng(0).standard_normal(64)
    power = page.evaluate(
        """async (frame) => {
          const { FourierTransform } = await import("/page/fft.js");
          return [...new FourierTransform(64).power(frame)];
        }""",
        frame.tolist(),
    )
    assert np.allclose(power, np.abs(np.fft.rfft(frame))[:-1] ** 2, rtol=1e-5)


def test_bandwidths_are_chosen_and_codebooks_dropped(chromium: Any) -> None:
    model = xcodec_builders.tiny_xcodec()
    codec = Codec(model, feature_extractor_of(model), name="tiny")
    with serving(codec) as running, opened(chromium, running.url) as page:
        page.wait_for_selector(IDLE)
        take(page, FIRST)
        assert saved_codes(page) == codec.encode(FIRST)
        assert not page.is_visible("#digit-tool")
        press(page, "#drop-codebook")
        assert saved_codes(page).ids.tolist() == codec.encode(FIRST).ids[:-1].tolist()
        page.evaluate("document.getElementById('status').textContent = ''")
        page.select_option("#bandwidth", str(codec.bandwidths[0]))
        page.wait_for_selector(f"{IDLE} #status:not(:empty)")
        assert saved_codes(page) == codec.encode(FIRST, bandwidth=codec.bandwidths[0])


def test_the_page_may_load_nothing_from_elsewhere(server: Running) -> None:
    answer = httpx.get(server.url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert httpx.get(f"{server.url}/page/..%2fapp.py").status_code == 404
    assert httpx.get(f"{server.url}/page/nothing.js").json()["error"]["code"] == "not_found"
