"""A causal decoder of X-Codec2's codes: Nemotron Audex's arithmetic, and streams that are the whole."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from builders import TINY, speech, tiny_causal, tiny_model
from original_audex import HEADS, audex_decode, audex_tensors
from xcodec import (
    Audio,
    CausalXcodec2Config,
    CausalXcodec2Model,
    CheckpointError,
    Codec,
    InputError,
    Xcodec2FeatureExtractor,
)
from xcodec.conversion import convert_checkpoint
from xcodec.models.codec_model import CodecModel
from xcodec.modules.time import Tiled, Whole
from xcodec.streaming import StreamDecoder

WINDOWS = [None, 7]
DECODER = "acoustic_decoder."


def codes_of(count: int, batch: int = 1) -> Tensor:
    torch.manual_seed(count)
    return torch.randint(0, 65536, (batch, 1, count))


@pytest.fixture(scope="module", params=WINDOWS, ids=["all", "window"])
def model(request: pytest.FixtureRequest) -> CausalXcodec2Model:
    with torch.inference_mode():
        return tiny_causal(sliding_window=request.param)


@pytest.fixture(scope="module")
def codec(model: CausalXcodec2Model) -> Codec:
    return Codec(model, Xcodec2FeatureExtractor())


def joined(pieces: list[Audio | None]) -> np.ndarray:
    return np.concatenate([piece.samples[0] for piece in pieces if piece is not None])


# The reference


def transformers_layers(model: CausalXcodec2Model) -> nn.Module:
    """transformers' Llama, or with a window its Mistral, with the layers of a decoder; their MLPs have no gate here."""
    config, decoder = model.config, model.acoustic_decoder
    sizes: dict[str, Any] = {
        "vocab_size": 1,
        "hidden_size": config.decoder_hidden_size,
        "intermediate_size": 1,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_parameters": config.rope_parameters,
        "attn_implementation": "eager",
    }
    reference: Any
    if config.sliding_window is None:
        reference = transformers.LlamaModel(transformers.LlamaConfig(**sizes))
    else:
        sizes["sliding_window"] = config.sliding_window
        reference = transformers.MistralModel(transformers.MistralConfig(**sizes))
    for theirs, ours in zip(reference.layers, decoder.layers, strict=True):
        theirs.mlp = nn.Sequential(nn.Linear(1, 1, bias=False), nn.SiLU(), nn.Linear(1, 1, bias=False))
        theirs.mlp[0].weight, theirs.mlp[2].weight = ours.mlp.fc1.weight, ours.mlp.fc2.weight
        for name in ("self_attn", "input_layernorm", "post_attention_layernorm"):
            getattr(theirs, name).load_state_dict(getattr(ours, name).state_dict(), strict=True)
    reference.norm.load_state_dict(decoder.norm.state_dict())
    reference.eval()
    return reference


@pytest.mark.parametrize("key_heads", [3, 1])
@pytest.mark.parametrize("window", WINDOWS)
def test_its_layers_are_those_of_transformers_causal_models(window: int | None, key_heads: int) -> None:
    model = tiny_causal(sliding_window=window, num_key_value_heads=key_heads)
    decoder, codes = model.acoustic_decoder, codes_of(40, batch=2)
    x = F.linear(model.quantizer.decode(codes[:, 0]), decoder.fc.weight)
    assert decoder.lookahead is not None
    ahead = torch.cat([x, torch.zeros(2, 4, 48)], 1).unfold(1, 5, 1)  # (batch, time, channels, a step and 4 after it)
    seen = (ahead * decoder.lookahead.conv.weight[:, 0]).sum(-1)
    x = x + F.linear(F.silu(seen), decoder.lookahead.proj.weight)
    x = transformers_layers(model)(inputs_embeds=x, use_cache=False).last_hidden_state
    expected = F.linear(x, decoder.head.proj.weight).tanh().flatten(1)[:, None]
    assert torch.allclose(model.decode(codes).audio_values, expected, atol=1e-5)
    with torch.enable_grad():
        assert torch.allclose(model.decode(codes).audio_values, expected, atol=1e-5)


