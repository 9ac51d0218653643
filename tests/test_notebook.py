"""What a notebook shows of recordings and codes."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np

from xcodec import Audio, Codes
from xcodec.codes import CodecIdentity

HIGHEST = 32767 / 32768


def played(audio: Audio) -> Audio:
    """The recording in the page, as the browser would read it."""
    (data,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', audio._repr_html_())
    return Audio.read(io.BytesIO(base64.b64decode(data)))


def test_a_recording_is_heard_in_the_page() -> None:
    samples = np.sin(np.arange(2 * 8000).reshape(2, 8000) / 7)
    found = played(Audio(samples, 8000))
    assert (found.sampling_rate, found.num_channels, found.num_samples) == (8000, 2, 8000)
    assert np.abs(found.samples - samples).max() < 1e-4
    assert "1.00 s, 8,000 Hz, 2 channels" in Audio(samples, 8000)._repr_html_()


def test_full_scale_and_what_exceeds_it_are_the_largest_numbers() -> None:
    assert played(Audio([1.0, -1.0, 3.0, 0.0], 8000)).samples.tolist() == [[HIGHEST, -HIGHEST, HIGHEST, 0.0]]


def test_of_a_long_recording_the_first_minute_is_in_the_page_and_it_says_so() -> None:
    audio = Audio(np.arange(61 * 100) / 6100, 100)
    assert played(audio).num_samples == 6000
    assert "61.00 s, 100 Hz, 1 channel; the first 60 s" in audio._repr_html_()


def test_more_than_two_channels_are_averaged() -> None:
    assert np.allclose(played(Audio([[0.1, 0.3], [0.2, 0.6], [0.3, 0.0]], 8000)).samples, [[0.2, 0.3]], atol=1e-4)


def some_codes(ids: list[list[int]], sizes: tuple[int, ...], name: str = "mini") -> Codes:
    frames = len(ids[0])
    return Codes(ids, 50.0, 320 * frames, 16000, 16000, sizes, CodecIdentity(name, "", ""))


def test_codes_are_a_picture_of_a_row_a_codebook_darker_the_higher_the_code() -> None:
    page = some_codes([[0, 1023, 512], [0, 0, 0]], (1024, 1024))._repr_html_()
    drawing, _, facts = page.partition("<br>")
    picture = ElementTree.fromstring(drawing)
    assert picture.attrib["viewBox"] == "0 0 3 2"
    cells = {path.attrib["fill"]: path.attrib["d"].count("M") for path in picture}
    assert cells == {"hsl(205 55% 90%)": 4, "hsl(205 55% 53%)": 1, "hsl(205 55% 20%)": 1}
    assert "3 frames, 50 a second; 1 kbit/s; 2 x 1,024 codes; of mini" in facts


def test_every_cell_of_a_picture_is_drawn_once_and_of_many_codes_the_first() -> None:
    ids = np.random.default_rng(0).integers(65536, size=700).tolist()
    page = some_codes([ids], (65536,))._repr_html_()
    assert sorted(map(int, re.findall(r"M(\d+) 0h1", page))) == list(range(600))
    assert "700 frames" in page


def test_a_name_in_a_file_of_codes_is_no_markup() -> None:
    assert "<script>" not in some_codes([[1]], (4,), "<script>alert(1)</script>")._repr_html_()
