"""Every kind of file that people have: each gives the whole recording, as FFmpeg gives it, or says what it is."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audio_builders import SPEECH, ffmpeg_samples, flac, made
from xcodec.audio import Audio, AudioFile, AudioInfo
from xcodec.errors import AudioError

FF = "ffmpeg -v error -y -i {in}"

# Files that libsndfile and the package itself read: name, and how it is made.
PLAIN = {
    "xing.mp3": "lame --quiet -V 4 {in} {out}",
    "no-xing.mp3": "lame --quiet -t -V 4 {in} {out}",
    "cbr.mp3": "lame --quiet -t -b 32 {in} {out}",
    "low.mp3": "lame --quiet --resample 8 -b 8 {in} {out}",
    "stereo.mp3": f"{FF} -ac 2 -ar 44100 -b:a 128k {{out}}",
    "from-ffmpeg.mp3": f"{FF} -ar 22050 {{out}}",
    "layer2.mp2": f"{FF} -ar 48000 {{out}}",
    "mp3.wav": f"{FF} -c:a libmp3lame {{out}}",
    "alaw.wav": f"{FF} -c:a pcm_alaw {{out}}",
    "ima.wav": f"{FF} -c:a adpcm_ima_wav {{out}}",
    "ms-adpcm.wav": f"{FF} -c:a adpcm_ms {{out}}",
    "gsm.wav": f"{FF} -ar 8000 -c:a libgsm_ms {{out}}",
    "float.wav": f"{FF} -c:a pcm_f32le {{out}}",
    "big-endian.wav": "sox {in} -B {out}",
    "rf64.wav": f"{FF} -rf64 always {{out}}",
    "speech.w64": f"{FF} {{out}}",
    "speech.aiff": f"{FF} {{out}}",
    "speech.aifc": "sox {in} {out}",
    "speech.au": f"{FF} {{out}}",
    "speech.snd": "sox {in} -t au {out}",
    "speech.caf": f"{FF} {{out}}",
    "alac.caf": f"{FF} -c:a alac {{out}}",
    "speech.flac": f"{FF} {{out}}",
    "24-bit.flac": f"{FF} -sample_fmt s32 {{out}}",
    "vorbis.ogg": f"{FF} -c:a libvorbis -ar 44100 -ac 2 {{out}}",
    "speech.opus": f"{FF} -c:a libopus {{out}}",
    "speech.sph": "sox {in} {out}",
    "speech.voc": "sox {in} {out}",
    "speech.8svx": "sox {in} -b 8 {out}",
}

# Files that need FFmpeg in the package, which PyAV brings.
EXTRA = {
    "aac.m4a": f"{FF} -c:a aac {{out}}",
    "stereo.m4a": f"{FF} -c:a aac -ar 44100 -ac 2 {{out}}",
    "alac.m4a": f"{FF} -c:a alac {{out}}",
    "flac.mp4": f"{FF} -c:a flac -strict -2 {{out}}",
    "speech.aac": f"{FF} -c:a aac {{out}}",
    "opus.webm": f"{FF} -c:a libopus {{out}}",
    "vorbis.webm": f"{FF} -c:a libvorbis {{out}}",
    "aac.mkv": f"{FF} -c:a aac {{out}}",
    "film.mp4": f"{FF} -f lavfi -i testsrc=size=64x64:rate=10:duration=2 -c:v mpeg4 -c:a aac {{out}}",
    "film.mkv": f"{FF} -f lavfi -i testsrc=size=64x64:rate=10:duration=5 -c:v mpeg4 -c:a aac {{out}}",
    "audio-first.mp4": f"{FF} -f lavfi -i testsrc=size=64x64:rate=10:duration=2 -map 0:a -map 1:v -c:a aac {{out}}",
    "two-languages.mkv": f"{FF} -f lavfi -i sine=duration=3 -map 0:a -map 1:a -c:a libvorbis {{out}}",
    "opus.mp4": f"{FF} -c:a libopus {{out}}",
    "film.avi": f"{FF} -f lavfi -i testsrc=size=64x64:rate=10:duration=2 -c:v mpeg4 -c:a mp3 {{out}}",
    "speech.wma": f"{FF} -c:a wmav2 {{out}}",
    "speech.amr": "sox {in} -r 8000 -t amr-nb {out}",
    "speech.awb": "cp {stored}/speech.awb {out}",
    "speech.wv": f"{FF} -c:a wavpack {{out}}",
    "float.wv": f"{FF} -c:a wavpack -sample_fmt fltp {{out}}",
    "speech.spx": f"{FF} -c:a libspeex {{out}}",
    "flac.oga": f"{FF} -c:a flac -f ogg {{out}}",
    "speech.gsm": "sox {in} -r 8000 {out}",
    "speech.tta": f"{FF} {{out}}",
    "speech.ac3": f"{FF} -c:a ac3 -ar 48000 {{out}}",
    "speech.mpg": f"{FF} -c:a mp2 -ar 48000 -f mpeg {{out}}",
}
AS_MADE = ("big-endian.wav", "speech.voc", "speech.flac", "speech.wv", "alac.m4a", "flac.oga", "speech.tta")
TOLERANCES = {
    "ima.wav": 5e-3,
    "ms-adpcm.wav": 5e-3,
    "opus.webm": 2e-3,
    "opus.mp4": 2e-3,
    "speech.amr": 1e-2,
}  # decoders round differently


def all_kinds() -> list[tuple[str, str]]:
    return [*PLAIN.items(), *EXTRA.items()]


@pytest.mark.parametrize(("name", "command"), all_kinds(), ids=[name for name, _ in all_kinds()])
def test_every_kind_of_file_is_as_long_as_ffmpeg_says_and_sounds_the_same(
    tmp_path: Path, name: str, command: str
) -> None:
    if name in EXTRA:
        pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    path = made(tmp_path, name, command)
    audio = Audio.read(path)
    if name in AS_MADE:
        np.testing.assert_array_equal(audio.samples, Audio.read(SPEECH).samples)
    elif name == "speech.opus":  # in its own rate, which FFmpeg leaves at 48 kHz
        assert 3 * audio.num_samples == len(ffmpeg_samples(path))
    elif name == "speech.amr":  # its frames of silence are lost in FFmpeg's own decoder
        assert (audio.num_samples, audio.sampling_rate) == (160 * 150, 8000)
    elif name == "speech.awb":  # likewise
        assert (audio.num_samples, audio.sampling_rate) == (320 * 150, 16000)
        assert np.abs(audio.samples[0, :32000]).max() > 0.1 > 0.001 > np.abs(audio.samples[0, 34000:]).max()
    else:
        expected = ffmpeg_samples(path)[208 if name == "opus.mp4" else 0 :]  # of the encoder's delay, left in by FFmpeg
        assert audio.num_samples * audio.num_channels == len(expected)
        np.testing.assert_allclose(audio.samples.T.ravel(), expected, atol=TOLERANCES.get(name, 1e-4))
    assert AudioInfo.read(path).num_samples in (None, audio.num_samples)
    assert Audio.read(path.read_bytes()) == audio
    with AudioFile(path) as file:
        assert file.count_samples() == audio.num_samples


@pytest.mark.parametrize(("name", "command"), all_kinds(), ids=[name for name, _ in all_kinds()])
def test_a_span_of_every_kind_is_what_the_whole_has_there(tmp_path: Path, name: str, command: str) -> None:
    if name in EXTRA:
        pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    path = made(tmp_path, name, command)
    whole = Audio.read(path)
    spans = [(0.0, 0.5), (0.3, 0.1), (0.31, 1.0), (1.2345, 0.7), (2.5, None)]
    for (start, duration), span in zip(spans, Audio.read_spans(path, spans), strict=True):
        first = round(start * whole.sampling_rate)
        last = whole.num_samples if duration is None else first + round(duration * whole.sampling_rate)
        np.testing.assert_allclose(span.samples, whole.samples[:, first:last], atol=1e-4)
        assert span == Audio.read(path, start=start, duration=duration)


PROMISELESS = (
    "no-xing.mp3",
    "cbr.mp3",
    "low.mp3",
    "layer2.mp2",
    "speech.aac",
    "speech.gsm",
    "speech.amr",
    "speech.awb",
)
# ... and those of which FFmpeg takes what is left for the whole: containers made for transmission.
PROMISELESS += ("speech.ac3", "speech.mpg")


@pytest.mark.parametrize(("name", "command"), all_kinds(), ids=[name for name, _ in all_kinds()])
def test_a_file_that_is_cut_anywhere_is_an_error_or_promised_nothing(tmp_path: Path, name: str, command: str) -> None:
    if name in EXTRA:
        pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    path = made(tmp_path, name, command)
    content, whole = path.read_bytes(), Audio.read(path).duration
    for place in np.random.default_rng(0).integers(1, max(2, int(0.97 * len(content))), 12):
        try:
            audio = Audio.read(content[:place])
        except AudioError:
            continue
        assert name in PROMISELESS, f"cut at {place} of {len(content)}: {audio.duration} of {whole} s"
        assert audio.duration <= whole


# --- packets that are counted

COUNTED = {
    "celt.webm": "-c:a libopus -b:a 64k",
    "silk.mkv": "-c:a libopus -b:a 12k -application voip",
    "hybrid.webm": "-c:a libopus -b:a 24k -application voip",
    "short-frames.webm": "-c:a libopus -frame_duration 2.5",
    "long-frames.mp4": "-c:a libopus -frame_duration 60",
    "vorbis.webm": "-c:a libvorbis",
    "vorbis.mkv": "-c:a libvorbis -ar 44100 -ac 2",
    "film.mkv": "-f lavfi -i testsrc=size=64x64:rate=10:duration=2 -c:v mpeg4 -c:a libopus",
}


@pytest.mark.parametrize(("name", "options"), COUNTED.items())
def test_opus_and_vorbis_in_webm_matroska_and_mp4_are_sought_exactly(tmp_path: Path, name: str, options: str) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    path = made(tmp_path, name, f"ffmpeg -v error -y -stream_loop 9 -i {{in}} {options} {{out}}")
    whole = Audio.read(path)
    with AudioFile(path) as file:
        assert file._recording.decoder.seeks
        for start in np.random.default_rng(0).uniform(0, whole.duration - 0.5, 15):
            first, span = round(start * whole.sampling_rate), file.read(start, 0.4)
            np.testing.assert_allclose(
                span.samples, whole.samples[:, first : first + span.num_samples], atol=1e-4 * ("vorbis" not in name)
            )
            assert span.duration == 0.4
        rest = file.read(whole.duration - 0.25)
        np.testing.assert_allclose(rest.samples, whole.samples[:, -rest.num_samples :], atol=1e-4)
        with pytest.raises(AudioError, match=rf"has no span from 99 s on: it ends at {whole.duration:g}"):
            file.read(99.0)


def test_packets_that_contradict_their_times_are_not_sought(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    import av

    path = made(tmp_path, "whole.webm", "ffmpeg -v error -y -stream_loop 3 -i {in} -c:a libopus {out}")
    holed = tmp_path / "holed.webm"
    with av.open(str(path)) as source, av.open(str(holed), "w") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.size and number != 150:
                packet.stream = track
                target.mux(packet)
    whole = Audio.read(holed)
    with AudioFile(holed) as file:
        span = file.read(9.0, 0.4)
        assert not file._recording.decoder.seeks
    np.testing.assert_array_equal(span.samples, whole.samples[:, 432000 : 432000 + 19200])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("live.webm", "-c:a libopus -f webm -live 1"),
        ("two.mkv", "-map 0:a -map 0:a -c:a libvorbis"),
        ("a.spx", "-c:a libspeex"),
    ],
)
@pytest.mark.parametrize("fill", [b"", b"\0", b"?"])
def test_a_hole_in_webm_matroska_or_speex_is_an_error(tmp_path: Path, name: str, options: str, fill: bytes) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    path = made(tmp_path, name, f"ffmpeg -v error -y -stream_loop 3 -i {{in}} {options} {{out}}")
    content = path.read_bytes()
    begin = len(content) // 2
    holed = content[:begin] + fill * 6000 + content[begin + 6000 :]
    with pytest.raises(AudioError, match="is damaged"):
        Audio.read(holed)


@pytest.mark.parametrize("name", ["speech.opus", "vorbis.ogg", "speech.spx", "flac.oga"])
def test_a_byte_that_is_not_as_an_ogg_pages_checksum_says_is_damage(tmp_path: Path, name: str) -> None:
    if name in EXTRA:
        pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    content = bytearray(made(tmp_path, name, (PLAIN | EXTRA)[name]).read_bytes())
    page = content.find(b"OggS", len(content) // 3)
    content[page + 200] ^= 1
    with pytest.raises(AudioError, match="is damaged"):
        Audio.read(bytes(content))


def test_a_gap_in_the_times_of_packets_that_all_are_there_is_no_damage(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    import av

    path = made(tmp_path, "whole.webm", "ffmpeg -v error -y -i {in} -c:a libopus {out}")
    silent = tmp_path / "silent.webm"
    with av.open(str(path)) as source, av.open(str(silent), "w") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.size:
                packet.stream = track
                packet.pts = packet.dts = packet.pts + 500 * (number > 75)
                target.mux(packet)
    whole = Audio.read(path)
    np.testing.assert_allclose(Audio.read(silent).samples[:, : whole.num_samples], whole.samples, atol=1e-6)


# --- MPEG without promises


@pytest.fixture(scope="module")
def mp3_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mp3")
    return {name: made(folder, name, PLAIN[name]) for name in ("xing.mp3", "no-xing.mp3", "cbr.mp3", "low.mp3")}


@pytest.mark.parametrize("first", ["xing.mp3", "no-xing.mp3"])
@pytest.mark.parametrize("second", ["xing.mp3", "no-xing.mp3", "cbr.mp3"])
def test_mp3_files_joined_end_to_end_are_all_of_them(mp3_files: dict[str, Path], first: str, second: str) -> None:
    joined = Audio.read(mp3_files[first].read_bytes() + mp3_files[second].read_bytes())
    alone = [Audio.read(mp3_files[name]) for name in (first, second)]
    padding = joined.num_samples - sum(audio.num_samples for audio in alone)
    assert padding == 0 or (second != "xing.mp3" and 0 < padding < 1152)  # what no header tells of stays
    np.testing.assert_array_equal(joined.samples[:, : alone[0].num_samples], alone[0].samples)


def test_mp3_of_another_rate_in_the_middle_is_an_error(mp3_files: dict[str, Path]) -> None:
    with pytest.raises(AudioError, match="changes from 16000 Hz and 1 channel"):
        Audio.read(mp3_files["xing.mp3"].read_bytes() + mp3_files["low.mp3"].read_bytes())


def tags() -> dict[str, tuple[bytes, bytes]]:
    """What stands before and after the frames."""
    id3 = b"ID3\x03\0\0" + bytes([0, 0, 8, 0]) + bytes(1024)
    id3v1 = b"TAG" + bytes(125)
    items = b"\x05\0\0\0\0\0\0\0Title\0Emma!" * 100
    flags, count, size = 0xA0000000, (100).to_bytes(4, "little"), (len(items) + 32).to_bytes(4, "little")
    frame = b"APETAGEX" + (2000).to_bytes(4, "little") + size + count
    ape_header = frame + flags.to_bytes(4, "little") + bytes(8)
    ape_footer = frame + (0x80000000).to_bytes(4, "little") + bytes(8)
    lyrics = b"LYRICSBEGIN" + b"IND00003100" + b"x" * 500
    lyrics += b"%06d" % len(lyrics) + b"LYRICS200"
    return {
        "ID3v2": (id3, b""),
        "ID3v1": (b"", id3v1),
        "APEv2": (b"", ape_header + items + ape_footer),
        "APEv2 and ID3v1": (id3 + id3, ape_header + items + ape_footer + id3v1),
        "Lyrics3": (b"", lyrics + id3v1),
        "rubbish": (bytes(1000), b"\x01\x02\x03" * 500),
    }


@pytest.mark.parametrize("kind", tags())
def test_tags_are_no_sound(mp3_files: dict[str, Path], kind: str) -> None:
    before, after = tags()[kind]
    for name in ("no-xing.mp3", "cbr.mp3", "xing.mp3"):
        assert Audio.read(before + mp3_files[name].read_bytes() + after) == Audio.read(mp3_files[name])


def test_a_hole_in_an_mp3_is_an_error(mp3_files: dict[str, Path]) -> None:
    content = bytearray(mp3_files["no-xing.mp3"].read_bytes())
    content[5000:7000] = bytes(2000)
    with pytest.raises(AudioError, match=r"is damaged: \d+ bytes from byte \d+ on are no MPEG frames"):
        Audio.read(bytes(content))
    assert Audio.read(bytes(content), duration=0.2).num_samples == 3200


def with_vbri(frames: bytes, num_frames: int) -> bytes:
    """Put in front what encoders of Fraunhofer's write: a silent frame with the header VBRI, its table left empty."""
    fields = struct.pack(">4sHHHIIHHHH", b"VBRI", 1, 0, 75, len(frames), num_frames, 0, 1, 2, 1)
    return (frames[:4] + bytes(32) + fields).ljust(288, b"\0") + frames