@pytest.fixture
def audex(tmp_path: Path) -> Path:
    """A folder as NVIDIA lays it out."""
    folder = tmp_path / "audex_causal_speech_decoder"
    folder.mkdir()
    save_file(audex_tensors(), folder / "model.safetensors")
    fields = {"model_type": folder.name, "heads": HEADS, "pos_meb_dim": 8, "sample_rate": 16000, "lookahead_steps": 4}
    (folder / "config.json").write_text(json.dumps(fields))
    return folder


def test_audex_s_decoder_is_read_as_it_is_and_decodes_as_it_does(audex: Path, tmp_path: Path) -> None:
    codes = codes_of(30)[0, 0].numpy()
    expected = audex_decode(audex_tensors(), codes.tolist())
    codec = Codec.from_pretrained(audex)
    assert np.allclose(codec.decode(codes).samples[0], expected, atol=1e-5)
    report = convert_checkpoint(audex, tmp_path / "converted")
    assert list(report.dropped) == ["module.wav_proj.weight"]
    converted = Codec.from_pretrained(tmp_path / "converted")
    assert np.array_equal(converted.decode(codes).samples, codec.decode(codes).samples)
    assert converted.identity.same_model(codec.identity)


def test_it_may_be_told_whose_codes_it_decodes(audex: Path, tmp_path: Path) -> None:
    maker = Codec(tiny_model(), Xcodec2FeatureExtractor(), name="maker")
    codes = maker.encode(speech(1.0), 16000)
    codes.save(tmp_path / "a.codes")
    convert_checkpoint(audex, tmp_path / "alone", decodes=tmp_path / "a.codes")
    assert Codec.from_pretrained(tmp_path / "alone").decode(codes).num_samples == 16000
    maker.model.save_pretrained(tmp_path / "maker")
    convert_checkpoint(audex, tmp_path / "too", decodes=tmp_path / "maker")
    assert Codec.from_pretrained(tmp_path / "too").codes_identity.same_model(maker.identity)
    whole = tiny_causal()
    encoder = {name: x for name, x in maker.model.state_dict().items() if DECODER not in name}
    whole.load_state_dict(encoder, strict=False)
    whole.save_pretrained(tmp_path / "whole")
    convert_checkpoint(tmp_path / "whole", tmp_path / "three", decodes=tmp_path / "maker")
    assert Codec.from_pretrained(tmp_path / "three").encode(speech(1.0), 16000) == codes
    tiny_causal(1).save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="the encoder is not that of maker, so the codes are others"):
        convert_checkpoint(tmp_path / "other", tmp_path / "four", decodes=tmp_path / "maker")


@pytest.mark.parametrize(
    ("left_out", "told", "said"),
    [
        ("module.backbone.transformers.1.att.c_attn.weight", {}, "1.att.c_proj.weight"),
        ("module.head.proj.weight", {}, "head.proj.weight is missing, which tells a size of the model"),
        ("module.mlp_that_is_none", {"sample_rate": 24000}, "sample_rate=24000 in its config.json; expected 16000"),
        ("module.mlp_that_is_none", {"pos_meb_dim": 64}, "pos_meb_dim=64 in its config.json; expected 8"),
    ],
)
def test_what_is_no_whole_decoder_of_audex_is_refused(
    audex: Path, left_out: str, told: dict[str, int], said: str
) -> None:
    tensors = load_file(audex / "model.safetensors")
    tensors.pop(left_out, None)
    save_file(tensors, audex / "model.safetensors")
    config = json.loads((audex / "config.json").read_text())
    (audex / "config.json").write_text(json.dumps(config | told))
    with pytest.raises(CheckpointError, match=re.escape(said)):
        Codec.from_pretrained(audex)


# A decoder alone


