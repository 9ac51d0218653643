"""Entries become sound: spans of one file in one pass, one channel, and only what was planned."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import builders
from tokenize_builders import entries, read_one
from xcodec.audio import Audio
from xcodec.errors import AudioError, InputError
from xcodec.tokenization.feed import passes
from xcodec.tokenization.inputs.channels import parse_channel
from xcodec.tokenization.readers import ReaderPool, ReadingLimits, Sound

SPEECH = builders.RECORDINGS[1]
ENTRY = {"byte_start": None, "byte_count": None, "channel": None}
ENTRY |= {"file_size": None, "file_modified": None, "file_sha256": None}


@pytest.fixture(scope="module")
def pool() -> Iterator[ReaderPool]:
    with ReaderPool(1, 16000, ReadingLimits(60.0, 60.0)) as readers:
        yield readers


def span(uri: Path, start: float, duration: float | None, **further: Any) -> dict[str, Any]:
    return ENTRY | {"uri": str(uri), "start": start, "duration": duration} | further


# Spans


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_a_span_is_what_the_whole_has_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Audio(builders.speech(6.0), 16000).save(path)
    whole = Audio.read(path).samples
    span = Audio.read(path, start=4.5, duration=0.5).samples
    assert np.array_equal(span, whole[:, 72000:80000])
    assert np.array_equal(Audio.read(path, start=5.0).samples, whole[:, 80000:])


def test_spans_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    for arguments, said in [
        ({"start": 3.0}, "has no span from 3 s on: it ends at 2.99 s"),
        ({"start": 2.5, "duration": 1.0}, "has no span from 2.5 s to 3.5 s: it ends at 2.99 s"),
        ({"start": -1.0}, "start=-1.0: expected a number of seconds, 0 or more"),
        ({"duration": 0.0}, "duration=0.0: expected a number of seconds above 0"),
        ({"longest": 1.0}, "is longer than the limit of 1 s; cut it into spans, or raise longest=1"),
    ]:
        with pytest.raises(AudioError) as caught:
            Audio.read(SPEECH, **arguments)
        assert str(caught.value) == f"{SPEECH}: {said}"
    assert Audio.read(SPEECH, start=2.5, duration=0.5).num_samples == 7840  # a manifest rounded


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_spans_that_are_read_in_one_pass_are_what_each_is_alone(suffix: str, tmp_path: Path, pool: ReaderPool) -> None:
    path = tmp_path / f"a{suffix}"
    Audio(builders.speech(6.0), 16000).resample(44100).save(path)
    spans = [(0.0, 0.5), (0.5, 1.0), (2.25, 0.25), (2.0, 9.0), (4.0, 0.125), (5.0, None)]
    entries = [span(path, *each) for each in spans]
    sounds = list(pool.read(entries))
    assert [isinstance(sound, Sound) for sound in sounds] == [True, True, True, False, True, True]
    assert "has no span from 2 s to 11 s" in str(sounds[3])
    for entry, sound in zip(entries, sounds, strict=True):
        if isinstance(sound, Sound):
            assert sound.audio == read_one(pool, entry).audio
            assert sound.source_rate == 44100


def test_rows_are_grouped_into_passes_by_file_and_time() -> None:
    spans = [("b", 1.0, 1.0), ("a", 0.0, None), ("b", 0.0, 1.0), ("b", 1.5, 1.0), ("a", 2.0, 1.0), ("b", 9.0, None)]
    rows = [ENTRY | {"uri": uri, "start": start, "duration": duration} for uri, start, duration in spans]
    assert passes(rows, range(6)) == [[2, 0], [3, 5], [1], [4]]
    assert passes(rows, [0, 3]) == [[0], [3]]
    rows = [ENTRY | {"uri": "a", "start": 0.1 * i, "duration": 0.1} for i in range(300)]
    assert [len(numbers) for numbers in passes(rows, range(300))] == [128, 128, 44]


def test_a_reader_that_is_left_in_the_middle_of_a_pass_is_ready_for_the_next(pool: ReaderPool) -> None:
    sounds = pool.read([span(SPEECH, start, 0.25) for start in (0.0, 0.25, 0.5)])
    next(sounds)
    sounds.close()
    assert read_one(pool, span(SPEECH, 0.5, 0.25)).audio == Audio.read(SPEECH, start=0.5, duration=0.25)


def test_a_reader_may_be_closed_by_several_threads_while_one_reads() -> None:
    entry = span(SPEECH, 0.0, 0.25)
    for _ in range(3):
        readers = ReaderPool(1, 16000, ReadingLimits(60.0, 60.0))
        sounds = readers.read([entry] * 2)
        next(sounds)
        together = threading.Barrier(8)

        def close(together: threading.Barrier = together, readers: ReaderPool = readers) -> None:
            together.wait()
            readers.close()

        with ThreadPoolExecutor(8) as threads:
            for closing in [threads.submit(close) for _ in range(8)]:
                closing.result()
        with pytest.raises(InterruptedError, match="closed"):
            next(sounds)
        with pytest.raises(InterruptedError, match="closed"):
            next(readers.read([entry]))


# Far away, and other channels


def test_recordings_far_away_are_read(pool: ReaderPool) -> None:
    assert read_one(pool, {"uri": f"file://{SPEECH}"}).audio == Audio.read(SPEECH)
    with pytest.raises(AudioError, match=r"file:///none/x.wav: cannot be fetched: FileNotFoundError"):
        read_one(pool, {"uri": "file:///none/x.wav"})
    with pytest.raises(AudioError, match=r"austen-0880.wav: has no channel 3, only 1"):
        read_one(pool, {"uri": str(SPEECH), "channel": 3})
    with pytest.raises(AudioError, match=r"EOFError: it ends 10 bytes before the recording does"):
        read_one(pool, {"uri": str(SPEECH), "byte_start": SPEECH.stat().st_size, "byte_count": 10})


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    left, right = builders.speech(2.0).reshape(2, -1)
    (tmp_path / "in").mkdir()
    Audio(np.stack([left, right]), 16000).save(tmp_path / "in/call.wav")
    Audio(left, 16000).save(tmp_path / "in/one.wav")
    (tmp_path / "in/text.mp3").write_text("no audio")
    return tmp_path / "in"


@pytest.mark.parametrize(("text", "channel"), [("left", 0), ("right", 1), ("1", 1), ("mean", None), ("each", "each")])
def test_channels_have_names_and_numbers_from_0(text: str, channel: object) -> None:
    assert parse_channel(text) == channel


def test_what_is_no_channel_is_refused() -> None:
    for text in ("-1", "both", "", "1.5", "99999"):
        with pytest.raises(InputError, match="expected left, right, mean, each, or a number from 0"):
            parse_channel(text)


def test_one_channel_is_meant_of_all_recordings_that_mean_none(stereo: Path, pool: ReaderPool) -> None:
    call, one, _ = entries(stereo, channel=1)
    assert np.array_equal(read_one(pool, call).audio.samples[0], Audio.read(stereo / "call.wav").samples[1])
    with pytest.raises(AudioError, match=r"one\.wav: has no channel 1"):
        read_one(pool, one)
    (stereo / "m.jsonl").write_text('{"path": "call.wav", "channel": 0}')
    assert [row["channel"] for row in entries(stereo / "m.jsonl", channel=1)] == [0]


def test_each_channel_is_an_entry_of_its_own(stereo: Path, pool: ReaderPool) -> None:
    found = entries(stereo, channel="each", count_channels=pool.channels)
    assert [(row["id"], row["channel"]) for row in found] == [
        ("call.wav.ch0", 0),
        ("call.wav.ch1", 1),
        ("one.wav.ch0", 0),
        ("text.mp3", None),  # which cannot be read
    ]
    both = Audio.read(stereo / "call.wav").samples
    for row in found[:2]:
        assert np.array_equal(read_one(pool, row).audio.samples[0], both[row["channel"]])


def test_each_channel_of_spans_comes_channel_by_channel(stereo: Path, pool: ReaderPool) -> None:
    lines = [f'{{"path": "call.wav", "start": {start}, "duration": 0.5}}' for start in (0.0, 0.5)]
    (stereo / "m.jsonl").write_text("\n".join(lines))
    found = entries(stereo / "m.jsonl", channel="each", count_channels=pool.channels)
    spans = ["call.wav#0.0+0.5", "call.wav#0.5+0.5"]
    assert [row["id"] for row in found] == [f"{name}.ch{channel}" for channel in (0, 1) for name in spans]


# Only what was planned


def test_a_recording_that_was_replaced_since_it_was_planned_is_noticed(stereo: Path, pool: ReaderPool) -> None:
    planned = {row["id"]: row for row in entries(stereo)}["one.wav"]
    path = stereo / "one.wav"
    assert read_one(pool, planned).audio == Audio.read(path)
    was = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns + 5_000_000))
    with pytest.raises(AudioError, match=r"one.wav: has been replaced since it was planned \(it was written again\)"):
        read_one(pool, planned)
    Audio.read(SPEECH).save(path)
    with pytest.raises(AudioError, match=r"it had 32,044 bytes and has [\d,]+\)"):
        read_one(pool, planned)


def test_with_hashes_contents_count_and_times_do_not(stereo: Path, pool: ReaderPool) -> None:
    planned = {row["id"]: row for row in entries(stereo, hashed=True)}["one.wav"]
    path = stereo / "one.wav"
    samples = Audio.read(path).samples.copy()
    os.utime(path, ns=(0, 0))
    assert read_one(pool, planned).audio == Audio.read(path)
    samples[0, 100] += 0.25
    Audio(samples, 16000).save(path)
    with (
        ReaderPool(1, 16000, ReadingLimits(60.0, 60.0)) as fresh,
        pytest.raises(AudioError, match=r"one.wav: holds other bytes than when it was planned"),
    ):
        read_one(fresh, planned)
