"""The contract "exact", for X-Codec: a clip's codes and audio do not depend on what else is in its batch."""

import pytest
import torch

from builders import speech
from xcodec_builders import KINDS, prepare_xcodec, random_xcodec, tiny_xcodec

MIXED = [1, 319, 320, 321, 2 * 16000, 5 * 16000, 3 * 16000 + 77]  # samples


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    with torch.inference_mode():
        return tiny_xcodec(request.param)


def assert_batch_equals_single(model, clips, encoded, *audios, bandwidth=None) -> None:
    codes, mask = encoded.audio_codes, encoded.audio_codes_mask
    for i, clip in enumerate(clips):
        num_codes = -(-len(clip) // 320)
        # Alone without any mask: the path that is compared with transformers.
        alone = model(prepare_xcodec(clip)["input_values"], bandwidth=bandwidth)
        assert alone.audio_codes.shape[-1] == num_codes
        assert mask[i, 0].tolist() == [1] * num_codes + [0] * (codes.shape[-1] - num_codes)
        assert torch.equal(codes[i, :, :num_codes], alone.audio_codes[0]), f"codes of clip {i}"
        assert codes[i, :, num_codes:].eq(0).all()
        for audio in audios:
            assert (audio[i, :, : 320 * num_codes] - alone.audio_values[0]).abs().max() < 1e-4, f"audio of clip {i}"
            assert audio[i, :, 320 * num_codes :].eq(0).all()


@pytest.mark.parametrize("bandwidth", [0.5, 4])
def test_a_batch_equals_single_clips(model, bandwidth):
    clips = [speech(samples=n) for n in MIXED]
    batch = prepare_xcodec(*clips)
    encoded, forwarded = model.encode(**batch, bandwidth=bandwidth), model(**batch, bandwidth=bandwidth)
    decoded = model.decode(encoded.audio_codes, audio_codes_mask=encoded.audio_codes_mask)
    assert torch.equal(forwarded.audio_codes, encoded.audio_codes)
    assert_batch_equals_single(model, clips, encoded, decoded.audio_values, forwarded.audio_values, bandwidth=bandwidth)


def test_silence_beside_speech_stays_what_it_is_alone(model):
    silence = torch.zeros(16000).numpy()
    alone = model.encode(**prepare_xcodec(silence)).audio_codes
    assert torch.equal(model.encode(**prepare_xcodec(silence, speech(3.0))).audio_codes[:1, :, :50], alone)


def test_what_the_padding_holds_does_not_matter(model):
    batch = prepare_xcodec(speech(samples=15900), speech(2.0))
    dirty = dict(batch)
    dirty["input_values"] = batch["input_values"].clone()
    dirty["input_values"][0, :, 15900:] = 3.0
    clean, other = model(**batch), model(**dirty)
    assert torch.equal(clean.audio_codes, other.audio_codes)
    assert (clean.audio_values - other.audio_values).abs().max() < 1e-5
    codes = clean.audio_codes.clone()
    codes[0, :, 50:] = -1
    decoded = model.decode(codes, audio_codes_mask=clean.audio_codes_mask).audio_values
    assert torch.equal(decoded, model.decode(clean.audio_codes, audio_codes_mask=clean.audio_codes_mask).audio_values)


def test_a_batch_that_fills_no_whole_hop_is_padded_to_it(model):
    wave = torch.from_numpy(speech(samples=1000))[None, None]
    mask = torch.ones(1, 1000)
    expected = model.encode(**prepare_xcodec(speech(samples=1000)))
    found = model.encode(wave, padding_mask=mask)
    assert torch.equal(found.audio_codes, expected.audio_codes)
    assert found.audio_codes_mask.tolist() == [[[1, 1, 1, 1]]]
    assert model(wave, padding_mask=mask).audio_values.shape == (1, 1, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_a_batch_equals_single_clips_at_the_released_size(kind):
    clips = [speech(samples=n) for n in (1, 321, 16000, 2 * 16000 + 77)]
    model = random_xcodec(kind, wave=prepare_xcodec(clips[-1])["input_values"])
    model.pack_weights()
    forwarded = model(**prepare_xcodec(*clips))
    assert_batch_equals_single(model, clips, forwarded, forwarded.audio_values)
