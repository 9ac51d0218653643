"""Streams: what leaves piece by piece is what leaves whole, if the windows are wide enough, and no seam can click."""

import math
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import builders
import xcodec_builders
from xcodec import Audio, Codec, CodesError, InputError, Xcodec2FeatureExtractor, XcodecFeatureExtractor
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.modules.norm import MaskedGroupNorm
from xcodec.modules.time import Past, Streamed
from xcodec.streaming import StreamDecoder, StreamEncoder, decode_in_segments

SPEECH = Audio.read(builders.RECORDINGS[1])  # 47,840 samples at 16 kHz: 150 codes


@pytest.fixture(scope="module")
def xcodec2() -> Codec:
    return Codec(builders.tiny_model(), Xcodec2FeatureExtractor())


@pytest.fixture(scope="module")
def xcodec1() -> Codec:
    return Codec(xcodec_builders.tiny_xcodec("hubert"), XcodecFeatureExtractor())


@pytest.fixture(params=["xcodec2", "xcodec1"])
def codec(request: pytest.FixtureRequest) -> Codec:
    found: Codec = request.getfixturevalue(request.param)
    return found


def pieces(decoder: StreamDecoder, ids: np.ndarray, size: int) -> list[Audio]:
    """Push so many frames at a time, and flush."""
    given = [decoder.push(ids[:, start : start + size]) for start in range(0, ids.shape[1], size)]
    return [piece for piece in [*given, decoder.flush()] if piece is not None]


def joined(audio: list[Audio]) -> np.ndarray:
    return np.concatenate([piece.samples[0] for piece in audio])


def test_a_stream_that_looks_ahead_to_the_end_is_the_whole(codec: Codec) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    whole = codec.decode_ids([ids])[0]
    [only] = pieces(StreamDecoder(codec, lookahead=len(ids[0])), ids, size=7)
    assert np.array_equal(only.samples[0], whole)
    assert only.sampling_rate == 16000


@pytest.mark.parametrize("chunk", [1, 4, 30])
def test_a_convolutional_decoder_that_looks_ahead_by_its_halo_streams_exactly(xcodec1: Codec, chunk: int) -> None:
    ids = np.asarray(xcodec1.encode(SPEECH).ids)
    lookahead = xcodec1.model.acoustic_decoder.halo + 1  # the fade sees one frame more
    decoder = StreamDecoder(xcodec1, context=0, lookahead=lookahead, chunk=chunk)
    assert np.allclose(joined(pieces(decoder, ids, size=3)), xcodec1.decode_ids([ids])[0], atol=1e-5)
    assert decoder.state.past is None  # the stream has ended


@pytest.mark.parametrize("name", ["mini", "mini-general"])
def test_the_built_in_models_stream_exactly_the_phase_of_their_harmonics_too(name: str) -> None:
    codec = Codec.from_pretrained(name)
    codes = codec.encode(builders.RECORDINGS[1])
    streamed = joined(pieces(StreamDecoder(codec), np.asarray(codes.ids), size=7))
    np.testing.assert_allclose(streamed, codec.decode_ids([codes.ids])[0], atol=1e-5)


@pytest.mark.parametrize("size", [1, 4, 13, 1000])
def test_how_codes_arrive_changes_nothing_and_every_frame_is_heard(codec: Codec, size: int) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    settings = {"context": 20, "lookahead": 3, "chunk": 5}
    found = joined(pieces(StreamDecoder(codec, **settings), ids, size))
    assert len(found) == ids.shape[1] * 320
    assert np.allclose(found, joined(pieces(StreamDecoder(codec, **settings), ids, 2)), atol=1e-6)


def test_audio_leaves_as_soon_as_its_lookahead_has_come(codec: Codec) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    decoder = StreamDecoder(codec, context=20, lookahead=3, chunk=5)
    assert decoder.push(ids[:, :7]) is None
    first = decoder.push(ids[:, 7:8])
    assert first is not None
    assert first.num_samples == 5 * 320
    assert decoder.state.received == 8
    decoder.push(ids[:, 8:])
    assert decoder.state.ids.shape[1] < 5 + 3  # what is not needed any more is forgotten
    decoder.flush()
    assert decoder.flush() is None


