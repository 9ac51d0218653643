"""DistillNeuCodec: the original, written down in tests/original_distill.py, is the reference; then what is its own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from builders import speech, tiny_distill, tiny_neucodec
from original import put_into_hub_cache
from original_distill import OriginalDistillNeuCodec, random_original_distill
from xcodec import (
    Audio,
    CheckpointError,
    Codec,
    CodesError,
    DistillNeuCodecConfig,
    DistillNeuCodecFeatureExtractor,
    DistillNeuCodecModel,
    InputError,
    NeuCodecFeatureExtractor,
)
from xcodec.compat import DistillNeuCodec, NeuCodec
from xcodec.conversion import convert_checkpoint
from xcodec.conversion.distill_neucodec import convert_state_dict
from xcodec.models import pretrained
from xcodec.modules.convnext_encoder import ConvEncoder
from xcodec.modules.time import Tiled, Whole
from xcodec.streaming import StreamDecoder, StreamEncoder

RAGGED = (1, 319, 320, 44580, 20000, 32000, 639)  # samples: below a code, whole hops, with a rest


def wave(samples: int) -> Tensor:
    return torch.from_numpy(speech(samples=samples))[None]


@pytest.fixture(scope="module")
def original() -> OriginalDistillNeuCodec:
    with torch.inference_mode(False):
        return random_original_distill(wave(32000))


@pytest.fixture(scope="module")
def model(original: OriginalDistillNeuCodec) -> DistillNeuCodecModel:
    built = convert_state_dict(original.state_dict(), num_attention_heads=4).build()
    assert isinstance(built, DistillNeuCodecModel)
    return built


@pytest.fixture(scope="module")
def codec(model: DistillNeuCodecModel) -> Codec:
    return Codec(model, DistillNeuCodecFeatureExtractor())


def prepared(*clips: np.ndarray) -> dict[str, Tensor]:
    return dict(DistillNeuCodecFeatureExtractor()(list(clips), sampling_rate=16000, return_tensors="pt"))


# The reference


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 44580, 95999, 96000, 115203])
def test_codes_and_audio_are_the_originals(
    samples: int, original: OriginalDistillNeuCodec, model: DistillNeuCodecModel
) -> None:
    """Below and above a window of 6 s, of whole hops and with a rest."""
    output, expected = model(**prepared(speech(samples=samples))), original.encode_code(wave(samples))
    assert output.audio_codes.shape == (1, 1, samples // 320 + 1)
    assert torch.equal(output.audio_codes, expected)
    assert expected.unique().numel() > samples // 640, "the codes hardly vary: a weak test"
    decoded = original.decode_code(expected)
    assert torch.allclose(model.decode(expected).audio_values, decoded, atol=1e-4)
    assert torch.allclose(output.audio_values, decoded[..., : output.audio_values.shape[-1]], atol=1e-4)


def test_next_to_nothing_is_normed_as_the_original_does(
    original: OriginalDistillNeuCodec, model: DistillNeuCodecModel
) -> None:
    """Without biases and at a level of 1e-9, where the gains of the norms are far from 1."""
    theirs, ours = original.codec_encoder.encoder, model.acoustic_encoder.convolutions
    quiet = 1e-9 * wave(16000)[:, None]
    biases = [p for each in (theirs, ours) for name, p in each.named_parameters() if name.endswith(("bias", "beta"))]
    kept = [bias.clone() for bias in biases]
    for bias in biases:
        bias.data.zero_()
    expected = theirs(quiet)
    for time in (Whole(), Tiled(None, 1_000_000)):
        assert torch.allclose(ours(quiet, time) / expected.std(), expected / expected.std(), atol=1e-3)
    loud = ours._encoded(quiet, torch.ones(1, ours.num_units, 16000), None)[0]
    assert not torch.allclose(loud / expected.std(), expected / expected.std(), atol=0.1), "gains of 1 would do"
    for bias, value in zip(biases, kept, strict=True):
        bias.data.copy_(value)


def test_the_defaults_are_the_released_size() -> None:
    config = DistillNeuCodecConfig()
    assert (config.sampling_rate, config.output_sampling_rate) == (16000, 24000)
    assert (config.encoder_hop_length, config.hop_length, config.frame_rate) == (320, 480, 50)
    with torch.device("meta"):
        encoder = DistillNeuCodecModel(config, encoder_only=True)
    acoustic = sum(p.numel() for p in encoder.acoustic_encoder.parameters())
    norms = sum(  # that weight norm adds to what is stored, one for each output
        m.weight.shape[0]
        for m in encoder.acoustic_encoder.modules()
        if isinstance(m, torch.nn.Conv1d) or (isinstance(m, torch.nn.Linear) and m.bias is not None)
    ) - sum(
        layer.weight.shape[0]
        for transformer in (encoder.acoustic_encoder.transformer1, encoder.acoustic_encoder.transformer2)
        for layer in transformer.distance_bias.children()
    )
    assert acoustic + norms == 21_620_384, "of the original's acoustic encoder"
    assert sum(p.numel() for p in encoder.semantic_model.parameters()) == 23_491_968, "DistilHuBERT"


# Lengths


def test_a_batch_gives_each_clip_what_it_gets_alone(codec: Codec) -> None:
    clips = [speech(samples=count) for count in RAGGED]
    together = codec.encode(clips, 16000)
    assert [len(codes) for codes in together] == [count // 320 + 1 for count in RAGGED]
    for clip, codes in zip(clips, together, strict=True):
        assert codes == codec.encode(clip, 16000)
    for codes, audio, count in zip(together, codec.decode(together), RAGGED, strict=True):
        assert np.allclose(audio.samples, codec.decode(codes).samples, atol=1e-5)
        assert (audio.sampling_rate, audio.num_samples) == (24000, -(-count * 3 // 2))


def test_what_the_padding_holds_does_not_matter(model: DistillNeuCodecModel) -> None:
    clean = prepared(speech(1.0), speech(2.0))
    dirty = clean | {"input_values": clean["input_values"].clone()}
    dirty["input_values"][0, :, 51 * 320 :] = 3.0
    assert torch.equal(model.encode(**dirty).audio_codes, model.encode(**clean).audio_codes)


def test_in_tiles_it_gives_what_it_gives_whole(model: DistillNeuCodecModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "TILE_BYTES", 3 << 20)
    inputs = prepared(speech(samples=115203), speech(3.33), speech(0.01))
    tiled = model(**inputs, output_latents=True)
    monkeypatch.setattr(model, "tile_bytes", lambda num_codes: None)
    whole = model(**inputs, output_latents=True)
    assert torch.equal(tiled.audio_codes, whole.audio_codes)
    assert torch.allclose(tiled.latents, whole.latents, atol=1e-5)
    assert torch.allclose(tiled.audio_values, whole.audio_values, atol=1e-4)


def test_the_halo_is_as_far_as_an_input_is_felt() -> None:
    """A click reaches the steps up to the halo away, and no other."""
    encoder = ConvEncoder((1, 5, 45), 2, 2, (4, 4, 4), (1, 1, 1, 2), 3)
    assert encoder.halo == 9
    for module in encoder.modules():  # nothing may cancel, and silence stays silence
        if isinstance(module, torch.nn.Conv1d | torch.nn.Linear):
            module.weight.fill_(2 / module.weight[0].numel())
            module.bias.zero_()
    click = torch.zeros(1, 1, 64 * 60, dtype=torch.float64)
    felt = []
    for place in (64 * 30, 64 * 30 + 63):  # the first and the last sample of a step
        click.zero_()[..., place] = 1.0
        felt.append(encoder.double()(click).any(1)[0].nonzero()[:, 0] - 30)
    assert (min(map(min, felt)), max(map(max, felt))) == (-9, 9)


def test_features_are_refused_since_it_reads_the_waveform(model: DistillNeuCodecModel) -> None:
    with pytest.raises(InputError, match="input_features: DistillNeuCodec's semantic model reads the waveform"):
        model.encode(torch.zeros(1, 1, 640), input_features=torch.zeros(1, 2, 160))
    with pytest.raises(InputError, match="reads waveforms and no features"):
        model.features(model.clips(torch.zeros(1, 1, 640), None))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"downsampling_ratios": (4, 4, 5), "encoder_depths": (1, 1, 1)}, "conv_stride=.* does not keep step"),
        ({"encoder_depths": (1, 1)}, r"encoder_depths=\[1, 1\]: expected one for each of downsampling_ratios"),
        ({"local_window_sizes": (300,)}, r"local_window_sizes=\[300\]: expected one for each of two transformers"),
        ({"pooling_kernel_sizes": (1, 4)}, r"pooling_kernel_sizes=\[1, 4\]: expected odd numbers"),
        ({"semantic_model_config": {"model_type": "wavlm"}}, "is 'hubert'; semantic_model_config says 'wavlm'"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DistillNeuCodecConfig(**fields)


# Streams


def test_a_stream_shown_all_at_once_is_the_whole(codec: Codec) -> None:
    clip = speech(samples=44580)
    codes = codec.encode(clip, 16000)
    encoder = StreamEncoder(codec, context=200, lookahead=200, chunk=200)
    assert np.array_equal(np.concatenate([encoder.push(clip), encoder.flush()], 1), codes.ids)
    decoder = StreamDecoder(codec, context=None, lookahead=200, chunk=200)
    assert decoder.push(codes.ids) is None
    piece = decoder.flush()
    assert piece is not None
    assert (piece.sampling_rate, piece.num_samples) == (24000, 140 * 480)
    length = codec.decode(codes).num_samples
    assert np.allclose(piece.samples[:, :length], codec.decode(codes).samples, atol=1e-5)


@pytest.mark.parametrize("samples", [32000, 32100])
def test_a_stream_of_audio_gives_as_many_codes_as_the_whole(codec: Codec, samples: int) -> None:
    encoder = StreamEncoder(codec, context=20, lookahead=0, chunk=10)
    pieces = [encoder.push(part) for part in np.array_split(speech(samples=samples), 7)]
    assert sum(piece.shape[1] for piece in (*pieces, encoder.flush())) == samples // 320 + 1


# Checkpoints


@pytest.fixture(scope="module")
def folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "distill"
    codec.model.save_pretrained(folder)
    codec.feature_extractor.save_pretrained(folder)
    return folder


def test_a_written_checkpoint_is_read_strictly(codec: Codec, folder: Path, tmp_path: Path) -> None:
    loaded = Codec.from_pretrained(folder)
    assert isinstance(loaded.feature_extractor, DistillNeuCodecFeatureExtractor)
    assert loaded.identity.same_model(codec.identity)
    assert np.array_equal(loaded.encode(speech(1.0), 16000).ids, codec.encode(speech(1.0), 16000).ids)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "distill_neucodec"
    tensors = load_file(folder / "model.safetensors")
    del tensors["acoustic_encoder.transformer1.distance_bias.fc2.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"1 missing: acoustic_encoder\.transformer1\.distance_bias\.fc2"):
        Codec.from_pretrained(tmp_path)


def test_its_codes_are_not_those_of_neucodec(codec: Codec) -> None:
    with torch.inference_mode():
        other = Codec(tiny_neucodec(), NeuCodecFeatureExtractor())
    for mine, yours in ((codec, other), (other, codec)):
        with pytest.raises(CodesError, match="the codes were made by"):
            yours.decode(mine.encode(speech(1.0), 16000))


def bare(original: OriginalDistillNeuCodec, folder: Path) -> Path:
    """As the hub has it: one pickle and meta.yaml, no config.json, and no semantic model."""
    folder.mkdir()
    state = {k: v for k, v in original.state_dict().items() if not k.startswith("semantic_model.")}
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "meta.yaml").write_text("name: distill-neucodec\n")
    return folder


def test_an_original_is_converted_and_accounts_for_every_tensor(
    original: OriginalDistillNeuCodec, codec: Codec, tmp_path: Path
) -> None:
    source = bare(original, tmp_path / "original")
    with pytest.raises(CheckpointError, match=r"semantic model is missing.*give semantic_encoder=FOLDER, of ntu-spml"):
        convert_checkpoint(source, tmp_path / "converted", num_attention_heads=4)
    original.semantic_model.save_pretrained(tmp_path / "hubert")
    options = {"semantic_encoder": tmp_path / "hubert", "num_attention_heads": 4}
    report = convert_checkpoint(source, tmp_path / "converted", **options)
    assert str(report).startswith(f"{source}: an DistillNeuCodec checkpoint in original layout")
    kept = {name for parts in report.kept.values() for name in parts}
    assert kept | set(report.dropped) == set(original.state_dict())
    assert Codec.from_pretrained(tmp_path / "converted").identity.same_model(codec.identity)
    with pytest.raises(
        InputError, match="num_semantic_layers=2: of no use for an original checkpoint of DistillNeuCodec"
    ):
        convert_checkpoint(source, tmp_path / "other", num_semantic_layers=2, **options)
    preprocessor = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True}
    (tmp_path / "hubert/preprocessor_config.json").write_text(json.dumps(preprocessor))
    with pytest.raises(CheckpointError, match="asks for samples that are normalised"):
        convert_checkpoint(source, tmp_path / "other", **options)


def test_an_original_of_another_kind_is_told_apart_by_name(original: OriginalDistillNeuCodec) -> None:
    state = original.state_dict()
    del state["codec_encoder.en_encoder.local_trans.layers.1.0.to_qkv.weight"]
    state["codec_encoder.encoder.blocks.9.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError) as error:
        convert_state_dict(state, num_attention_heads=4)
    assert "1 missing: codec_encoder.en_encoder.local_trans.layers.1.0.to_qkv.weight" in str(error.value)
    assert "codec_encoder.encoder.blocks.9.weight" in str(error.value)
    state = original.state_dict() | {"codec_encoder.en_encoder.cache_token": torch.zeros(1, 15, 32)}
    with pytest.raises(CheckpointError, match="holds tokens, of which DistillNeuCodec has none"):
        convert_state_dict(state, num_attention_heads=4)


def test_the_hubs_name_is_read_from_its_cache_in_either_layout(
    original: OriginalDistillNeuCodec, codec: Codec, folder: Path, tmp_path: Path
) -> None:
    name, clip = "neuphonic/distill-neucodec", speech(1.0)
    offline = {"cache_dir": tmp_path / "a", "local_files_only": True}
    put_into_hub_cache(folder, name, tmp_path / "a")
    loaded = Codec.from_pretrained(name, **offline)
    assert loaded.identity.name == name
    assert np.array_equal(loaded.encode(clip, 16000).ids, codec.encode(clip, 16000).ids)

    offline["cache_dir"] = tmp_path / "b"
    put_into_hub_cache(bare(original, tmp_path / "bare"), name, tmp_path / "b")
    original.semantic_model.save_pretrained(tmp_path / "hubert")
    put_into_hub_cache(tmp_path / "hubert", "ntu-spml/distilhubert", tmp_path / "b")
    fetched = DistillNeuCodec.from_pretrained(name, num_attention_heads=4, **offline)
    assert torch.equal(fetched.encode_code(wave(16000)[None]), original.encode_code(wave(16000)))
    found = Codec.from_pretrained(name, **offline)  # heads of 64, as the released decoder has; codes have none
    assert found.identity.name == name
    assert np.array_equal(found.encode(clip, 16000).ids, codec.encode(clip, 16000).ids)


def test_code_for_the_original_package_runs_but_for_its_import(codec: Codec, folder: Path, tmp_path: Path) -> None:
    model = DistillNeuCodec.from_pretrained(str(folder)).eval()
    assert (model.sample_rate, model.hop_length) == (24000, 480)
    both = torch.from_numpy(np.stack([speech(2.0), speech(2.0)[::-1].copy()]))[:, None]
    codes = model.encode_code(both)
    assert (codes.shape, codes.dtype) == ((2, 1, 101), torch.int32)
    assert np.array_equal(codes[0].numpy(), codec.encode(speech(2.0), 16000).ids)
    assert torch.equal(codes[1:], model.encode_code(both[1:]))
    assert model.decode_code(codes).shape == (2, 1, 101 * 480)
    Audio(speech(2.0), 16000).save(tmp_path / "a.wav")
    assert torch.equal(model.encode_code(tmp_path / "a.wav"), codes[:1])
    with pytest.raises(CheckpointError, match="is an DistillNeuCodec checkpoint, which NeuCodec does not read"):
        NeuCodec.from_pretrained(str(folder))


@pytest.mark.gradients
def test_gradients_pass_the_quantizer_and_reach_both_encoders() -> None:
    with torch.no_grad():
        model = tiny_distill()
    model.train()
    model(**prepared(speech(1.0))).audio_values.square().mean().backward()
    for name in ("acoustic_encoder.convolutions.branches.convs.0", "acoustic_encoder.transformer1.distance_bias.fc1"):
        assert model.get_submodule(name).weight.grad.abs().sum() > 0, name
    assert model.semantic_model.encoder.layers[0].attention.q_proj.weight.grad.abs().sum() > 0