def test_a_decoder_alone_decodes_and_says_that_it_cannot_encode(audex: Path, tmp_path: Path) -> None:
    convert_checkpoint(audex, tmp_path / "alone")
    for decoder_only in (False, True):
        codec = Codec.from_pretrained(tmp_path / "alone", decoder_only=decoder_only)
        with pytest.raises(InputError, match="a decoder alone and has no encoder; encode with the model whose codes"):
            codec.encode(speech(1.0), 16000)
        assert codec.decode(codes_of(9)[0, 0].numpy()).num_samples == 9 * 320
        codec.model.save_pretrained(tmp_path / "again")
        assert Codec.from_pretrained(tmp_path / "again").identity.same_model(codec.identity)
        assert Codec(codec.model, codec.feature_extractor).identity.same_model(codec.identity)
    with pytest.raises(InputError, match="encoder_only was asked for, and the checkpoint is a decoder alone"):
        Codec.from_pretrained(tmp_path / "alone", encoder_only=True)


def test_a_checkpoint_that_lacks_an_encoder_it_should_have_is_refused(tmp_path: Path) -> None:
    tiny_causal().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: x for name, x in tensors.items() if name.startswith(("acoustic_decoder.", "quantizer.project_out"))}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"missing: acoustic_encoder\."):
        CausalXcodec2Model.from_pretrained(tmp_path)
    decoder = CausalXcodec2Model.from_pretrained(tmp_path, has_encoder=False)
    assert decoder.decode(codes_of(3)).audio_values.shape == (1, 1, 960)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decoder_hidden_size": 50}, "decoder_hidden_size=50: expected a multiple of num_attention_heads=32"),
        ({"head_dim": 7}, "head_dim=7: expected an even number"),
        ({"lookahead": -1}, "lookahead=-1: expected a whole number of at least 0"),
        ({"sliding_window": 0}, "sliding_window=0: expected a whole number of at least 1"),
        ({"rope_parameters": {"rope_type": "linear"}}, "expected rope_type 'default'"),
        ({"upsampling_ratios": [2]}, "a causal decoder has no upsampler"),
        ({"has_encoder": 1}, "has_encoder=1: expected true or false"),
    ],
)
def test_fields_that_describe_no_decoder_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        CausalXcodec2Config(**fields)


# Time


@pytest.mark.parametrize("budget", [1, 30_000, 1 << 30])
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 60, 130])], ids=["full", "padded"])
def test_tiles_are_the_whole(model: CausalXcodec2Model, budget: int, lengths: Tensor | None) -> None:
    codes = codes_of(130, batch=3)
    whole = model.synthesize(codes, Whole(lengths))
    assert torch.allclose(model.synthesize(codes, Tiled(lengths, budget)), whole, atol=1e-5)
    for clip, count in enumerate([] if lengths is None else lengths.tolist()):
        alone = model.decode(codes[clip : clip + 1, :, :count]).audio_values[0]
        assert torch.allclose(whole[clip, :, : count * 320], alone, atol=1e-5)
        assert not whole[clip, :, count * 320 :].any()


def test_a_code_changes_nothing_before_those_that_look_ahead_at_it(model: CausalXcodec2Model) -> None:
    codes = codes_of(60)
    others = codes.clone()
    others[..., 40:] = 65535 - others[..., 40:]
    a, b = model.decode(codes).audio_values[0, 0], model.decode(others).audio_values[0, 0]
    assert torch.equal(a[: 36 * 320], b[: 36 * 320])
    assert not torch.allclose(a[36 * 320 : 37 * 320], b[36 * 320 : 37 * 320], atol=1e-3)


# Streams


@pytest.mark.parametrize("chunk", ["auto", 1, 5, 13])
@pytest.mark.parametrize("size", [1, 2, 17, 1000])
def test_a_stream_is_the_whole_however_codes_arrive(codec: Codec, chunk: Any, size: int) -> None:
    ids = codes_of(130)[0].numpy()
    decoder = StreamDecoder(codec, chunk=chunk)
    pieces = [decoder.push(ids[:, start : start + size]) for start in range(0, 130, size)]
    assert np.allclose(joined([*pieces, decoder.flush()]), codec.decode_ids([ids])[0], atol=1e-5)