def test_streams_decoded_together_are_those_decoded_alone(codec: Codec) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    lengths = [150, 40, 3]
    settings = {"context": 20, "lookahead": 3, "chunk": 5}
    together = [StreamDecoder(codec, **settings) for _ in lengths]
    found = StreamDecoder.push_many(together, [ids[:, :length] for length in lengths])
    for length, stream, audio in zip(lengths, together, found, strict=True):
        alone = StreamDecoder(codec, **settings)
        expected, rest = alone.push(ids[:, :length]), alone.flush()
        assert (audio is None) == (expected is None)
        if audio is not None and expected is not None:
            assert np.allclose(audio.samples, expected.samples, atol=1e-5)
        own_rest = stream.flush()
        assert own_rest is not None
        assert rest is not None
        assert np.allclose(own_rest.samples, rest.samples, atol=1e-5)


def at_different_points(codec: Codec, before: list[int]) -> Iterator[tuple[Audio, Audio]]:
    """What streams get that are decoded together after so many frames each, and what each gets alone."""
    ids = np.asarray(codec.encode(SPEECH).ids)
    settings = {"context": 60, "lookahead": 5, "chunk": 10}
    together, alone = ([StreamDecoder(codec, **settings) for _ in before] for _ in range(2))
    for count, pair in zip(before, zip(together, alone, strict=True), strict=True):
        for stream in pair:
            stream.push(ids[:, :count])
    found = StreamDecoder.push_many(together, [ids[:, count : count + 20] for count in before])
    for count, audio, stream in zip(before, found, alone, strict=True):
        expected = stream.push(ids[:, count : count + 20])
        assert audio is not None
        assert expected is not None
        yield audio, expected


def test_streams_at_different_points_are_decoded_together(codec: Codec) -> None:
    for audio, expected in at_different_points(codec, [100, 33, 17, 0]):
        assert np.allclose(audio.samples, expected.samples, atol=1e-5)


def test_a_stream_gets_bit_for_bit_what_it_gets_alone() -> None:
    for audio, expected in at_different_points(Codec.from_pretrained(), [120, 100, 33, 17, 5, 0]):
        assert audio == expected


