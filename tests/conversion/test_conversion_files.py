"""Every file format of a checkpoint converts to one folder, whole or not at all; what is no checkpoint is refused."""

import json
import os
import pickle
import re
import sys
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from original import TINY_OPTIONS, OriginalXCodec2, write_original_folder
from xcodec.conversion import Checkpoint, convert_checkpoint, read_checkpoint
from xcodec.conversion.xcodec2 import convert_state_dict
from xcodec.errors import CheckpointError, InputError
from xcodec.models import weights
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor, Xcodec2Model

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conversion")
    convert_checkpoint(write_original_folder(state, path / "original"), path / "converted", **TINY_OPTIONS)
    return path / "converted"


def assert_equal_tensors(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


# Files


def as_original_folder(state: State, path: Path) -> Path:
    return write_original_folder(state, path / "xcodec2")


def as_safetensors(state: State, path: Path) -> Path:
    save_file(state, path / "weights.safetensors")
    return path / "weights.safetensors"


def as_state_dict(state: State, path: Path) -> Path:
    torch.save(state, path / "weights.pt")
    return path / "weights.pt"


def as_old_state_dict(state: State, path: Path) -> Path:
    torch.save(state, path / "weights.pth", _use_new_zipfile_serialization=False)
    return path / "weights.pth"


def as_lightning_checkpoint(state: State, path: Path) -> Path:
    content = {
        "epoch": 4,
        "global_step": 1_400_000,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4}]}],
        "callbacks": {"ModelCheckpoint": {"best_model_path": Path("a/b.ckpt")}},
    }
    torch.save(content, path / "epoch=4-step=1400000.ckpt")
    return path / "epoch=4-step=1400000.ckpt"


def as_transformers_folder(state: State, path: Path) -> Path:
    convert_state_dict(state, **TINY_OPTIONS).build().save_pretrained(path / "hf")
    return path / "hf"


def as_folder_that_says_xcodec2(state: State, path: Path) -> Path:
    folder = write_original_folder(state, path / "xcodec2")  # as HKUSTAudio/xcodec2 is
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "xcodec2"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def as_folder_of_a_torch_file(state: State, path: Path) -> Path:
    folder = write_original_folder(state, path / "xcodec2")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def as_folder_of_nothing_but_a_torch_file(state: State, path: Path) -> Path:
    (as_folder_of_a_torch_file(state, path) / "config.json").unlink()
    return path / "xcodec2"


def as_folder_of_one_checkpoint(state: State, path: Path) -> Path:
    (path / "run").mkdir()
    return as_lightning_checkpoint(state, path / "run").parent


