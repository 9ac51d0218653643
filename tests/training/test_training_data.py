"""From recordings to batches: sources, an order over them, crops, augmentation."""

import json
import os
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from builders import RECORDINGS, speech
from training_builders import UNCHANGED, Clips
from xcodec.audio import Audio
from xcodec.codes import CodecIdentity
from xcodec.errors import AudioError, InputError
from xcodec.location import as_text
from xcodec.training.data import open_dataset
from xcodec.training.data.augmentation import augment
from xcodec.training.data.batches import Batches, Geometry
from xcodec.training.data.mixture import Mixture
from xcodec.training.data.sampler import Item, Position, Sampler
from xcodec.training.phones import UNKNOWN
from xcodec.training.sections import AugmentationRecipe, DataRecipe

AS_IT_IS = AugmentationRecipe(**UNCHANGED)
XCODEC2 = Geometry(sampling_rate=16_000, output_rate=16_000, hop_length=320)


# Augmentation


@pytest.mark.parametrize("speed", [0.88, 1.0, 1.12])
def test_an_augmented_crop_has_the_length_and_level_asked_for(speed: float) -> None:
    recipe = AugmentationRecipe(level_db=(-12.0, -12.0), noise_probability=1, reverberation_probability=1)
    rng = np.random.default_rng(0)
    source = rng.standard_normal(9000).astype(np.float32)
    made = augment(source, 16_000 * speed, 16_000, 8000, recipe, rng)
    assert made.shape == (8000,)
    assert made.dtype == np.float32
    assert np.abs(made).max() == pytest.approx(10 ** (-12 / 20), rel=1e-4)


def test_playing_faster_raises_the_pitch() -> None:
    recipe = AugmentationRecipe(tilt_probability=0, noise_probability=0, reverberation_probability=0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(20_000) / 16_000).astype(np.float32)
    made = augment(tone, 16_000 * 1.1, 16_000, 16_000, recipe, np.random.default_rng(0))
    assert np.abs(np.fft.rfft(made)).argmax() == pytest.approx(1100, abs=1)


def test_noise_lies_as_far_below_the_speech_as_asked() -> None:
    def made(probability: float) -> np.ndarray:
        recipe = AugmentationRecipe(
            level_db=(0.0, 0.0),
            tilt_probability=0,
            reverberation_probability=0,
            noise_probability=probability,
            noise_snr_db=(20.0, 20.0),
        )
        tone = np.sin(2 * np.pi * 1000 * np.arange(16_001) / 16_000).astype(np.float32)
        return augment(tone, 16_000, 16_000, 16_000, recipe, np.random.default_rng(0))

    clean, noisy = made(0), made(1)
    scale = np.dot(clean, noisy) / np.dot(clean, clean)
    noise = noisy - scale * clean
    assert 20 * np.log10(np.linalg.norm(scale * clean) / np.linalg.norm(noise)) == pytest.approx(20.0, abs=0.5)


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    samples = speech(1.0)
    made = augment(samples, 16_000, 16_000, 16_000, AS_IT_IS, np.random.default_rng(0))
    np.testing.assert_allclose(made, samples, atol=1e-6)


def test_digital_silence_becomes_noise_that_nobody_hears() -> None:
    made = augment(np.zeros(8000, np.float32), 16_000, 16_000, 8000, AS_IT_IS, np.random.default_rng(0))
    assert 0 < np.abs(made).max() < 1e-3


# The sampler


def test_all_processes_together_take_every_stretch_of_an_epoch_once() -> None:
    seconds = np.array([0.5, 3.0, 7.2, 2.0])
    samplers = [Sampler(seconds, np.ones(4), longest=2.0, seed=1, rank=rank, count=2) for rank in range(2)]
    taken: list[Item] = []
    position = Position()
    while position.taken < 6:
        for sampler in samplers:
            items, after = sampler.take(position, 1)
            taken += items
        position = after
    assert position == Position(0, 6)
    assert len(set(taken)) == 6
    assert sorted(item.clip for item in taken) == [0, 1, 2, 2, 2, 3]
    assert all(item.seconds >= min(2.0, seconds[item.clip]) for item in taken)
    thirds = sorted(item.start for item in taken if item.clip == 2)
    assert thirds == pytest.approx([0.0, 2.4, 4.8])