def test_the_first_pieces_may_be_smaller_than_the_others(codec: Codec) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    decoder = StreamDecoder(codec, context=20, lookahead=3, chunk=[2, 4, 7])
    sizes = [piece.num_samples // 320 for piece in pieces(decoder, ids, size=1)]
    assert sizes[:-1] == [2, 4, *[7] * (len(sizes) - 3)]
    assert sum(sizes) == ids.shape[1]


def test_step_by_step_a_stream_is_what_pushing_makes_of_it(codec: Codec) -> None:
    ids = np.asarray(codec.encode(SPEECH).ids)
    settings = {"context": 20, "lookahead": 3, "chunk": 50}
    decoder, pushed = StreamDecoder(codec, **settings), StreamDecoder(codec, **settings)
    assert decoder.kind is None
    decoder.take(ids)
    decoder.end()
    stepped = []
    while decoder.kind is not None:
        stepped += StreamDecoder.step([decoder])
    assert stepped == [
        *(pushed.push(part) for part in (ids[:, :53], ids[:, 53:103])),
        pushed.push(ids[:, 103:]) or pushed.flush(),
    ]


@pytest.mark.parametrize("lookahead", [0, 10])
def test_streams_encoded_together_are_those_encoded_alone(codec: Codec, lookahead: int) -> None:
    samples = [SPEECH.samples[0, : 320 * count] for count in (150, 90, 64)]
    encoders = [StreamEncoder(codec, context=20, lookahead=lookahead, chunk=30) for _ in samples]
    found: list[list[np.ndarray]] = [[] for _ in samples]
    for encoder, clip in zip(encoders, samples, strict=True):
        encoder.take(clip)
        encoder.end()
    while ready := [i for i, encoder in enumerate(encoders) if encoder.kind is not None]:
        for i, codes in zip(ready, StreamEncoder.step([encoders[i] for i in ready]), strict=True):
            found[i].append(codes)
    for clip, codes in zip(samples, found, strict=True):
        alone = StreamEncoder(codec, context=20, lookahead=lookahead, chunk=30)
        assert np.array_equal(np.concatenate(codes, 1), np.concatenate([alone.push(clip), alone.flush()], 1))
        assert sum(part.shape[1] for part in codes) == codec.encode(Audio(clip, 16000)).ids.shape[1]


def test_a_window_of_all_but_the_end_is_exact(xcodec2: Codec) -> None:
    ids = np.asarray(xcodec2.encode(SPEECH).ids)
    piece = StreamDecoder(xcodec2, chunk=140, lookahead=10).push(ids)
    assert piece is not None
    assert np.allclose(piece.samples[0], xcodec2.decode_ids([ids])[0][: 140 * 320], atol=1e-5)


# How far ahead a decoder sees without attention and norms over time, in frames: by its first convolution, those of its
# four blocks, its upsampler and the inverse STFT.
BLOCKS = 3 + 4 * 2
UPSAMPLED = {
    "hidden_size": 128,
    "quantization_dim": 160,
    "num_attention_heads": 8,
    "decoder_hop_length": 98,
    "upsampling_ratios": [3, 2],
    "upsampling_kernel_sizes": [9, 4],
}


@pytest.mark.parametrize(
    ("fields", "reach", "per_frame"),
    [
        ({}, BLOCKS + 2, 320),
        ({"decoder_hop_length": 480}, BLOCKS + 2, 480),
        (UPSAMPLED, BLOCKS + 1 + math.ceil((2 + 1 + (2 + 2) / 2) / 3), 588),
    ],
)
def test_what_convolutions_and_the_inverse_stft_carry_is_exact(
    fields: dict[str, object], reach: int, per_frame: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = builders.tiny_model(**fields)
    for layer in model.acoustic_decoder.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    monkeypatch.setattr(MaskedGroupNorm, "forward", lambda norm, x, lengths=None: x.tanh())
    monkeypatch.setattr(Streamed, "normalized", lambda time, norm, x: x.tanh())
    codec = Codec(model, Xcodec2FeatureExtractor())
    ids = np.asarray(codec.encode(SPEECH).ids)
    with torch.enable_grad():  # all at once, not in tiles, which take the norms otherwise
        whole = model.decode(torch.tensor(ids[None])).audio_values[0, 0].detach().numpy()
    assert len(whole) == ids.shape[1] * per_frame
    rounding = 2e-5 * np.abs(whole).max()
    for chunk in (1, 4, 30):
        exact = StreamDecoder(codec, lookahead=reach + 1, chunk=chunk)  # the fade sees one frame more
        assert np.abs(joined(pieces(exact, ids, size=9)) - whole).max() < rounding
        short = StreamDecoder(codec, lookahead=reach - 1, chunk=chunk)
        assert np.abs(joined(pieces(short, ids, size=9)) - whole).max() > rounding


def test_norms_and_attention_of_the_last_window_see_all_that_came_before(tiny: Xcodec2Model) -> None:
    decoder = tiny.acoustic_decoder
    norm, layer = decoder.prior_net[0].norm1, decoder.layers[0]
    x = torch.randn(2, 64, 40)
    pasts = [Past(), Past()]
    for start, stop, last in [(0, 1, 6), (1, 20, 22), (20, 40, 40)]:
        time = Streamed(pasts, num_final=stop - start)
        normal = time.normalized(norm, x[..., start:last])
        passed = layer(x.transpose(1, 2)[:, start:last], time)
        pasts = time.after
    assert torch.allclose(normal, norm(x)[..., 20:], atol=1e-5)
    assert torch.allclose(passed, layer(x.transpose(1, 2))[:, 20:], atol=1e-5)


def test_attention_sees_as_much_of_the_past_as_it_is_given(xcodec2: Codec) -> None:
    ids = np.asarray(xcodec2.encode(SPEECH).ids)
    whole, enough, short = (
        joined(pieces(StreamDecoder(xcodec2, context, lookahead=3, chunk=5), ids, 1)) for context in (None, 150, 100)
    )
    assert np.array_equal(whole, enough)
    assert np.array_equal(whole[: 100 * 320], short[: 100 * 320])
    assert not np.allclose(whole[110 * 320 :], short[110 * 320 :], atol=1e-5)


def test_what_is_carried_stays_small(xcodec2: Codec) -> None:
    decoder = StreamDecoder(xcodec2, context=20, lookahead=3, chunk=5)
    sizes = []
    for _ in range(3):
        decoder.push(np.arange(100))
        past = decoder.state.past
        assert isinstance(past, Past)
        stored = [*past.steps, *past.moments, *past.keys]
        assert all(keys.shape[1] == 20 for keys in past.keys)
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in stored))
    assert sizes[0] == sizes[1] == sizes[2]