def test_what_a_vbri_header_says_is_a_promise(tmp_path: Path) -> None:
    frames = made(tmp_path, "cbr.mp3", "lame --quiet -t -b 64 {in} {out}").read_bytes()
    assert len(frames) % 288 == 0  # a frame of 64 kbit/s at 16 kHz
    num_frames = len(frames) // 288
    plain, content = Audio.read(frames), with_vbri(frames, num_frames)
    assert AudioInfo.read(content).num_samples == plain.num_samples == 576 * num_frames
    assert Audio.read(content) == plain
    assert Audio.read(content, start=2.0, duration=0.5) == Audio.read(frames, start=2.0, duration=0.5)
    with pytest.raises(AudioError, match=rf"its header promises {576 * num_frames} samples, "):
        Audio.read(content[: -20 * 288])


@pytest.mark.parametrize("bits", [12, 20])
def test_flac_of_12_and_20_bits_is_read_to_the_bit(bits: int) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'xcodec[formats]'")
    top = 1 << (bits - 1)
    numbers = np.random.default_rng(0).integers(-top, top, 10_000)
    content = flac(numbers, bits)
    np.testing.assert_array_equal(Audio.read(content).samples[0], (numbers / top).astype(np.float32))
    np.testing.assert_array_equal(Audio.read(flac(numbers >> (bits - 8), 8)).samples[0] * 128, numbers >> (bits - 8))
    assert AudioInfo.read(content).num_samples == 10_000
    assert Audio.read(content, start=0.5, duration=0.1) == Audio(numbers[8000:9600] / top, 16000)
    with pytest.raises(AudioError, match="is damaged or cut short"):
        Audio.read(content[:-3000])