def test_the_next_epoch_has_another_order_of_the_same() -> None:
    sampler = Sampler(np.full(50, 1.0), np.ones(50), longest=2.0, seed=1)
    orders = [[item.clip for item in sampler.take(Position(epoch), 50)[0]] for epoch in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert [item.clip for item in sampler.take(Position(0), 50)[0]] == orders[0]
    # What does not suffice for all is passed over.
    assert sampler.take(Position(0, 48), 5)[1] == Position(1, 5)


def test_shares_say_how_often_a_stretch_comes() -> None:
    sampler = Sampler(np.ones(1000), np.repeat([1.0, 2.5], 500), longest=2.0, seed=1)
    order = sampler._order_of(0)
    counts = np.bincount(order[:, 0], minlength=1000)
    assert set(counts[:500]) == {1}
    assert set(counts[500:]) == {2, 3}
    assert counts[500:].mean() == pytest.approx(2.5, abs=0.1)


def test_too_little_audio_for_a_step_is_said() -> None:
    with pytest.raises(InputError, match="there are 3 stretches of audio to train on, and one step takes 8"):
        Sampler(np.ones(3), np.ones(3), longest=1.0, seed=0, count=2).take(Position(), 4)


# Batches


def batches_of(source: object, **data: object) -> Batches:
    recipe = DataRecipe(**({"batch_seconds": 1.0, "crop_seconds": (0.3, 0.5)} | data))
    return Batches(source, recipe, AS_IT_IS, XCODEC2, seed=0)  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_step_and_position_alone() -> None:
    source = Clips([speech(20.0)])
    whole = [made for made, _ in islice(batches_of(source, workers=3).following(0, Position()), 6)]
    position = Position()
    batches = batches_of(source)
    for step in range(3):
        _, position = batches.batch(step, position)
    begun_later = [made for made, _ in islice(batches.following(3, position), 3)]
    for one, other in zip(whole[3:], begun_later, strict=True):
        assert torch.equal(one.waveform, other.waveform)
    assert not torch.equal(whole[0].waveform[0, :4000], whole[1].waveform[0, :4000])
    for made in whole:
        assert made.waveform.shape[1] % 320 == 0
        assert 0.29 <= made.waveform.shape[1] / 16_000 <= 0.51
        assert made.waveform.numel() / 16_000 == pytest.approx(1.0, rel=0.3)
        assert torch.equal(made.waveform, made.target)
        assert (made.phones == UNKNOWN).all()


def test_augmented_batches_are_the_same_again_too() -> None:
    source = Clips([speech(20.0)])
    augmented = Batches(source, DataRecipe(batch_seconds=1.0), AugmentationRecipe(), XCODEC2, seed=0)
    one, other = (augmented.batch(0, Position())[0].waveform for _ in range(2))
    assert torch.equal(one, other)


def test_a_clip_that_is_too_short_is_said_again() -> None:
    clip = speech(0.2)
    made, _ = batches_of(Clips([clip] * 9), crop_seconds=(0.5, 0.5)).batch(0, Position())
    np.testing.assert_allclose(made.waveform[0, :6400], np.tile(clip, 2), atol=1e-6)


def test_a_target_of_a_higher_rate_is_the_same_sound() -> None:
    time = np.arange(5 * 48_000) / 48_000
    tone = (0.3 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    data = DataRecipe(batch_seconds=1.0, crop_seconds=(1.0, 1.0))
    geometry = Geometry(sampling_rate=16_000, output_rate=48_000, hop_length=320)
    made, _ = Batches(Clips([tone], 48_000), data, AS_IT_IS, geometry, seed=0).batch(0, Position())
    assert made.waveform.shape == (1, 16_000)
    assert made.target.shape == (1, 48_000)
    np.testing.assert_allclose(made.waveform[0, 100:-100], made.target[0, 300:-300:3], atol=2e-3)


def test_phones_follow_the_crop(tmp_path: Path) -> None:
    class Labelled(Clips):
        """Each second has the phone of its number; the samples say the time."""

        def excerpt(self, clip: int, start: float, seconds: float):  # type: ignore[no-untyped-def]
            read = super().excerpt(clip, start, seconds)
            starts = np.arange(10.0)
            return type(read)(read.samples, read.sampling_rate, phones=(starts - start, np.arange(10)))

    ramp = Labelled([(np.arange(160_000) / 16_000).astype(np.float32)])
    made, _ = batches_of(ramp, crop_seconds=(3.0, 3.0), batch_seconds=3.0).batch(0, Position())
    middles = made.waveform[0].unflatten(0, (-1, 320))[:, 160]
    assert torch.equal(made.phones[0], middles.floor().long())


# Sources


def test_a_folder_of_recordings_is_searched_to_any_depth(tmp_path: Path) -> None:
    (tmp_path / "audio" / "deep").mkdir(parents=True)
    soundfile.write(tmp_path / "audio" / "deep" / "stereo.flac", np.stack([speech(2.0)] * 2, 1), 16_000)
    Audio(speech(1.0), 16_000).resample(44_100).save(tmp_path / "audio" / "other.ogg")
    source = open_dataset(tmp_path / "audio")
    assert source.seconds.tolist() == pytest.approx([2.0, 1.0], abs=1e-3)
    assert source.sources == ["audio"]
    read = source.excerpt(0, 0.5, 1.0)
    assert read.sampling_rate == 16_000
    np.testing.assert_allclose(read.samples, speech(2.0)[8000:24_000], atol=1e-4)
    assert source.excerpt(1, 0.75, 1.0).sampling_rate == 44_100
    assert len(source.excerpt(1, 0.75, 1.0).samples) == pytest.approx(11_025, abs=2)
    made, _ = batches_of(source, batch_seconds=0.5).batch(0, Position())
    assert made.waveform.abs().max() > 0.01


def test_a_list_of_recordings_is_read_from_where_it_lies(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(1.0), 16_000)
    (tmp_path / "list.txt").write_text("a.wav\n\n" + str(RECORDINGS[0]) + "\n")
    assert open_dataset(tmp_path / "list.txt").seconds.tolist() == pytest.approx([1.0, 7.1])
    lines = [{"path": "a.wav", "duration": 1.0}, {"audio_filepath": str(RECORDINGS[0]), "text": "any"}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_dataset(tmp_path / "list.jsonl")
    assert source.seconds.tolist() == pytest.approx([1.0, 7.1])
    assert source.sources == ["list"]
    np.testing.assert_allclose(source.excerpt(0, 0.0, 0.5).samples, speech(0.5), atol=1e-4)


def test_spans_of_recordings_are_clips_of_their_own(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(3.0), 16_000)
    lines = [
        {"path": "a.wav", "start": 0.5, "duration": 1.0},
        {"audio_filepath": "a.wav", "offset": 2.0},
        {"path": "a.wav", "start": None},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_dataset(tmp_path / "list.jsonl")
    assert source.seconds.tolist() == pytest.approx([1.0, 1.0, 3.0])
    whole = Audio.read(tmp_path / "a.wav").samples[0]
    np.testing.assert_array_equal(source.excerpt(0, 0.25, 9.0).samples, whole[12_000:24_000])
    np.testing.assert_array_equal(source.excerpt(1, 0.5, 0.25).samples, whole[40_000:44_000])


@pytest.mark.parametrize(
    "line",
    [
        '{"file": "a.wav"}',
        "{broken",
        '{"path": "a.wav", "duration": "long"}',
        '{"path": "a.wav", "start": -1}',
        '{"path": "a.wav", "duration": 0}',
    ],
)
def test_a_line_that_is_no_recording_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(
        InputError, match=r"list.jsonl, line 2: (expected a path, or a JSON object with path or|is not JSON)"
    ):
        open_dataset(tmp_path / "list.jsonl")


def test_kaldis_list_names_recordings_and_its_commands_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a b.wav", speech(1.0), 16_000)
    (tmp_path / "wav.scp").write_text("utt-1 a b.wav\n")
    assert open_dataset(tmp_path / "wav.scp").seconds.tolist() == [1.0]
    (tmp_path / "wav.scp").write_text("utt-1 cat a.wav |\n")
    with pytest.raises(InputError, match=r"wav.scp, line 1: names a command, .* which is not run"):
        open_dataset(tmp_path / "wav.scp")


def test_what_cannot_be_trained_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is nothing to train on at"):
        open_dataset(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no recordings to train on"):
        open_dataset(tmp_path)
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"1 of the 1 recordings cannot be read, .* is empty, 0 bytes"):
        open_dataset(tmp_path)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="cannot be read"):
        open_dataset(tmp_path / "list.txt")


def test_recordings_that_cannot_be_opened_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(8):
        soundfile.write(tmp_path / f"{number}.wav", speech(1.0), 16_000)
    (tmp_path / "3.wav").write_text("no audio")
    assert len(open_dataset(tmp_path).seconds) == 7
    [line] = caplog.messages
    assert line.startswith("passed over, since it cannot be read (number 1 of 8 recordings): ")
    assert "3.wav: is not audio" in line
    (tmp_path / "list.jsonl").write_text('{"path": "0.wav"}\n{"path": "1.wav", "start": 5}\n')
    assert len(open_dataset(tmp_path / "list.jsonl").seconds) == 1
    assert "1.wav: has no span from 5 s on: it ends at 1 s" in caplog.messages[-1]
    (tmp_path / "5.wav").write_bytes(b"")
    with pytest.raises(
        AudioError, match=r"2 of the 8 recordings cannot be read, .* take them out\. The last: .*5\.wav"
    ):
        open_dataset(tmp_path)


def test_a_recording_that_fails_while_it_is_read_is_replaced_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        soundfile.write(tmp_path / f"{number}.wav", speech(0.5), 16_000)
    whole = (tmp_path / "3.wav").read_bytes()
    source = open_dataset(tmp_path)
    (tmp_path / "3.wav").write_bytes(whole[:1000])  # its header still promises all

    def batches() -> Batches:
        data = DataRecipe(batch_seconds=4.0, crop_seconds=(0.5, 0.5))
        return Batches(source, data, AS_IT_IS, XCODEC2, seed=0)

    maker = batches()
    first, after = maker.batch(0, Position())
    assert len(first.waveform) == 8
    assert after == Position(0, 8)
    maker.batch(1, after)
    [line] = caplog.messages  # once, however often it comes
    assert "3.wav: is cut short" in line
    again, _ = batches().batch(0, Position())
    assert torch.equal(first.waveform, again.waveform)
    (tmp_path / "5.wav").write_bytes(b"")
    with pytest.raises(AudioError, match="2 of the 8 recordings cannot be read"):
        maker.batch(2, after)


def test_several_sources_are_one(tmp_path: Path) -> None:
    one, two = Clips([np.zeros(16_000, np.float32)] * 2), Clips([np.ones(32_000, np.float32)])
    two.sources, two.makers = ["other"], {CodecIdentity("mini", "0" * 16, "1" * 16)}
    mixture = Mixture([one, two, one])
    assert mixture.makers == two.makers
    assert mixture.seconds.tolist() == [1, 1, 2, 1, 1]
    assert [mixture.sources[i] for i in mixture.source_ids] == ["memory", "memory", "other", "memory", "memory"]
    assert [mixture.excerpt(clip, 0.0, 0.1).samples[0] for clip in range(5)] == [0, 0, 1, 0, 0]
    assert mixture.hours()["other"] == pytest.approx(2 / 3600)


def codes_table(folder: Path, **columns: object) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "shard-0.parquet")
    return folder


def test_stored_codes_come_with_their_audio(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "a.wav", np.repeat(np.arange(500) / 500, 320).astype(np.float32), 16_000)
    codes = pa.array([np.arange(501)], pa.list_(pa.uint16()))
    folder = codes_table(tmp_path / "codes", id=["a.wav"], codes=codes, frames=[501], seconds=[10.0])
    source = open_dataset(folder, tmp_path / "audio")
    made, _ = batches_of(source, crop_seconds=(1.0, 1.0), batch_seconds=4.0).batch(0, Position())
    assert made.codes is not None
    assert made.codes.shape == (4, 50)
    # Sample and code agree on where they are, to the frame.
    assert torch.equal((made.target[:, 160::320] * 500).round().long(), made.codes)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_stored_codes_find_a_recording_whose_name_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    with (tmp_path / name).open("wb") as file:
        soundfile.write(file, np.zeros(160_000), 16_000, format="WAV")
    codes = pa.array([np.arange(500)], pa.list_(pa.uint16()))
    folder = codes_table(tmp_path / "codes", id=[as_text(name)], codes=codes, frames=[500], seconds=[10.0])
    assert open_dataset(folder, tmp_path).seconds.tolist() == [10.0]


def test_codes_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    codes = pa.array([np.arange(501)], pa.list_(pa.uint16()))
    folder = codes_table(tmp_path / "codes", id=["a.wav"], codes=codes, seconds=[10.0])
    with pytest.raises(InputError, match=r"data\.audio has to name the folder"):
        open_dataset(folder)
    with pytest.raises(InputError, match=r"1 of the 1 recordings .* are missing, as .*a\.wav"):
        open_dataset(folder, tmp_path)
    soundfile.write(tmp_path / "a.wav", np.zeros(160_000), 16_000)
    codes_table(folder, id=["a.wav"], codes=codes, seconds=[5.0])
    with pytest.raises(InputError, match="not 50 a second"):
        open_dataset(folder, tmp_path)
    codes_table(folder, id=["a.wav"], codes=["1 2 3"], seconds=[5.0])
    with pytest.raises(InputError, match="no table of codes of one codebook"):
        open_dataset(folder, tmp_path)
    codes_table(folder, name=["a.wav"], codes=codes)
    with pytest.raises(InputError, match="no table of codes"):
        open_dataset(folder, tmp_path)
    (folder / "shard-0.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match="no table of codes with the columns"):
        open_dataset(folder, tmp_path)