def test_segments_are_streams_of_their_own(codec: Codec) -> None:
    codes = codec.encode(SPEECH, segment_seconds=1.5)
    assert len(codes.segment_starts) > 1
    decoder = StreamDecoder(codec, lookahead=len(codes))
    audio = [piece for segment in codes.segments for piece in pieces(decoder, segment, size=20)]
    assert len(audio) == len(codes.segment_starts)
    assert np.allclose(joined(audio)[: codes.num_samples], codec.decode(codes).samples[0], atol=1e-5)


def test_no_seam_is_louder_than_what_it_joins() -> None:
    codec = Codec.from_pretrained()
    ids = np.asarray(codec.encode(SPEECH).ids)
    found = joined(pieces(StreamDecoder(codec, context=50, lookahead=2, chunk=5), ids, 1))
    steps = np.abs(np.diff(found))
    seams = np.arange(5 * 320, len(found) - 1, 5 * 320)
    assert steps[seams - 1].max() < np.quantile(steps, 0.999)


def test_a_recording_no_longer_than_a_segment_is_decoded_whole(codec: Codec) -> None:
    codes = codec.encode(SPEECH)
    assert decode_in_segments(codec, codes, 3.0) == codec.decode(codes)


def test_a_long_recording_in_segments_is_about_the_whole_and_as_long() -> None:
    codec = Codec.from_pretrained()
    codes = codec.encode(builders.speech(14.0), 16_000)
    told: list[float] = []
    whole, parts = codec.decode(codes), decode_in_segments(codec, codes, 4.0, on_progress=told.append)
    assert parts.num_samples == whole.num_samples
    assert sum(told) == pytest.approx(codes.duration)
    assert len(told) > 3
    assert builders.spectral_snr(whole.samples[0], parts.samples[0]) > 10
    # Where segments meet, the step from one sample to the next is like those around it.
    for seam in range(4 * 16_000, parts.num_samples, 4 * 16_000):
        steps = np.abs(np.diff(parts.samples[0, seam - 800 : seam + 800]))
        assert steps[795:805].max() <= 2 * np.abs(np.diff(whole.samples[0, seam - 800 : seam + 800])).max()


def test_segments_that_were_encoded_apart_are_decoded_apart(codec: Codec) -> None:
    codes = codec.encode(SPEECH, segment_seconds=1.0)
    assert len(codes.segment_starts) > 1
    found = decode_in_segments(codec, codes, 1.0)
    np.testing.assert_allclose(found.samples, codec.decode(codes).samples, atol=1e-5)


def test_segments_of_less_than_a_second_and_codes_of_another_model_are_refused(xcodec2: Codec, xcodec1: Codec) -> None:
    codes = xcodec2.encode(SPEECH)
    with pytest.raises(InputError, match=r"segment_seconds=0.5: expected a number of seconds, at least 1"):
        decode_in_segments(xcodec2, codes, 0.5)
    with pytest.raises(CodesError, match="load the model that made them"):
        decode_in_segments(xcodec1, codes, 5.0)


def test_a_single_code_is_a_stream_too(xcodec2: Codec) -> None:
    decoder = StreamDecoder(xcodec2)
    assert decoder.push(7) is None
    assert decoder.push([8, 9]) is None
    rest = decoder.flush()
    assert rest is not None
    assert np.array_equal(rest.samples[0], xcodec2.decode_ids([np.array([[7, 8, 9]])])[0])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([65536], "code 65536: codebook 0 has codes from 0 to 65535"),
        ([-1], "code -1: codebook 0 has codes from 0 to 65535"),
        ([0.5], "expected whole numbers, got float64"),
        ([[1], [2]], "got codes of 2 codebooks, shape (2, 1); expected (codebooks, frames) with at most 1 of them"),
    ],
)
def test_what_is_no_code_is_refused_and_the_stream_goes_on(xcodec2: Codec, ids: object, message: str) -> None:
    decoder = StreamDecoder(xcodec2)
    decoder.push([1, 2])
    with pytest.raises(CodesError, match=re.escape(message).replace("at\\ most\\ 1", "(at most )?1")):
        decoder.push(ids)  # type: ignore[arg-type]
    assert decoder.state.received == 2


