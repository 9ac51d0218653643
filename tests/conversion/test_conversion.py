"""Original checkpoints, in every spelling, compute here and in transformers what the original computes."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers.models.xcodec2.modeling_xcodec2 import Xcodec2RotaryEmbedding, apply_rotary_pos_emb

from original import TINY_OPTIONS, OriginalXCodec2, rotate_pairs, write_original_folder
from xcodec.conversion import Checkpoint, convert_checkpoint
from xcodec.conversion.xcodec2 import convert_state_dict
from xcodec.conversion.xcodec2_names import RENAMES, half_split_pairs, original_name, plain_name
from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2Model

RECORDING = Path(__file__).parents[1] / "audio" / "austen-0870.wav"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def wave() -> Tensor:
    """Two seconds of speech, padded to whole codes: (1, 1, 32320)."""
    samples, rate = soundfile.read(RECORDING, frames=32000, dtype="float32")
    assert rate == 16000
    return F.pad(torch.from_numpy(samples), (0, 320))[None, None]


@pytest.fixture(scope="module")
def features(original: OriginalXCodec2, wave: Tensor) -> Tensor:
    return original.input_features(wave[0, 0])


@pytest.fixture(scope="module")
def folder(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conversion")
    convert_checkpoint(write_original_folder(state, path / "original"), path / "converted", **TINY_OPTIONS)
    return path / "converted"


@pytest.fixture(scope="module")
def theirs(folder: Path) -> transformers.Xcodec2Model:
    """The converted checkpoint in transformers' own model, which rotates queries and keys."""
    return transformers.Xcodec2Model.from_pretrained(folder).eval()


def renamed(state: State, *replacements: tuple[str, str]) -> State:
    result = {}
    for name, tensor in state.items():
        for old, new in replacements:
            name = re.sub(old, new, name)
        result[name] = tensor
    return result


def assert_equal_tensors(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}")


# What is computed