def as_transformers_folder_that_says_xcodec(state: State, path: Path) -> Path:
    folder = as_transformers_folder(state, path)
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "xcodec", "architectures": ["Codec"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def as_sharded_transformers_folder(state: State, path: Path) -> Path:
    convert_state_dict(state, **TINY_OPTIONS).build().save_pretrained(path / "hf", max_shard_size="1MB")
    assert len(list((path / "hf").glob("*.safetensors"))) > 2
    return path / "hf"


@pytest.mark.parametrize(
    "save",
    [
        as_original_folder,
        as_folder_that_says_xcodec2,
        as_folder_of_a_torch_file,
        as_folder_of_nothing_but_a_torch_file,
        as_folder_of_one_checkpoint,
        as_transformers_folder_that_says_xcodec,
        as_safetensors,
        as_state_dict,
        as_old_state_dict,
        as_lightning_checkpoint,
        as_transformers_folder,
        as_sharded_transformers_folder,
    ],
)
def test_every_file_format_converts_to_the_same_folder(
    save: Callable[[State, Path], Path], state: State, converted: Checkpoint, folder: Path, tmp_path: Path
) -> None:
    destination = tmp_path / "new" / "converted"
    untold = {} if "transformers" in save.__name__ else TINY_OPTIONS  # what is not in the file
    report = convert_checkpoint(save(state, tmp_path), destination, **untold)
    names = ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(path.name for path in destination.iterdir()) == names
    assert [path.name for path in destination.parent.iterdir()] == ["converted"]
    assert_equal_tensors(load_file(destination / "model.safetensors"), converted.tensors)
    for name in ("config.json", "preprocessor_config.json"):
        written, expected = (json.loads((path / name).read_text()) for path in (destination, folder))
        assert written == expected
    assert (destination / "model.safetensors").stat().st_mode == (destination / "config.json").stat().st_mode
    assert report.num_kept == sum(tensor.numel() for tensor in converted.tensors.values())


def test_a_converted_folder_says_what_transformers_needs(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "xcodec2"
    assert config["architectures"] == ["Xcodec2Model"]
    assert config["dtype"] == "float32"
    theirs = transformers.Xcodec2Config.from_pretrained(folder)
    assert (theirs.num_attention_heads, theirs.head_dim, theirs.hop_length) == (4, 16, 320)
    assert theirs.semantic_model_config.num_hidden_layers == 2
    assert theirs.rope_parameters["rope_theta"] == 10000.0
    assert Xcodec2FeatureExtractor.from_pretrained(folder).hop_length == 320


def test_a_half_precision_checkpoint_stays_in_half_precision(state: State, tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in state.items()}
    source = as_safetensors(half, tmp_path)
    convert_checkpoint(source, tmp_path / "converted", **TINY_OPTIONS)
    model = Xcodec2Model.from_pretrained(tmp_path / "converted")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}


def test_a_training_configuration_in_a_checkpoint_is_neither_imported_nor_in_the_way(
    state: State, converted: Checkpoint, tmp_path: Path
) -> None:
    # Lightning's save_hyperparameters pickles the OmegaConf configuration beside the weights.
    names = ("omegaconf", "omegaconf.dictconfig")
    kind = type("DictConfig", (), {"__module__": names[1]})
    try:
        sys.modules |= {name: types.ModuleType(name) for name in names}
        sys.modules[names[1]].DictConfig = kind
        config = kind()
        config.content = {"types": [int, dict], "path": Path("data"), "defaults": defaultdict(list, {"ngf": 48})}
        torch.save({"state_dict": state, "hyper_parameters": {"cfg": config}}, tmp_path / "last.ckpt")
    finally:
        for name in names:
            del sys.modules[name]
    checkpoint = read_checkpoint(tmp_path / "last.ckpt", **TINY_OPTIONS)
    assert_equal_tensors(checkpoint.tensors, converted.tensors)
    assert not any(module.startswith("omegaconf") for module in sys.modules)
    assert not any("omegaconf" in str(allowed) for allowed in torch.serialization.get_safe_globals())


def test_a_missing_semantic_encoder_is_named_and_can_be_given(
    original: OriginalXCodec2, state: State, converted: Checkpoint, tmp_path: Path
) -> None:
    without = {name: tensor for name, tensor in state.items() if not name.startswith("semantic_model.")}
    source = as_lightning_checkpoint(without, tmp_path)
    with pytest.raises(CheckpointError, match=r"is missing: .*layers\.0\.\* to \.1\.\* .*give semantic_encoder=FOLDER"):
        convert_checkpoint(source, tmp_path / "converted", **TINY_OPTIONS)
    assert not (tmp_path / "converted").exists()

    original.semantic_model.save_pretrained(tmp_path / "w2v-bert-2.0")
    convert_checkpoint(source, tmp_path / "converted", semantic_encoder=tmp_path / "w2v-bert-2.0", **TINY_OPTIONS)
    assert_equal_tensors(load_file(tmp_path / "converted" / "model.safetensors"), converted.tensors)

    with pytest.raises(InputError, match="holds its own"):
        read_checkpoint(as_safetensors(state, tmp_path), semantic_encoder=tmp_path / "w2v-bert-2.0", **TINY_OPTIONS)
    with pytest.raises(InputError, match="is complete"):
        read_checkpoint(tmp_path / "converted", semantic_encoder=tmp_path / "w2v-bert-2.0")
    with pytest.raises(CheckpointError, match="model_type 'xcodec2'; expected 'wav2vec2-bert'"):
        read_checkpoint(source, semantic_encoder=tmp_path / "converted", **TINY_OPTIONS)


# The destination


def test_an_existing_folder_is_replaced_only_when_told_and_only_if_a_checkpoint(state: State, tmp_path: Path) -> None:
    source = as_safetensors(state, tmp_path)
    destination = tmp_path / "converted"
    destination.mkdir()
    convert_checkpoint(source, destination, **TINY_OPTIONS)  # an empty folder holds nothing to lose
    with pytest.raises(CheckpointError, match=r"exists and holds config\.json"):
        convert_checkpoint(source, destination, **TINY_OPTIONS)
    (destination / "model.safetensors").write_bytes(b"older")
    convert_checkpoint(source, destination, overwrite=True, **TINY_OPTIONS)
    assert (destination / "model.safetensors").stat().st_size > 1000

    (destination / "thesis.tex").write_text("")
    with pytest.raises(CheckpointError, match=r"thesis\.tex besides a converted checkpoint"):
        convert_checkpoint(source, destination, overwrite=True, **TINY_OPTIONS)
    with pytest.raises(CheckpointError, match="is not a folder"):
        convert_checkpoint(source, source, overwrite=True, **TINY_OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["converted", "weights.safetensors"]


def test_a_folder_in_transformers_layout_converts_onto_itself(state: State, tmp_path: Path) -> None:
    path = tmp_path / "converted"
    convert_checkpoint(as_safetensors(state, tmp_path), path, **TINY_OPTIONS)
    before = (path / "model.safetensors").read_bytes()
    convert_checkpoint(path, path, overwrite=True)
    assert (path / "model.safetensors").read_bytes() == before


def test_an_interrupted_conversion_leaves_what_was_there(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = as_safetensors(state, tmp_path)

    def interrupted(tensors: State, path: Path, metadata: dict[str, str]) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    convert_checkpoint(source, tmp_path / "old", **TINY_OPTIONS)
    monkeypatch.setattr(weights, "save_file", interrupted)
    for name in ("new", "old"):
        with pytest.raises(KeyboardInterrupt):
            convert_checkpoint(source, tmp_path / name, overwrite=True, **TINY_OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "weights.safetensors"]
    assert len(load_file(tmp_path / "old" / "model.safetensors")) > 100


# What is refused


def fails(state: State, message: str, **options: object) -> None:
    with pytest.raises(CheckpointError, match=rf"^last\.ckpt: .*{message}"):
        convert_state_dict(state, **(TINY_OPTIONS | options), source="last.ckpt")


def test_a_missing_tensor_is_named_as_the_original_names_it(state: State) -> None:
    name = "CodecEnc.conv_blocks.2.block.1.block.0.act.alpha"
    fails({n: x for n, x in state.items() if n != name}, f"1 missing: {re.escape(name)}")
    name = "generator.backbone.transformers.1.att.c_attn.weight"
    fails({n: x for n, x in state.items() if n != name}, f"1 missing: {re.escape(name)}$")
    name = "fc_post_a.weight"  # a size is read off this one
    fails({n: x for n, x in state.items() if n != name}, f"{re.escape(name)} is missing")


def test_half_a_weight_norm_is_named(state: State) -> None:
    name = "CodecEnc.conv_blocks.2.block.1.block.1.parametrizations.weight.original0"
    without = {n: x for n, x in state.items() if n != name}
    fails(
        without,
        r"1 missing: CodecEnc\.conv_blocks\.2\.block\.1\.block\.1\.weight; 1 that X-Codec2 does not have: .*original1",
    )
    fails(state | {name: torch.ones(1)}, r"takes a magnitude of shape \(8, 1, 1\), got \(1,\)")


def test_an_unknown_tensor_is_named(state: State) -> None:
    extra = {"generator.upsampler.0.weight": torch.zeros(3), "fc_prior.gain": torch.zeros(1)}
    fails(state | extra, r"2 that X-Codec2 does not have: generator\.upsampler\.0\.weight, fc_prior\.gain")


def test_a_tensor_of_another_shape_is_named(state: State) -> None:
    name = "SemanticEncoder_module.final_conv.weight"
    fails(state | {name: torch.zeros(32, 32, 5)}, rf"{re.escape(name)} gives \(32, 32, 5\), expected \(32, 32, 3\)")
    name = "generator.backbone.transformers.0.att.c_attn.weight"
    fails(state | {name: torch.zeros(128, 64)}, r"shape \(128, 64\); expected \(192, 64\)")
    name = "semantic_model.encoder.layers.0.self_attn.distance_embedding.weight"
    fails(state | {name: torch.zeros(17, 16)}, r"has shape \(17, 16\); expected 73 positions")


def test_two_spellings_of_one_tensor_are_refused(state: State) -> None:
    fails(state | {"model.fc_prior.bias": torch.zeros(96)}, "two spellings of one tensor")


def test_fewer_semantic_layers_than_are_used_are_missing(state: State) -> None:
    fails(state, r"missing: semantic_model\.encoder\.layers\.3\.", num_semantic_layers=16)


def test_another_filter_is_not_dropped_silently(state: State) -> None:
    name = "CodecEnc.conv_final_block.0.upsample.filter"
    fails(state | {name: state[name] * 1.1}, rf"{re.escape(name)} .* is not the constant")
    fails(state | {name: state[name][..., 1:]}, "is not the constant")


def test_a_variant_with_another_output_rate_says_whose_codes_it_reads(state: State) -> None:
    head = {"generator.head.out.weight": torch.zeros(3842, 64), "generator.head.out.bias": torch.zeros(3842)}
    window = {"generator.head.istft.window": torch.hann_window(3840)}
    fails(state | head | window, "3840 points, for 960 samples per code.*writes 48000 Hz .*no tensor tells which")


def test_heads_that_no_shape_tells_have_to_be_given() -> None:
    model = OriginalXCodec2(hidden=96, depth=1, heads=2, semantic_layers=1)
    with pytest.raises(InputError, match=r"hidden size 96 is no multiple of 64.*give num_attention_heads"):
        convert_state_dict(model.state_dict(), num_semantic_layers=1)
    with pytest.raises(InputError, match="num_attention_heads=5: does not fit"):
        convert_state_dict(model.state_dict(), num_semantic_layers=1, num_attention_heads=5)
    assert convert_state_dict(model.state_dict(), num_semantic_layers=1, num_attention_heads=2).config.head_dim == 48


class Harmful:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path, by_name: str) -> None:
        self.call = (
            (os.mkdir, (str(path),)) if by_name == "mkdir" else (eval, (f"__import__('os').mkdir({str(path)!r})",))
        )

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return self.call


@pytest.mark.parametrize("by_name", ["mkdir", "eval"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(state: State, tmp_path: Path, archive: bool, by_name: str) -> None:
    trap = tmp_path / "executed"
    content = {"state_dict": state, "hyper_parameters": Harmful(trap, by_name)}
    torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=archive)
    with pytest.raises(CheckpointError, match=rf"would run code: it calls \S*{by_name}\. It was not loaded"):
        convert_checkpoint(tmp_path / "model.ckpt", tmp_path / "converted", **TINY_OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.ckpt"]
    pickle.loads(pickle.dumps(Harmful(trap, by_name)))  # it would have been seen
    assert trap.is_dir()


def test_files_that_hold_no_checkpoint_are_told_apart(state: State, tmp_path: Path) -> None:
    def refused(name: str | Path, message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(tmp_path / name, **TINY_OPTIONS)

    refused("absent", "checkpoint not found: no folder")
    (tmp_path / "empty").mkdir()
    refused("empty", "holds nothing")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").touch()
    refused("run", r"last\.ckpt \(0 bytes\) is no file that torch\.save wrote")
    (tmp_path / "run" / "best.ckpt").touch()
    refused("run", r"give the checkpoint file itself: .*best\.ckpt")
    (tmp_path / "notes.ckpt").write_text("lr 1e-4")
    refused("notes.ckpt", "no file that torch.save wrote|damaged")
    whole = as_state_dict(state, tmp_path).read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    refused("half.ckpt", "no file that torch.save wrote, or a damaged one")
    (tmp_path / "half.safetensors").write_bytes(as_safetensors(state, tmp_path).read_bytes()[:1000])
    refused("half.safetensors", "no complete safetensors file")
    torch.save([1, 2], tmp_path / "list.pt")
    refused("list.pt", "holds a list; expected a state dict")
    torch.save({"epoch": 3}, tmp_path / "epoch.pt")
    refused("epoch.pt", "epoch is no tensor")


def test_a_misspelled_option_is_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match="unexpected arguments num_heads"):
        read_checkpoint(folder, num_heads=4)


def test_other_models_are_refused_by_what_they_are(folder: Path, tmp_path: Path) -> None:
    def refused(tensors: list[str], config: dict[str, str] | None, message: str) -> None:
        state = {name: torch.zeros(2) for name in tensors}
        if config is None:
            path = as_safetensors(state, tmp_path)
        else:
            path = tmp_path / config["model_type"]
            path.mkdir()
            save_file(state, path / "model.safetensors")
            (path / "config.json").write_text(json.dumps(config))
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(path, **TINY_OPTIONS)

    refused(
        ["encoder.layer.0.weight"],
        {"model_type": "bert"},
        "is no checkpoint of .*X-Codec2, NeuCodec, .*X-Codec: it is of model_type 'bert'",
    )
    refused(
        ["acoustic_encoder.conv1.weight"],
        {"model_type": "xcodec"},
        r"it is of model_type 'xcodec', its tensors are acoustic_encoder\.conv1\.weight; expected CodecEnc",
    )
    refused(["encoder.weight"], None, "its tensors are encoder.weight; expected CodecEnc")
    with pytest.raises(CheckpointError, match=r"has transformers' names, .*give the folder"):
        read_checkpoint(folder / "model.safetensors")