def test_a_stream_keeps_its_number_of_codebooks(xcodec1: Codec) -> None:
    decoder = StreamDecoder(xcodec1)
    decoder.push(np.zeros((2, 3), np.int64))
    with pytest.raises(CodesError, match=r"got codes of 4 codebooks, shape \(4, 1\); expected .* with 2 of them"):
        decoder.push(np.zeros((4, 1), np.int64))


def test_no_codes_give_no_audio(codec: Codec) -> None:
    decoder = StreamDecoder(codec)
    for nothing in ([], np.zeros((len(codec.codebook_sizes), 0), np.int64), np.zeros(0)):
        assert decoder.push(nothing) is None
    assert decoder.flush() is None


def test_a_stream_comes_once_in_a_batch_of_streams(xcodec2: Codec) -> None:
    one, other = StreamDecoder(xcodec2), StreamDecoder(xcodec2)
    with pytest.raises(InputError, match="a stream comes twice"):
        StreamDecoder.push_many([one, other, one], [[1], [2], [3]])
    assert one.state.received == other.state.received == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lookahead": 0}, "lookahead=0: expected a whole number of frames, at least 1"),
        ({"context": -1}, "context=-1: expected a whole number of frames, at least 0"),
        ({"context": 0.5}, "context=0.5: expected a whole number of frames, at least 0"),
        ({"context": 0.0}, "context=0.0: expected a whole number of frames, at least 0"),
        ({"chunk": 2.5}, "chunk=2.5: expected a whole number of frames, at least 1"),
    ],
)
def test_windows_that_are_none_are_refused(xcodec2: Codec, settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        StreamDecoder(xcodec2, **settings)


def test_half_a_codec_that_cannot_decode_is_refused() -> None:
    codec = Codec.from_pretrained(encoder_only=True)
    with pytest.raises(InputError, match="loaded with encoder_only=True and has no decoder; load it without that"):
        StreamDecoder(codec)


# --- encoding


def encoded(encoder: StreamEncoder, samples: np.ndarray, size: int) -> np.ndarray:
    given = [encoder.push(samples[start : start + size]) for start in range(0, len(samples), size)]
    return np.concatenate([*given, encoder.flush()], 1)


@pytest.mark.parametrize("size", [100, 320, 9999])
def test_live_audio_gives_as_many_codes_as_the_recording(codec: Codec, size: int) -> None:
    samples = SPEECH.samples[0]
    found = encoded(StreamEncoder(codec, context=30, lookahead=5, chunk=5), samples, size)
    whole = np.asarray(codec.encode(SPEECH).ids)
    assert found.shape == whole.shape
    assert np.array_equal(found, encoded(StreamEncoder(codec, context=30, lookahead=5, chunk=5), samples, 640))


@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 47840])
def test_an_encoder_that_waits_for_the_end_gives_the_codes_of_the_whole(codec: Codec, num_samples: int) -> None:
    samples = SPEECH.samples[0, :num_samples]
    found = encoded(StreamEncoder(codec, lookahead=200), samples, 1000)
    assert np.array_equal(found, np.asarray(codec.encode(Audio(samples, 16000)).ids))


def test_what_gives_no_codes_has_as_many_codebooks_as_what_gives_some(xcodec1: Codec) -> None:
    for bandwidth in (None, *xcodec1.bandwidths):
        encoder = StreamEncoder(xcodec1, bandwidth=bandwidth, lookahead=200)
        nothing = encoder.push(SPEECH.samples[0])
        assert nothing.shape == (len(encoder.flush()), 0)


def test_what_is_no_sound_is_refused(codec: Codec) -> None:
    with pytest.raises(InputError, match=r"expected floating-point samples \(samples,\), got int16 \(5,\)"):
        StreamEncoder(codec).push(np.zeros(5, np.int16))
    assert StreamEncoder(codec).flush().shape[1] == 0
