"""NeuCodec is X-Codec2's network with features, lengths and a head of its own; transformers' class is the reference."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

import builders
from builders import speech, tiny_model, tiny_neucodec
from original import TINY_OPTIONS, OriginalXCodec2, original_neucodec, put_into_hub_cache
from xcodec import Audio, CheckpointError, Codec, CodesError, InputError, NeuCodecConfig, NeuCodecFeatureExtractor
from xcodec.compat import NeuCodec, XCodec2Model
from xcodec.conversion import convert_checkpoint
from xcodec.models.neucodec import FAMILY, NeuCodecModel
from xcodec.streaming import StreamDecoder, StreamEncoder

RAGGED = (44580, 20000, 639, 320, 32000)  # samples: with a rest, without, one code


@pytest.fixture(scope="module")
def model() -> NeuCodecModel:
    with torch.inference_mode():
        return tiny_neucodec()


@pytest.fixture(scope="module")
def codec(model: NeuCodecModel) -> Codec:
    return Codec(model, NeuCodecFeatureExtractor())


def prepared(*samples: int) -> dict[str, Tensor]:
    clips = [speech(samples=count) for count in samples]
    return dict(NeuCodecFeatureExtractor()(clips, sampling_rate=16000, return_tensors="pt"))


def reference_of(model: NeuCodecModel) -> Any:
    """transformers' own model of the same weights."""
    fields = {k: v for k, v in model.config.to_dict().items() if k != "dtype"}
    reference = transformers.NeuCodecModel(transformers.NeuCodecConfig.from_dict(fields)).eval()
    reference.load_state_dict(model.state_dict(), strict=True)
    return reference


# The reference