def encoded_stages(model: nn.Module, wave: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Each stage from the same input, of a model with transformers' parameter names and shapes, ours or theirs."""
    semantic = model.semantic_encoder(features)
    semantic = getattr(semantic, "last_hidden_state", semantic).transpose(1, 2)
    stages = {
        "semantic encoder": semantic,
        "semantic adapter": model.semantic_adapter(semantic),
        "acoustic encoder": model.acoustic_encoder(wave),
    }
    both = torch.cat([stages["semantic adapter"], stages["acoustic encoder"]], 1)
    stages["fused"] = model.fc_encoder(both.transpose(1, 2))
    return stages


def original_stages(original: OriginalXCodec2, wave: Tensor, features: Tensor) -> dict[str, Tensor]:
    semantic = original.semantic_model(features).hidden_states[2].transpose(1, 2)
    return {
        "semantic encoder": semantic,
        "semantic adapter": original.SemanticEncoder_module(semantic),
        "acoustic encoder": original.CodecEnc(wave),
        "fused": original.fused(wave, features),
    }


@pytest.mark.parametrize("package", ["ours", "transformers"])
def test_every_stage_of_a_converted_checkpoint_computes_what_the_original_does(
    package: str, original: OriginalXCodec2, folder: Path, theirs: nn.Module, wave: Tensor, features: Tensor
) -> None:
    model = Xcodec2Model.from_pretrained(folder).eval() if package == "ours" else theirs
    expected = original_stages(original, wave, features)
    found = encoded_stages(model, wave, features)
    for stage, tensor in expected.items():
        assert tensor.std() > 0.1, f"{stage} is too flat to tell anything"
        torch.testing.assert_close(found[stage], tensor, rtol=1e-4, atol=1e-4, msg=lambda text, s=stage: f"{s}: {text}")

    codes = original.generator.quantizer(original.fused(wave, features))[:, None]
    assert codes.unique().numel() > 20
    assert torch.equal(
        model.encode(wave, features).audio_codes, codes.to(model.encode(wave, features).audio_codes.dtype)
    )

    audio = original.decode_code(codes)
    assert audio.std() > 0.1
    torch.testing.assert_close(model.decode(codes).audio_values, audio, rtol=0, atol=1e-4)


def test_the_adapter_adds_the_rectified_input_as_the_original_does(
    original: OriginalXCodec2, converted: Checkpoint
) -> None:
    x = torch.randn(1, 32, 50, generator=torch.Generator().manual_seed(0))
    module = original.SemanticEncoder_module
    plain = module.initial_conv(x)
    plain = module.final_conv(plain + module.residual_blocks(plain.clone()))
    found = converted.build().semantic_adapter(x)
    torch.testing.assert_close(found, module(x), rtol=1e-4, atol=1e-4)
    assert (found - plain).abs().max() > 0.1


# Query and key rows


def rotate_halves(x: Tensor, positions: int, axis: int) -> Tensor:
    """transformers' rotation of (batch, heads, time, head_dim), for positions along `axis`, heads (1) or time (2)."""
    config = transformers.Xcodec2Config(hidden_size=64, num_attention_heads=4, num_key_value_heads=4, head_dim=16)
    cos, sin = Xcodec2RotaryEmbedding(config)(x, torch.arange(positions)[None])
    return apply_rotary_pos_emb(x, x, cos, sin, unsqueeze_dim=3 - axis)[0]


def projected(x: Tensor, weight: Tensor) -> Tensor:
    """(batch, time, width) -> (batch, heads, time, head_dim)."""
    return (x @ weight.T).unflatten(-1, (4, 16)).transpose(1, 2)


@pytest.fixture(scope="module")
def hidden() -> Tensor:
    return torch.randn(2, 7, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("part", [0, 1], ids=["query", "key"])
def test_permuted_rows_rotate_in_transformers_as_the_originals_do(
    part: int, original: OriginalXCodec2, converted: Checkpoint, hidden: Tensor
) -> None:
    attention = original.generator.backbone.transformers[0].att
    letter = "qk"[part]
    weight = converted.tensors[f"acoustic_decoder.layers.0.self_attn.{letter}_proj.weight"]
    unpermuted = attention.c_attn.weight.chunk(3)[part]
    expected = rotate_pairs(attention.projections(hidden)[part])  # positions on the axis of the heads

    # A channel's pair is its neighbour there, and half a head away here.
    def half_split(x: Tensor) -> Tensor:
        return torch.cat([x[..., 0::2], x[..., 1::2]], -1)

    torch.testing.assert_close(rotate_halves(projected(hidden, weight), 4, axis=1), half_split(expected))
    wrong = rotate_halves(projected(hidden, unpermuted), 4, axis=1)
    assert (wrong - expected).abs().max() > 0.1
    assert (wrong - half_split(expected)).abs().max() > 0.1


def test_permuted_rows_would_keep_the_scores_of_a_rotation_over_time(
    original: OriginalXCodec2, converted: Checkpoint, hidden: Tensor
) -> None:
    attention = original.generator.backbone.transformers[0].att
    q, k, _ = attention.projections(hidden)
    # torchtune's own axes, (batch, time, heads, head_dim), instead of the original's mistaken ones.
    q, k = (rotate_pairs(x.transpose(1, 2)).transpose(1, 2) for x in (q, k))
    expected = q @ k.transpose(-1, -2)

    def scores(query: Tensor, key: Tensor) -> Tensor:
        rotated = (rotate_halves(projected(hidden, weight), 7, axis=2) for weight in (query, key))
        return next(rotated) @ next(rotated).transpose(-1, -2)

    name = "acoustic_decoder.layers.0.self_attn.{}_proj.weight"
    found = scores(converted.tensors[name.format("q")], converted.tensors[name.format("k")])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    q_rows, k_rows, _ = attention.c_attn.weight.chunk(3)
    assert (scores(q_rows, k_rows) - expected).abs().max() > 0.1


def test_a_query_and_a_key_permuted_differently_are_heard(
    theirs: nn.Module, original: OriginalXCodec2, state: State
) -> None:
    codes = torch.randint(0, 65536, (1, 1, 20), generator=torch.Generator().manual_seed(2))
    expected = original.decode_code(codes)
    torch.testing.assert_close(theirs.decode(codes).audio_values, expected, rtol=0, atol=1e-4)

    def decode_with(permute_query: bool, permute_key: bool) -> Tensor:
        model = copy.deepcopy(theirs)
        for i, layer in enumerate(model.acoustic_decoder.layers):
            q, k, _ = state[f"generator.backbone.transformers.{i}.att.c_attn.weight"].chunk(3)
            layer.self_attn.q_proj.weight.copy_(half_split_pairs(q, 4) if permute_query else q)
            layer.self_attn.k_proj.weight.copy_(half_split_pairs(k, 4) if permute_key else k)
        return model.decode(codes).audio_values

    assert torch.equal(decode_with(True, True), theirs.decode(codes).audio_values)
    assert (decode_with(True, False) - expected).abs().max() > 0.01
    assert (decode_with(False, True) - expected).abs().max() > 0.01
    # Permuting neither is not heard, since one angle per head turns query and key alike: hence the tests above.
    torch.testing.assert_close(decode_with(False, False), expected, rtol=0, atol=1e-4)


# Spellings


def parametrized(original: OriginalXCodec2) -> State:
    return original.state_dict()


def legacy_weight_norm(original: OriginalXCodec2) -> State:
    older = OriginalXCodec2(legacy=True)
    spelled = renamed(
        original.state_dict(),
        (r"parametrizations\.weight\.original0", "weight_g"),
        (r"parametrizations\.weight\.original1", "weight_v"),
    )
    older.load_state_dict(spelled, strict=True)
    assert any(name.endswith("weight_g") for name in older.state_dict())
    return older.state_dict()


def folded_weight_norm(original: OriginalXCodec2) -> State:
    folded = OriginalXCodec2()  # not a copy: torch's parametrized classes are shared by copies, and changed below
    folded.load_state_dict(original.state_dict(), strict=True)
    for module in folded.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
    assert not any("original" in name for name in folded.state_dict())
    return folded.state_dict()


def snake_beta(original: OriginalXCodec2) -> State:
    return renamed(original.state_dict(), (r"\.act\.bias$", ".act.beta"))


def without_constants(original: OriginalXCodec2) -> State:
    return {name: x for name, x in original.state_dict().items() if not name.endswith(("filter", "window"))}


def with_more_constants(original: OriginalXCodec2) -> State:
    rotary = {
        f"generator.backbone.transformers.{i}.att.rotary_embed.{table}": torch.rand(8) for i in (0, 1) for table in "tc"
    }
    fsq = {"generator.quantizer.scales": torch.ones(1, 8), "generator.quantizer.layers.0._levels": torch.full((8,), 4)}
    return original.state_dict() | rotary | fsq


def data_parallel(original: OriginalXCodec2) -> State:
    return renamed(original.state_dict(), (r"^", "module."))


def under_model(original: OriginalXCodec2) -> State:
    return renamed(original.state_dict(), (r"^", "model."))


def compiled(original: OriginalXCodec2) -> State:
    return renamed(original.state_dict(), (r"^CodecEnc\.", "CodecEnc._orig_mod."))


def with_training_modules(original: OriginalXCodec2) -> State:
    extra = {
        "fc_post_s.weight": (32, 96),
        "SemanticDecoder_module.initial_conv.weight": (32, 32, 3),
        "discriminator.discriminators.0.convs.0.weight_g": (16, 1, 1, 1),
        "discriminator.discriminators.0.convs.0.weight_v": (16, 1, 5, 1),
        "spec_discriminator.discriminators.0.layers.0.0.weight": (16, 2, 3, 3),
        "criteria.mel_loss.mel_basis": (80, 513),
        "perception_model.masked_spec_embed": (32,),
    }
    return original.state_dict() | {name: torch.zeros(shape) for name, shape in extra.items()}


@pytest.mark.parametrize(
    "spelling",
    [
        parametrized,
        legacy_weight_norm,
        folded_weight_norm,
        snake_beta,
        without_constants,
        with_more_constants,
        data_parallel,
        under_model,
        compiled,
        with_training_modules,
    ],
)
def test_every_spelling_gives_the_same_model_and_accounts_for_every_tensor(
    spelling: Callable[[OriginalXCodec2], State], original: OriginalXCodec2, converted: Checkpoint
) -> None:
    state = spelling(original)
    checkpoint = convert_state_dict(state, **TINY_OPTIONS)
    assert_equal_tensors(checkpoint.tensors, converted.tensors)
    assert checkpoint.config.to_dict() == converted.config.to_dict()
    report = checkpoint.report
    used = {name for names in report.kept.values() for name in names}
    assert used.isdisjoint(report.dropped)
    assert used | report.dropped.keys() == state.keys()
    assert report.kept.keys() == checkpoint.tensors.keys()


def test_folding_is_what_torchs_weight_norm_computes(original: OriginalXCodec2, converted: Checkpoint) -> None:
    conv = original.CodecEnc.conv_blocks[3].block[1].block[1]
    found = converted.tensors["acoustic_encoder.block.2.res_unit2.conv1.weight"]
    torch.testing.assert_close(found, conv.weight, rtol=1e-6, atol=1e-8)
    direction = conv.parametrizations.weight.original1
    assert (found - direction).abs().max() > 0.01


def test_the_report_says_what_was_kept_folded_permuted_and_dropped_and_why(original: OriginalXCodec2) -> None:
    report = convert_state_dict(with_training_modules(original), **TINY_OPTIONS, source="epoch=4.ckpt").report
    assert report.folded.count("acoustic_encoder.conv1.weight") == 1
    assert len(report.folded) == 1 + 5 * 7 + 1
    assert report.kept["acoustic_encoder.conv1.weight"] == (
        "CodecEnc.conv_blocks.0.parametrizations.weight.original0",
        "CodecEnc.conv_blocks.0.parametrizations.weight.original1",
    )
    assert sorted(report.permuted) == [
        f"acoustic_decoder.layers.{i}.self_attn.{letter}_proj.weight" for i in (0, 1) for letter in "kq"
    ]
    assert report.dropped["fc_post_s.weight"] == "training only: input of the semantic decoder"
    assert report.dropped["generator.head.istft.window"] == "constant: window of the inverse STFT"
    unused = "unused: layers of the semantic encoder past the first 2"
    layers = {name.split(".")[3] for name, reason in report.dropped.items() if reason == unused}
    assert layers == {"2"}
    text = str(report)
    assert "epoch=4.ckpt: an X-Codec2 checkpoint in original layout" in text
    assert f"{report.num_kept:,} numbers" in text
    assert "1   training only: spectral discriminator" in text


def test_every_original_name_maps_to_one_name_and_back(state: State) -> None:
    for name in map(plain_name, state):
        rows = [source.text for source, _ in RENAMES.rows if source.match(name) is not None]
        if name.endswith((".filter", ".window")):
            continue
        assert len(rows) == 1, f"{name} matches {rows}"
        target = RENAMES.rename(name)
        assert target is not None
        assert RENAMES.trace(target) == name


def test_names_here_are_traced_to_the_original() -> None:
    assert original_name("acoustic_decoder.layers.3.self_attn.k_proj.weight") == (
        "generator.backbone.transformers.3.att.c_attn.weight"
    )
    assert original_name("acoustic_encoder.block.0.res_unit3.snake2.act.alpha") == (
        "CodecEnc.conv_blocks.1.block.2.block.2.act.alpha"
    )


def test_sizes_are_read_off_the_tensors() -> None:
    sizes = {"hidden": 128, "depth": 1, "encoder_base": 2, "strides": (2, 4, 40)}
    model = OriginalXCodec2(**sizes, semantic_hidden=64, semantic_heads=4, semantic_layers=1, used_semantic_layers=1)
    config = convert_state_dict(model.state_dict(), num_semantic_layers=1).config
    assert (config.hidden_size, config.num_attention_heads, config.head_dim) == (128, 2, 64)  # heads of 64 channels
    assert (config.num_hidden_layers, config.intermediate_size) == (1, 512)
    assert (config.encoder_hidden_size, config.downsampling_ratios) == (2, [2, 4, 40])
    assert (config.quantization_dim, config.quantization_levels) == (192, [4] * 8)
    semantic = config.semantic_model_config
    assert (semantic.hidden_size, semantic.num_attention_heads, semantic.intermediate_size) == (64, 4, 48)
    assert (semantic.num_hidden_layers, semantic.conv_depthwise_kernel_size) == (1, 31)


def test_the_released_sizes_give_the_default_configuration() -> None:
    with torch.device("meta"):
        model = OriginalXCodec2(
            hidden=1024,
            depth=12,
            heads=16,
            encoder_base=48,
            semantic_hidden=1024,
            semantic_heads=16,
            semantic_intermediate=4096,
            semantic_layers=24,
        )
    state = without_constants(model)
    checkpoint = convert_state_dict(state)
    expected = Xcodec2Config(rope_parameters={"rope_type": "default", "rope_theta": 10000.0}).to_dict()
    found = checkpoint.config.to_dict()
    differing = {name for name in expected if found[name] != expected[name]}
    assert differing == {"architectures", "dtype"}
    assert checkpoint.report.num_kept == 629_281_706  # "629M"
