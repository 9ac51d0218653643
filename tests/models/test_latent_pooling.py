"""X-Codec2 at 25 codes a second: the mean of two latents is quantized, as the original's modules and a pooling tell."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders import speech, tiny_model, tiny_pooled
from original import TINY_OPTIONS, Head, OriginalXCodec2, randomize
from xcodec import CheckpointError, Codec, CodesError, InputError, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.conversion import convert_checkpoint, read_checkpoint
from xcodec.streaming import StreamDecoder, StreamEncoder

RAGGED = (
    320,
    639,
    640,
    44580,
    20000,
    959,
    960,
    32319,
)  # samples: an even and an odd number of latents, with a rest or none


class OriginalPooled(OriginalXCodec2):
    """The original with an average over two latents before its quantizer, and a head of 960 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.generator.head = Head(64, 960)
        self.pool = torch.nn.AvgPool1d(2, 2)

    def fused(self, wave: Tensor, features: Tensor) -> Tensor:
        return self.pool(super().fused(wave, features).mT).mT


@pytest.fixture(scope="module")
def pooled() -> OriginalPooled:
    with torch.inference_mode(False):
        model = OriginalPooled()
        randomize(model)
    return model


@pytest.fixture(scope="module")
def original_file(pooled: OriginalPooled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "25tps.pth"
    torch.save(pooled.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def codec(original_file: Path) -> Codec:
    model = read_checkpoint(original_file, codes_per_second=25, **TINY_OPTIONS).build()
    return Codec(model, Xcodec2FeatureExtractor())


@pytest.mark.parametrize("samples", [320, 640, 959, 960, 20000, 44580])
def test_codes_and_audio_are_those_of_the_originals_modules_and_a_pooling(
    samples: int, pooled: OriginalPooled, codec: Codec
) -> None:
    clip = speech(samples=samples)
    expected = pooled.encode_code(torch.from_numpy(clip)[None])
    assert expected.shape == (1, 1, (samples // 320 + 1) // 2)
    inputs = codec.feature_extractor([clip], sampling_rate=16000, return_tensors="pt")
    output = codec.model(**inputs, output_latents=True)
    assert torch.equal(output.audio_codes, expected)
    assert output.audio_codes_mask.shape == expected.shape
    assert output.latents.shape[2] == expected.shape[2]
    decoded = pooled.decode_code(expected)
    assert decoded.shape[2] == 960 * expected.shape[2]
    assert torch.allclose(codec.model.decode(expected).audio_values, decoded, atol=1e-4)


def test_rates_and_lengths_are_true(codec: Codec) -> None:
    assert (codec.frame_rate, codec.sampling_rate, codec.output_sampling_rate) == (25, 16000, 24000)
    assert (codec.model.hop_length, codec.model.latent_hop_length) == (640, 320)
    assert codec.bandwidths == (0.4,)
    for samples in RAGGED:
        codes = codec.encode(speech(samples=samples), 16000)
        assert len(codes) == (samples // 320 + 1) // 2 == codec.model.num_codes_of(samples)
        audio = codec.decode(codes)
        assert (audio.sampling_rate, audio.num_samples) == (24000, -(-samples * 3 // 2)), "as long as the recording"
    assert all(codec.model.num_codes_of(codec.model.samples_of(n)) == n for n in range(1, 20))


def test_a_batch_gives_each_clip_what_it_gets_alone(codec: Codec) -> None:
    """A latent that is left over is not averaged with padding, and what it saw is what it sees alone."""
    clips = [speech(samples=count) for count in RAGGED]
    together = codec.encode(clips, 16000)
    for clip, codes in zip(clips, together, strict=True):
        assert codes == codec.encode(clip, 16000)
    for codes, audio in zip(together, codec.decode(together), strict=True):
        assert np.allclose(audio.samples, codec.decode(codes).samples, atol=1e-4)


def test_in_tiles_codes_are_those_of_the_whole(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = speech(10.1)
    whole = codec.encode(clip, 16000)
    monkeypatch.setattr(codec.model, "tile_bytes", lambda _: 300_000)
    assert np.array_equal(codec.encode(clip, 16000).ids, whole.ids)


def test_a_clip_below_one_code_is_refused(codec: Codec) -> None:
    with pytest.raises(InputError, match="a clip makes no code; expected at least 639 samples in each, and one more"):
        codec.encode([speech(1.0), speech(samples=319)], 16000)


def test_streams_and_segments_keep_step(codec: Codec) -> None:
    clip = speech(10.1)
    codes = codec.encode(clip, 16000)
    encoder = StreamEncoder(codec, context=400, lookahead=400, chunk=400)
    assert np.array_equal(np.concatenate([encoder.push(clip), encoder.flush()], 1), codes.ids)
    live = StreamEncoder(codec, context=5, lookahead=0, chunk=4)
    pieces = [live.push(part) for part in np.array_split(clip, 9)]
    assert sum(piece.shape[1] for piece in (*pieces, live.flush())) == len(codes)
    decoder = StreamDecoder(codec, context=None, lookahead=400, chunk=400)
    assert decoder.push(codes.ids) is None
    piece = decoder.flush()
    assert piece is not None
    assert (piece.sampling_rate, piece.num_samples) == (24000, 960 * len(codes))
    segmented = codec.encode(clip, 16000, segment_seconds=3)
    assert len(segmented.segment_starts) > 3
    assert len(segmented) == len(codes)
    for start, ids in zip(segmented.segment_starts, segmented.segments, strict=True):
        assert np.array_equal(codec.encode(clip[start * 640 :][: ids.shape[1] * 640 - 1], 16000).ids, ids)


def test_a_mask_of_features_counts_latents(codec: Codec) -> None:
    inputs = codec.feature_extractor([speech(1.0), speech(samples=9000)], sampling_rate=16000, return_tensors="pt")
    expected = codec.model.encode(**inputs)
    del inputs["padding_mask"]
    found = codec.model.encode(**inputs)
    assert torch.equal(found.audio_codes, expected.audio_codes)
    assert found.audio_codes_mask.sum(-1).tolist() == [[25], [14]]


def test_only_pooling_that_is_there_is_part_of_what_a_model_is() -> None:
    assert "latent_pooling" not in Xcodec2Config().architecture()
    assert Xcodec2Config(latent_pooling=2).architecture()["latent_pooling"] == 2
    with pytest.raises(InputError, match="latent_pooling=0: expected a whole number of at least 1"):
        Xcodec2Config(latent_pooling=0)
    fields = Xcodec2Config(latent_pooling=2, decoder_hop_length=960)
    assert (fields.frame_rate, fields.output_sampling_rate, fields.hop_length, fields.n_fft) == (25, 24000, 640, 3840)
    assert Xcodec2Config(latent_pooling=2).output_sampling_rate == 16000
    with torch.inference_mode():
        pooled, plain = (Codec(make(), Xcodec2FeatureExtractor()) for make in (tiny_pooled, tiny_model))
    with pytest.raises(CodesError, match=r"at 25 Hz; this model decodes .* at 50 Hz"):
        plain.decode(pooled.encode(speech(1.0), 16000))


def test_the_mean_is_taken_of_what_the_linear_map_gives() -> None:
    with torch.inference_mode():
        pooled = tiny_pooled()
        semantic, acoustic = torch.randn(2, 7, 32), torch.randn(2, 7, 64)
        latents = pooled.fc_encoder(torch.cat([semantic, acoustic], -1))
        assert torch.allclose(pooled.fuse(semantic, acoustic), F.avg_pool1d(latents.mT, 2, 2).mT, atol=1e-6)


# Conversion


def test_what_no_tensor_tells_has_to_be_told(original_file: Path, codec: Codec, tmp_path: Path) -> None:
    doubt = r"48000 Hz from 50 codes a second or, as .*25TPS.* 24000 Hz from 25.*Give codes_per_second \(--codes-per-s"
    for options in ({}, {"model_type": "xcodec2"}):
        with pytest.raises(CheckpointError, match=doubt):
            convert_checkpoint(original_file, tmp_path / "a", **TINY_OPTIONS, **options)
    convert_checkpoint(original_file, tmp_path / "25", codes_per_second=25, **TINY_OPTIONS)
    loaded = Codec.from_pretrained(tmp_path / "25")
    assert (loaded.frame_rate, loaded.output_sampling_rate) == (25, 24000)
    assert loaded.identity.same_model(codec.identity)
    assert np.array_equal(loaded.encode(speech(1.0), 16000).ids, codec.encode(speech(1.0), 16000).ids)
    convert_checkpoint(original_file, tmp_path / "told", decodes=tmp_path / "25", **TINY_OPTIONS)
    assert Codec.from_pretrained(tmp_path / "told").frame_rate == 25, "as of what it decodes"
    convert_checkpoint(original_file, tmp_path / "50", codes_per_second=50, model_type="xcodec2", **TINY_OPTIONS)
    other = Codec.from_pretrained(tmp_path / "50")
    assert (other.frame_rate, other.output_sampling_rate) == (50, 48000)
    assert not other.identity.same_model(codec.identity), "the numbers are the same, the codes are not"
    for rate in (20, 100):
        with pytest.raises(InputError, match=f"codes_per_second={rate}: the encoder makes 50 latents a second"):
            convert_checkpoint(original_file, tmp_path / "a", codes_per_second=rate, **TINY_OPTIONS)
    with pytest.raises(InputError, match="only X-Codec2 has children with fewer codes"):
        convert_checkpoint(original_file, tmp_path / "a", codes_per_second=25, model_type="neucodec", **TINY_OPTIONS)
    with pytest.raises(InputError, match="codes_per_second=25: is for original checkpoints, and this one is complete"):
        convert_checkpoint(tmp_path / "25", tmp_path / "a", codes_per_second=25)


def test_transformers_would_read_it_as_what_it_is_not(original_file: Path, tmp_path: Path) -> None:
    """Its names and shapes are X-Codec2's: the configuration alone tells."""
    convert_checkpoint(original_file, tmp_path / "25", codes_per_second=25, **TINY_OPTIONS)
    model = Xcodec2Model.from_pretrained(tmp_path / "25")
    assert model.latents_per_code == 2
    assert Xcodec2Model.from_pretrained(tmp_path / "25", latent_pooling=1).latents_per_code == 1