@pytest.mark.parametrize("samples", RAGGED)
def test_codes_and_audio_are_those_of_transformers(model: NeuCodecModel, samples: int) -> None:
    inputs = prepared(samples)
    output, expected = model(**inputs, output_latents=True), reference_of(model)(**inputs, output_latents=True)
    assert output.audio_codes.shape == (1, 1, samples // 320)
    assert torch.equal(output.audio_codes, expected.audio_codes)
    assert torch.equal(output.audio_codes_mask, expected.audio_codes_mask[:, None])
    assert torch.allclose(output.latents, expected.latents, atol=1e-5)
    assert torch.allclose(output.audio_values, expected.audio_values, atol=1e-4)
    assert output.audio_values.shape == (1, 1, samples // 320 * 480)


@pytest.mark.slow
def test_codes_and_audio_are_those_of_transformers_at_the_released_size() -> None:
    model = builders.random_model(1, FAMILY)
    inputs = prepared(5 * 16000)
    output, expected = model(**inputs), reference_of(model)(**inputs)
    assert torch.equal(output.audio_codes, expected.audio_codes)
    assert torch.allclose(output.audio_values, expected.audio_values, atol=1e-4)


def test_the_configuration_has_the_fields_and_rates_of_transformers() -> None:
    ours, theirs = NeuCodecConfig(), transformers.NeuCodecConfig()
    assert ours.to_dict().keys() >= theirs.to_dict().keys()
    for name in ("hop_length", "encoder_hop_length", "n_fft", "input_sampling_rate", "output_sampling_rate"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert "sampling_rate" not in ours.to_dict()
    assert NeuCodecConfig(output_sampling_rate=44100, num_hidden_layers=20).n_fft == 4 * 882, "its sibling at 44.1 kHz"
    with pytest.raises(InputError, match="320 samples of a code at 16000 Hz are no whole number of samples"):
        NeuCodecConfig(output_sampling_rate=22222)


def test_a_batch_gives_each_clip_what_it_gets_alone_where_that_of_transformers_does_not(codec: Codec) -> None:
    clips = [speech(samples=count) for count in RAGGED]
    together = codec.encode(clips, 16000)
    assert [len(codes) for codes in together] == [count // 320 for count in RAGGED]
    for clip, codes in zip(clips, together, strict=True):
        assert codes == codec.encode(clip, 16000)
    decoded = codec.decode(together)
    for codes, audio in zip(together, decoded, strict=True):
        assert np.allclose(audio.samples, codec.decode(codes).samples, atol=1e-5)


# Lengths


def test_audio_lasts_as_long_as_the_recording_and_ends_in_silence_where_no_code_is_left(codec: Codec) -> None:
    audio = codec.reconstruct(speech(samples=44580), 16000)
    assert (audio.sampling_rate, audio.num_samples) == (24000, 66870)
    assert not audio.samples[:, 139 * 480 :].any()
    assert audio.samples[:, : 139 * 480].any()


def test_a_clip_below_one_code_is_refused(codec: Codec, model: NeuCodecModel) -> None:
    with pytest.raises(InputError, match="clip 1 has 319 samples, too few for one code; pad it with zeros to 320"):
        codec.encode([speech(1.0), speech(samples=319)], 16000)
    with pytest.raises(InputError, match="a clip makes no code; expected at least 320 samples"):
        model.encode_clips(torch.zeros(1, 1, 320))


def test_a_recording_is_encoded_in_segments_without_losing_a_frame(codec: Codec) -> None:
    clip = speech(10.1)
    codes = codec.encode(clip, 16000, segment_seconds=3)
    assert len(codes.segment_starts) > 3
    assert len(codes) == len(clip) // 320
    ends = [*codes.segment_starts[1:], len(codes)]
    for start, end, ids in zip(codes.segment_starts, ends, codes.segments, strict=True):
        alone = codec.encode(clip[start * 320 : end * 320], 16000)
        assert np.array_equal(alone.ids, ids)
    assert codec.decode(codes).num_samples == round(len(clip) * 1.5)


# Streams


def test_a_stream_shown_all_at_once_is_the_whole(codec: Codec) -> None:
    clip = speech(samples=44580)
    codes = codec.encode(clip, 16000)
    decoder = StreamDecoder(codec, context=None, lookahead=200, chunk=200)
    assert decoder.push(codes.ids) is None
    piece = decoder.flush()
    assert piece is not None
    assert piece.sampling_rate == 24000
    assert np.allclose(piece.samples, codec.decode(codes).samples[:, : piece.num_samples], atol=1e-5)
    assert piece.num_samples == 139 * 480
    encoder = StreamEncoder(codec, context=200, lookahead=200, chunk=200)
    assert np.array_equal(np.concatenate([encoder.push(clip), encoder.flush()], 1), codes.ids)


@pytest.mark.parametrize("samples", [32000, 32100, 32319])
@pytest.mark.parametrize("context", [0, 20])
def test_a_stream_of_audio_gives_as_many_codes_as_the_whole(codec: Codec, samples: int, context: int) -> None:
    encoder = StreamEncoder(codec, context=context, lookahead=0, chunk=10)
    pieces = [encoder.push(part) for part in np.array_split(speech(samples=samples), 7)]
    assert sum(piece.shape[1] for piece in (*pieces, encoder.flush())) == samples // 320


# Checkpoints


@pytest.fixture(scope="module")
def folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "neucodec"
    codec.model.save_pretrained(folder)
    codec.feature_extractor.save_pretrained(folder)
    return folder


def test_a_checkpoint_of_transformers_layout_is_read_by_what_its_config_says(codec: Codec, folder: Path) -> None:
    loaded = Codec.from_pretrained(folder)
    assert isinstance(loaded.model, NeuCodecModel)
    assert isinstance(loaded.feature_extractor, NeuCodecFeatureExtractor)
    clip = speech(2.0)
    assert np.array_equal(loaded.encode(clip, 16000).ids, codec.encode(clip, 16000).ids)
    theirs = transformers.NeuCodecModel.from_pretrained(folder).eval()
    inputs = prepared(32000)
    assert torch.equal(theirs.encode(**inputs).audio_codes, codec.model.encode(**inputs).audio_codes)


def test_codes_of_x_codec2_and_of_neucodec_are_not_each_others(codec: Codec) -> None:
    with torch.inference_mode():
        other = Codec(tiny_model(), builders.Xcodec2FeatureExtractor())
    for mine, yours in ((codec, other), (other, codec)):
        with pytest.raises(CodesError, match="the codes were made by"):
            yours.decode(mine.encode(speech(1.0), 16000))


@pytest.fixture(scope="module")
def original_state(original: OriginalXCodec2) -> dict[str, Tensor]:
    """An original NeuCodec: X-Codec2's names, a head of 480 samples, and tensors that only training used."""
    return original_neucodec(original.state_dict())


@pytest.fixture(scope="module")
def original_folder(original_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the hub has it: one pickle and meta.yaml, no config.json."""
    folder = tmp_path_factory.mktemp("original") / "neucodec"
    folder.mkdir()
    torch.save(original_state, folder / "pytorch_model.bin")
    (folder / "meta.yaml").write_text("name: neucodec\n")
    return folder


def test_an_original_checkpoint_is_told_by_the_rate_that_it_writes(original_folder: Path, tmp_path: Path) -> None:
    report = convert_checkpoint(original_folder, tmp_path / "converted", **TINY_OPTIONS)
    assert str(report).startswith(f"{original_folder}: an NeuCodec checkpoint in original layout")
    config = json.loads((tmp_path / "converted/config.json").read_text())
    assert (config["model_type"], config["output_sampling_rate"]) == ("neucodec", 24000)
    ours = Codec.from_pretrained(tmp_path / "converted").model
    theirs = transformers.NeuCodecModel.from_pretrained(tmp_path / "converted").eval()
    inputs = prepared(20000)
    output, expected = ours(**inputs), theirs(**inputs)
    assert torch.equal(output.audio_codes, expected.audio_codes)
    assert torch.allclose(output.audio_values, expected.audio_values, atol=1e-4)


def test_an_original_that_lacks_its_semantic_encoder_takes_it_from_where_it_is(
    original: OriginalXCodec2, original_state: dict[str, Tensor], tmp_path: Path
) -> None:
    encoder, without = tmp_path / "w2v-bert", tmp_path / "without"
    original.semantic_model.save_pretrained(encoder)
    without.mkdir()
    codec = {name: tensor for name, tensor in original_state.items() if not name.startswith("semantic_model.")}
    torch.save(codec, without / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"semantic encoder is missing.*give semantic_encoder=FOLDER"):
        convert_checkpoint(without, tmp_path / "converted", **TINY_OPTIONS)
    model = NeuCodec.from_pretrained(without, semantic_encoder=encoder, **TINY_OPTIONS)
    assert model.encode_code(torch.from_numpy(speech(1.0))[None, None]).shape == (1, 1, 50)


def test_a_decoder_of_another_rate_has_to_say_whose_codes_it_reads(
    original_state: dict[str, Tensor], tmp_path: Path
) -> None:
    """Both have siblings that write 44.1 kHz, with the very same tensors."""
    width = original_state["generator.head.out.weight"].shape[1]
    state = original_state | {
        "generator.head.out.weight": torch.zeros(4 * 882 + 2, width),
        "generator.head.out.bias": torch.zeros(4 * 882 + 2),
        "generator.head.istft.window": torch.hann_window(4 * 882),
    }
    torch.save(state, tmp_path / "44k.pth")
    with pytest.raises(CheckpointError, match=r"writes 44100 Hz, and no tensor tells whose codes .*--model-type"):
        convert_checkpoint(tmp_path / "44k.pth", tmp_path / "a", **TINY_OPTIONS)
    for model_type in ("xcodec2", "neucodec"):
        convert_checkpoint(tmp_path / "44k.pth", tmp_path / model_type, model_type=model_type, **TINY_OPTIONS)
        codec = Codec.from_pretrained(tmp_path / model_type)
        assert codec.model.config.model_type == model_type
        assert codec.reconstruct(speech(1.0), 16000).sampling_rate == 44100
    with pytest.raises(InputError, match="model_type='encodec': expected one of xcodec2, neucodec"):
        convert_checkpoint(tmp_path / "44k.pth", tmp_path / "a", model_type="encodec", **TINY_OPTIONS)


# The original package's interface


def test_code_for_the_original_package_runs_but_for_its_import(codec: Codec, folder: Path, tmp_path: Path) -> None:
    model = NeuCodec.from_pretrained(str(folder)).eval()
    assert (model.sample_rate, model.hop_length) == (24000, 480)
    wave = torch.from_numpy(np.stack([speech(2.0), speech(2.0)[::-1].copy()]))[:, None]
    codes = model.encode_code(wave)
    assert (codes.shape, codes.dtype) == ((2, 1, 100), torch.int32)
    assert np.array_equal(codes[0].numpy(), codec.encode(speech(2.0), 16000).ids)
    assert torch.equal(codes[1:], model.encode_code(wave[1:])), "of a batch, each clip gets its own features"
    audio = model.decode_code(codes)
    assert audio.shape == (2, 1, 48000)
    Audio(speech(2.0), 16000).save(tmp_path / "a.wav")
    assert torch.equal(model.encode_code(tmp_path / "a.wav"), codes[:1])
    with pytest.raises(InputError, match=r"one clip is wave\[None, None\]"):
        model.encode_code(wave[0])


def test_the_hubs_names_are_read_from_its_cache_in_either_layout(
    codec: Codec, folder: Path, original: OriginalXCodec2, original_state: dict[str, Tensor], tmp_path: Path
) -> None:
    offline = {"cache_dir": tmp_path / "a", "local_files_only": True}
    put_into_hub_cache(folder, "neuphonic/neucodec", tmp_path / "a")
    loaded = Codec.from_pretrained("neuphonic/neucodec", **offline)
    assert loaded.identity.name == "neuphonic/neucodec"
    assert np.array_equal(loaded.encode(speech(1.0), 16000).ids, codec.encode(speech(1.0), 16000).ids)
    assert NeuCodec.from_pretrained("neuphonic/neucodec", **offline).encode_code(torch.zeros(1, 1, 640)).shape[-1] == 2

    offline["cache_dir"] = tmp_path / "b"
    bare = tmp_path / "bare"
    bare.mkdir()
    without = {name: tensor for name, tensor in original_state.items() if not name.startswith("semantic_model.")}
    torch.save(without, bare / "pytorch_model.bin")
    original.semantic_model.save_pretrained(tmp_path / "w2v-bert")
    put_into_hub_cache(bare, "neuphonic/neucodec", tmp_path / "b")
    put_into_hub_cache(tmp_path / "w2v-bert", "facebook/w2v-bert-2.0", tmp_path / "b")
    options = TINY_OPTIONS | offline
    model = NeuCodec.from_pretrained("neuphonic/neucodec", **options)
    assert model.decode_code(model.encode_code(torch.from_numpy(speech(1.0))[None, None])).shape == (1, 1, 24000)


def test_the_interfaces_refuse_each_others_checkpoints(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is an NeuCodec checkpoint, which XCodec2Model does not read"):
        XCodec2Model.from_pretrained(folder)
