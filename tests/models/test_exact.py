"""The contract "exact": a clip's codes and audio do not depend on what else is in its batch."""

import pytest
import torch

from builders import prepare, speech

MIXED = [1, 319, 320, 321, 5 * 16000, 12 * 16000]  # samples


def assert_batch_equals_single(model, clips, encoded, *audios) -> None:
    for i, clip in enumerate(clips):
        num_codes = len(clip) // 320 + 1
        alone = model(**prepare(clip), output_latents=True)
        assert alone.audio_codes.shape == (1, 1, num_codes)
        assert encoded.audio_codes_mask[i, 0].tolist() == [1] * num_codes + [0] * (
            encoded.audio_codes.shape[-1] - num_codes
        )
        assert torch.equal(encoded.audio_codes[i, :, :num_codes], alone.audio_codes[0]), f"codes of clip {i}"
        assert encoded.audio_codes[i, :, num_codes:].eq(0).all()
        assert (encoded.latents[i, :, :num_codes] - alone.latents[0]).abs().max() < 1e-4
        for audio in audios:
            assert (audio[i, :, : 320 * num_codes] - alone.audio_values[0]).abs().max() < 1e-4, f"audio of clip {i}"
            assert audio[i, :, 320 * num_codes :].eq(0).all()


def test_a_batch_equals_single_clips(tiny):
    clips = [speech(samples=n) for n in MIXED]
    encoded, forwarded = tiny.encode(**prepare(*clips), output_latents=True), tiny(**prepare(*clips))
    decoded = tiny.decode(encoded.audio_codes, audio_codes_mask=encoded.audio_codes_mask)
    assert torch.equal(forwarded.audio_codes, encoded.audio_codes)
    assert_batch_equals_single(tiny, clips, encoded, decoded.audio_values, forwarded.audio_values)


def test_a_batch_equals_single_clips_without_features(tiny):
    """The draft's spelling: features are computed inside the model, each clip's from its own samples."""
    clips = [speech(samples=n) for n in MIXED]
    batch = prepare(*clips)
    inside = tiny.encode(batch["input_values"], padding_mask=batch["padding_mask"])
    assert torch.equal(inside.audio_codes, tiny.encode(**batch).audio_codes)


def test_silence_beside_speech_stays_what_it_is_alone(tiny):
    silence = torch.zeros(16000).numpy()
    batch = prepare(silence, speech(3.0))
    alone = tiny.encode(**prepare(silence)).audio_codes
    assert torch.equal(tiny.encode(**batch).audio_codes[:1, :, : alone.shape[-1]], alone)


def test_what_the_padding_holds_does_not_matter(tiny):
    batch = prepare(speech(1.0), speech(2.0))
    dirty = dict(batch)
    dirty["input_values"] = batch["input_values"].clone()
    dirty["input_values"][0, :, 51 * 320 :] = 3.0
    dirty["input_features"] = batch["input_features"].clone()
    dirty["input_features"][0, 51:] = -7.0
    clean, other = tiny(**batch), tiny(**dirty)
    assert torch.equal(clean.audio_codes, other.audio_codes)
    assert (clean.audio_values - other.audio_values).abs().max() < 1e-5


def test_what_the_padding_of_the_last_code_holds_does_not_matter(tiny):
    """A clip's last code reads zeros past its own samples, whatever a caller's batch holds there."""
    batch = prepare(speech(samples=16100), speech(2.0))
    dirty = dict(batch)
    dirty["input_values"] = batch["input_values"].clone()
    dirty["input_values"][0, 0, 16101:] = 3.0
    for inputs in (dirty, {name: dirty[name] for name in ("input_values", "padding_mask")}):
        assert torch.equal(tiny.encode(**inputs).audio_codes, tiny.encode(**batch).audio_codes)


def test_what_lies_past_the_end_of_codes_does_not_matter(tiny):
    encoded = tiny.encode(**prepare(speech(1.0), speech(2.0)))
    mask = encoded.audio_codes_mask
    expected = tiny.decode(encoded.audio_codes, audio_codes_mask=mask).audio_values
    padded = encoded.audio_codes.masked_fill(mask == 0, -1)
    assert torch.equal(tiny.decode(padded, audio_codes_mask=mask).audio_values, expected)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_batch_equals_single_clips_at_the_released_size(released, packed):
    released.pack_weights() if packed else released.unpack_weights()
    clips = [speech(samples=n) for n in (1, 321, 16000, 3 * 16000)]
    forwarded = released(**prepare(*clips), output_latents=True)
    assert_batch_equals_single(released, clips, forwarded, forwarded.audio_values)