# --- without the extra


WITHOUT_AV = """
import sys
sys.modules["av"] = None
from xcodec.audio import Audio
try:
    Audio.read(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("aac.m4a", "AAC or ALAC in MP4"),
        ("opus.webm", "WebM or Matroska"),
        ("speech.wma", "WMA or WMV"),
        ("speech.amr", "AMR"),
        ("speech.wv", "WavPack"),
        ("speech.spx", "Speex"),
        ("flac.oga", "FLAC in Ogg"),
        ("speech.aac", "AAC"),
        ("speech.gsm", "GSM"),
        ("film.avi", "an AVI film"),
    ],
)
def test_without_the_extra_the_error_names_the_format_and_both_remedies(tmp_path: Path, name: str, what: str) -> None:
    path = made(tmp_path, name, EXTRA[name])
    said = subprocess.run([sys.executable, "-c", WITHOUT_AV, str(path)], capture_output=True, text=True, check=True)
    assert f"{name}: is {what}" in said.stdout
    assert "pip install 'xcodec[formats]'" in said.stdout
    assert f"ffmpeg -i {path} converted.wav" in said.stdout
    assert "damaged" not in said.stdout


def test_importing_the_package_does_not_load_av() -> None:
    code = "import sys, xcodec.audio; print('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
    ],
)
def test_what_is_not_audio_is_named(head: bytes, what: str) -> None:
    with pytest.raises(AudioError, match=f"is not audio but {what}"):
        Audio.read(head + bytes(5000))


# --- sources


def test_a_file_is_read_alike_from_every_kind_of_source(tmp_path: Path) -> None:
    import fsspec

    expected, content = Audio.read(SPEECH), SPEECH.read_bytes()
    with fsspec.filesystem("memory").open("/speech.wav", "wb") as file:
        file.write(content)
    assert Audio.read(str(SPEECH)) == expected
    assert Audio.read(content) == Audio.read(bytearray(content)) == Audio.read(memoryview(content)) == expected
    assert Audio.read("memory://speech.wav") == expected
    with SPEECH.open("rb") as file:
        assert Audio.read(file) == expected
        assert Audio.read(file) == expected  # it stands where it stood
    reader, writer = os.pipe()
    with subprocess.Popen(["cat", str(SPEECH)], stdout=writer) as process, os.fdopen(reader, "rb") as pipe:
        os.close(writer)
        assert Audio.read(pipe) == expected
        process.wait()
    with SPEECH.open() as text, pytest.raises(AudioError, match="open for reading text"):
        Audio.read(text)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match=r"memory://none\.wav: cannot be fetched"):
        Audio.read("memory://none.wav")
    with pytest.raises(AudioError, match="is empty, 0 bytes"):
        Audio.read(b"")
    with pytest.raises(AudioError, match="a int is no recording"):
        Audio.read(3)  # type: ignore[arg-type]


def test_a_span_that_is_not_there_does_not_end_an_open_file(tmp_path: Path) -> None:
    with AudioFile(SPEECH, channel="mean", sampling_rate=8000) as file:
        assert file.info.sampling_rate == 16000
        with pytest.raises(AudioError, match="has no span from 5 s on"):
            file.read(5.0, 1.0)
        assert file.read(1.0, 0.5) == Audio.read(SPEECH, start=1.0, duration=0.5).resample(8000)


@pytest.mark.parametrize(
    "description",
    [
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:9/a.wav'\n",
    ],
    ids=["session", "playlist", "concatenation"],
)
def test_a_file_that_names_others_opens_none_of_them(description: str) -> None:
    with pytest.raises(AudioError, match="is not audio in a format that can be read"):
        Audio.read(description.encode())