def test_the_first_audio_comes_after_five_codes_and_each_further_code_gives_its_own(codec: Codec) -> None:
    decoder = StreamDecoder(codec)
    given = [decoder.push(code) for code in codes_of(12)[0, 0].tolist()]
    assert [None if piece is None else piece.num_samples for piece in given] == [None] * 4 + [320] * 8
    rest = decoder.flush()
    assert rest is not None
    assert rest.num_samples == 4 * 320


def test_streams_at_different_points_decode_together_what_they_decode_alone(codec: Codec) -> None:
    ids = codes_of(60)[0].numpy()
    before = [40, 23, 5, 0]
    together, alone = ([StreamDecoder(codec) for _ in before] for _ in range(2))
    for count, *pair in zip(before, together, alone, strict=True):
        for stream in pair:
            stream.push(ids[:, :count])
    for step in range(6):
        found = StreamDecoder.push_many(together, [ids[:, count + step] for count in before])
        for count, audio, stream in zip(before, found, alone, strict=True):
            expected = stream.push(ids[:, count + step])
            assert (audio is None) == (expected is None)
            if audio is not None and expected is not None:
                assert np.allclose(audio.samples, expected.samples, atol=1e-5)


def test_what_is_looked_ahead_at_passes_no_layer_before_its_turn(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    layer: Any = codec.model.get_submodule("acoustic_decoder.layers.0.mlp")
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda x: steps.append(x.shape[1]) or forward(x))
    decoder = StreamDecoder(codec)
    for code in range(8):
        decoder.push(code)
    assert steps == [1] * 4


def test_a_stream_with_a_window_remembers_no_more_than_that() -> None:
    decoder = StreamDecoder(Codec(tiny_causal(sliding_window=7), Xcodec2FeatureExtractor()))
    for _ in range(3):
        decoder.push(codes_of(50)[0].numpy())
        assert decoder.state.past is not None
        assert {tuple(keys.shape) for keys in decoder.state.past.keys} == {(2, 6, 48)}


def test_less_context_than_the_attention_sees_is_other_audio(codec: Codec) -> None:
    ids = codes_of(60)[0].numpy()
    decoder = StreamDecoder(codec, context=3, chunk=1)
    streamed = joined([*(decoder.push(code) for code in ids[0]), decoder.flush()])
    assert not np.allclose(streamed, codec.decode_ids([ids])[0], atol=1e-3)


def test_a_stream_that_looks_less_far_ahead_than_the_model_is_refused(codec: Codec) -> None:
    with pytest.raises(InputError, match="lookahead=3: expected a whole number of frames, at least 4"):
        StreamDecoder(codec, lookahead=3)


def test_a_decoder_that_looks_at_nothing_ahead_gives_each_code_s_audio_at_once() -> None:
    model = tiny_causal(lookahead=0)
    assert not any("lookahead" in name for name in model.state_dict())
    codec = Codec(model, Xcodec2FeatureExtractor())
    ids = codes_of(20)[0].numpy()
    decoder = StreamDecoder(codec)
    pieces = [decoder.push(code) for code in ids[0]]
    assert all(piece is not None and piece.num_samples == 320 for piece in pieces)
    assert np.allclose(joined(pieces), codec.decode_ids([ids])[0], atol=1e-5)


def test_another_rate_is_more_samples_of_each_code() -> None:
    codec = Codec(tiny_causal(decoder_hop_length=480), Xcodec2FeatureExtractor())
    decoder = StreamDecoder(codec)
    piece = decoder.push(codes_of(6)[0].numpy())
    assert piece is not None
    assert (piece.sampling_rate, piece.num_samples) == (24000, 2 * 480)


def test_it_is_one_checkpoint_with_its_encoder(tmp_path: Path) -> None:
    model: CodecModel = tiny_causal()
    model.save_pretrained(tmp_path)
    codec = Codec.from_pretrained(tmp_path)
    assert isinstance(codec.model, CausalXcodec2Model)
    audio = codec.reconstruct(speech(1.5), 16000)
    assert audio.num_samples == 24000
    assert codec.encode(speech(1.5), 16000).codec == codec.identity
    assert TINY["hidden_size"] == codec.model.config.hidden_size
