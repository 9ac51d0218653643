"""The contract "strict": a checkpoint loads completely or not at all, and says why."""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from builders import speech, tiny_model
from original import put_into_hub_cache
from xcodec import (
    AutoFeatureExtractor,
    AutoModel,
    CheckpointError,
    Codec,
    HarmonicXcodec2Config,
    HarmonicXcodec2Model,
    Xcodec2Config,
    Xcodec2FeatureExtractor,
    Xcodec2Model,
)
from xcodec.conversion import convert_checkpoint, read_checkpoint
from xcodec.models import load_model
from xcodec.models.checkpoint import resolve_checkpoint, wanted_files
from xcodec.models.identity import fingerprint_checkpoint, fingerprint_model
from xcodec.models.known_hashes import KnownHashes
from xcodec.models.stored import Stored
from xcodec.training.checkpoints import export
from xcodec_builders import tiny_xcodec


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny.save_pretrained(folder)
    Xcodec2FeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(saved, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_named(checkpoint):
    edit_tensors(checkpoint, lambda tensors: tensors.pop("quantizer.project_in.bias"))
    with pytest.raises(CheckpointError, match=r"1 missing: quantizer\.project_in\.bias"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_an_unexpected_tensor_is_named(checkpoint):
    edit_tensors(checkpoint, lambda tensors: tensors.update({"fc_post_s.weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: fc_post_s\.weight.*xcodec convert"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(checkpoint):
    edit_tensors(checkpoint, lambda tensors: tensors.update({"fc_encoder.bias": torch.zeros(7)}))
    with pytest.raises(CheckpointError, match=r"1 of another shape: fc_encoder\.bias is \(7,\), expected \(96,\)"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_many_problems_are_told_at_once_and_long_lists_cut(checkpoint):
    def damage(tensors):
        for name in [name for name in tensors if name.startswith("acoustic_decoder.layers.0")]:
            tensors[f"renamed.{name}"] = tensors.pop(name)

    edit_tensors(checkpoint, damage)
    with pytest.raises(CheckpointError, match=r"8 missing: .*; 8 unexpected: renamed"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_only_the_layers_that_the_config_names_are_built(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["semantic_model_config"]["num_hidden_layers"] = 1
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"unexpected: semantic_encoder\.encoder\.layers\.1\."):
        Xcodec2Model.from_pretrained(checkpoint)


def test_a_truncated_file_is_an_error(checkpoint):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors .* is no complete safetensors file.*again"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_a_damaged_config_is_an_error(checkpoint):
    (checkpoint / "config.json").write_text("{not json")
    with pytest.raises(CheckpointError, match=r"config\.json: is not JSON"):
        Xcodec2Model.from_pretrained(checkpoint)


@pytest.mark.parametrize(
    "fields", [{"num_attention_heads": 0}, {"hidden_act": "glue"}, {"hidden_size": "64"}, {"quantization_levels": 4}]
)
def test_a_config_that_describes_no_model_is_an_error(checkpoint, fields):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | fields))
    with pytest.raises(CheckpointError, match="describes no model"):
        Xcodec2Model.from_pretrained(checkpoint)


def test_a_checkpoint_may_lie_in_a_subfolder(checkpoint):
    loaded = Xcodec2Model.from_pretrained(checkpoint.parent, subfolder=checkpoint.name)
    assert loaded.config.hidden_size == 64
    assert Xcodec2FeatureExtractor.from_pretrained(checkpoint.parent, subfolder=checkpoint.name).hop_length == 320
    assert Xcodec2Config.from_pretrained(checkpoint.parent, subfolder=checkpoint.name).hidden_size == 64


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


def test_a_pickle_is_refused_and_never_executed(checkpoint, tmp_path):
    bomb = Bomb()
    bomb.path = str(tmp_path / "executed")
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(bomb))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin .*is no file that torch\.save wrote"):
        Xcodec2Model.from_pretrained(checkpoint)
    torch.save({"a": torch.ones(1), "b": bomb}, checkpoint / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: is a pickle that would run code"):
        Xcodec2Model.from_pretrained(checkpoint)
    assert not (tmp_path / "executed").exists()


def test_shards_are_read_and_a_missing_one_is_named(tiny, tmp_path):
    tiny.save_pretrained(tmp_path, max_shard_size="300KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    loaded = Xcodec2Model.from_pretrained(tmp_path)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in tiny.state_dict().items())
    sorted(tmp_path.glob("model-*.safetensors"))[0].unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00001-of-\d+\.safetensors, which its index names"):
        Xcodec2Model.from_pretrained(tmp_path)


def test_a_folder_without_a_checkpoint_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"is a folder without config\.json \(it holds notes\.txt\)"):
        resolve_checkpoint(tmp_path)


def test_a_file_is_not_a_checkpoint_folder(saved):
    with pytest.raises(CheckpointError, match=r"is a file; expected a folder .*xcodec convert"):
        resolve_checkpoint(saved / "model.safetensors")


def test_offline_the_error_says_what_was_tried_and_how_to_get_the_files(tmp_path):
    with pytest.raises(CheckpointError, match=r"no folder .*HKUSTAudio/xcodec2-hf.*hf download HKUSTAudio/xcodec2-hf"):
        Xcodec2Model.from_pretrained("HKUSTAudio/xcodec2-hf", local_files_only=True, cache_dir=tmp_path)


def test_what_cannot_be_a_hub_id_is_said_to_be_none():
    with pytest.raises(CheckpointError, match=r"'\./a/b/c' is no hub id \(those read OWNER/NAME, or OWNER/NAME/FO"):
        resolve_checkpoint("./a/b/c")


@pytest.fixture
def hub(checkpoint, tmp_path):
    """A cache of the hub in which a model of another kind has the checkpoint in a folder, as k2-fsa/OmniVoice does."""
    whole = tmp_path / "whole"
    shutil.copytree(checkpoint, whole / "audio_tokenizer")
    (whole / "config.json").write_text('{"model_type": "omnivoice"}')
    save_file({"embed_tokens.weight": torch.zeros(1)}, whole / "model.safetensors")
    put_into_hub_cache(whole, "k2-fsa/OmniVoice", tmp_path / "cache")
    return {"cache_dir": tmp_path / "cache", "local_files_only": True}


def test_a_folder_of_a_model_of_the_hub_is_a_checkpoint(checkpoint, hub, tmp_path):
    codecs = [
        Codec.from_pretrained("k2-fsa/OmniVoice", subfolder="audio_tokenizer", **hub),
        Codec.from_pretrained("k2-fsa/OmniVoice/audio_tokenizer", **hub),
        Codec.from_pretrained(tmp_path / "whole/audio_tokenizer"),
        Codec.from_pretrained(tmp_path / "whole", subfolder="audio_tokenizer"),
    ]
    hub_name, folder_name = "k2-fsa/OmniVoice/audio_tokenizer", "audio_tokenizer"
    assert [codec.identity.name for codec in codecs] == [hub_name, hub_name, folder_name, folder_name]
    assert all(codec.identity.same_model(codecs[0].identity) for codec in codecs)
    for load in (Xcodec2Model, Xcodec2Config, Xcodec2FeatureExtractor, AutoModel, AutoFeatureExtractor):
        kind = type(load.from_pretrained("k2-fsa/OmniVoice", subfolder="audio_tokenizer", **hub))
        assert kind.__module__.startswith("xcodec.models.xcodec2")
    convert_checkpoint("k2-fsa/OmniVoice/audio_tokenizer", tmp_path / "converted", **hub)
    assert Codec.from_pretrained(tmp_path / "converted").identity.same_model(codecs[0].identity)


def test_of_a_folder_on_the_hub_nothing_else_is_fetched():
    there = ["config.json", "model.safetensors", "a/config.json", "a/model.safetensors", "ab/config.json", "a/x.bin"]
    first, *then = wanted_files("a")
    assert list(filter_repo_objects(there, allow_patterns=first)) == ["a/config.json", "a/model.safetensors"]
    for name, patterns in zip(["a/pytorch_model.bin", "a/model.pth", "a/final_ckpt/x.pth"], then, strict=True):
        assert list(filter_repo_objects([name, *there], allow_patterns=patterns)) == [name]
    assert list(wanted_files("a/", weights=False)) == [["a/*.json"]]


def test_a_folder_that_is_not_in_the_model_is_an_error(hub, tmp_path):
    for where in ("elsewhere", ".."):
        with pytest.raises(CheckpointError, match=rf"subfolder='{where}': has no folder .*: audio_tokenizer\)"):
            Codec.from_pretrained("k2-fsa/OmniVoice", subfolder=where, **hub)
        with pytest.raises(CheckpointError, match=r"has no folder of this name"):
            Codec.from_pretrained(tmp_path / "whole", subfolder=where)


def test_the_errors_are_what_users_of_transformers_catch(tmp_path):
    with pytest.raises(OSError, match=r"config\.json"):
        Xcodec2Model.from_pretrained(tmp_path)


def test_load_model_finds_the_family_and_its_extractor(saved, checkpoint, tiny):
    model, feature_extractor = load_model(saved)
    assert isinstance(model, Xcodec2Model)
    assert isinstance(feature_extractor, Xcodec2FeatureExtractor)
    (checkpoint / "preprocessor_config.json").unlink()
    assert load_model(checkpoint)[1].hop_length == 320
    (checkpoint / "config.json").write_text('{"model_type": "dac"}')
    save_file({"encoder.conv1.weight": torch.zeros(3)}, checkpoint / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"of model_type 'dac'.*are encoder\.conv1.*this package reads .*'xcodec2'"
    ):
        load_model(checkpoint)


def stored_identity(folder):
    return fingerprint_checkpoint(folder, Xcodec2Config.from_pretrained(folder), "one")


def test_the_identity_does_not_depend_on_who_wrote_the_checkpoint(saved, checkpoint, tiny):
    theirs = pytest.importorskip("transformers.models.xcodec2", reason="needs pip install --upgrade transformers")

    theirs.Xcodec2Model.from_pretrained(saved).save_pretrained(checkpoint)
    assert (checkpoint / "config.json").read_text() != (saved / "config.json").read_text()
    assert stored_identity(checkpoint) == stored_identity(saved)
    config = json.loads((checkpoint / "config.json").read_text())
    for field, value in {"transformers_version": "5.0.0", "activation_dropout": 0.5, "pad_token_id": 3}.items():
        (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
        assert stored_identity(checkpoint) == stored_identity(saved), field
    (checkpoint / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert stored_identity(checkpoint) != stored_identity(saved)


def test_the_identity_of_a_big_checkpoint_is_worked_out_once(saved, tmp_path, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)  # what was written just now is not kept
    monkeypatch.setattr(KnownHashes, "of_user", lambda: KnownHashes(tmp_path / "known", least_bytes=0))
    identity = stored_identity(saved)
    monkeypatch.setattr("xcodec.models.identity.hash_tensors", lambda tensors: pytest.fail("it is known"))
    assert stored_identity(saved) == identity


def test_the_identity_follows_the_weights_and_the_config_and_nothing_else(saved, checkpoint, tiny):
    identity = stored_identity(saved)
    assert fingerprint_model(tiny, "one") == identity
    half = Xcodec2Model.from_pretrained(saved, dtype=torch.bfloat16)
    assert fingerprint_model(half, "one") != identity, "other numbers"
    half.save_pretrained(checkpoint)
    assert stored_identity(checkpoint) == fingerprint_model(half.float(), "one"), "the same numbers"
    edit_tensors(checkpoint, lambda tensors: tensors["fc_encoder.bias"].add_(1e-2))
    changed = stored_identity(checkpoint)
    assert changed.weights_hash != fingerprint_model(half, "one").weights_hash
    assert changed.config_hash == identity.config_hash
    assert fingerprint_model(tiny_model(seed=5), "one").weights_hash != identity.weights_hash


def test_a_folder_of_a_torch_file_is_read_as_one_of_safetensors(checkpoint, tiny):
    torch.save(load_file(checkpoint / "model.safetensors"), checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()
    for loaded in (Xcodec2Model.from_pretrained(checkpoint), load_model(checkpoint)[0]):
        assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in tiny.state_dict().items())
    assert stored_identity(checkpoint) == fingerprint_model(tiny, "one")


def test_shards_of_torch_files_are_read_by_their_index(checkpoint, tiny):
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, own in halves.items():
        torch.save({name: tensors[name] for name in own}, checkpoint / file)
    index = {"weight_map": {name: file for file, own in halves.items() for name in own}}
    (checkpoint / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert Xcodec2Model.from_pretrained(checkpoint).state_dict().keys() == tensors.keys()


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/../../b", "..\\b", "C:\\b", ""])
def test_an_index_names_only_files_inside_its_folder(checkpoint, name):
    (checkpoint / "model.safetensors").rename(checkpoint.parent / "model.safetensors")
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"fc_encoder.bias": name}}))
    with pytest.raises(CheckpointError, match="names files outside its folder"):
        Xcodec2Model.from_pretrained(checkpoint)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "{"])
def test_a_damaged_index_is_an_error(checkpoint, content):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json.*(damaged|is not JSON|expected a JSON object)|weight_map"):
        Xcodec2Model.from_pretrained(checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_that_are_none_are_named_by_their_tensor(checkpoint, value, dtype):
    def damage(tensors):
        tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()})
        tensors["acoustic_decoder.fc.bias"][3] = value

    edit_tensors(checkpoint, damage)
    for load in (Xcodec2Model.from_pretrained, load_model, read_checkpoint):
        with pytest.raises(CheckpointError, match=r"NaN or infinite: acoustic_decoder\.fc\.bias\."):
            load(checkpoint)
    Xcodec2Model.from_pretrained(checkpoint, encoder_only=True)  # reads the other half alone


def test_sums_that_overflow_are_no_error(checkpoint):
    edit_tensors(checkpoint, lambda tensors: tensors["acoustic_decoder.fc.bias"].fill_(3e38))
    Xcodec2Model.from_pretrained(checkpoint)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_deeply_nested_json_is_an_error(checkpoint, file):
    (checkpoint / file).write_text('{"a":' + 100_000 * "[" + 100_000 * "]" + "}")
    with pytest.raises(CheckpointError, match="nested too deeply"):
        load_model(checkpoint)


ODD = (None, True, "16", -1, 0, 10**30, float("nan"), [], {"a": 1})


@pytest.mark.parametrize("family", ["xcodec2", "xcodec"])
def test_odd_values_in_a_config_are_errors_or_build_the_model(family, tiny):
    model = tiny if family == "xcodec2" else tiny_xcodec()
    kind, config, tensors = type(model), json.loads(model.config.to_json_string()), model.state_dict()
    fields = model.config.architecture()
    places = [(None, name) for name in (*fields, "dtype", "to_dict", "hop_length", "quantization_config")]
    places += [(part, name) for part, own in fields.items() if isinstance(own, dict) for name in own]
    refused = 0
    for number, (part, name) in enumerate(places):
        for value in ODD if part is None else ODD[number % 2 :: 2]:
            changed = {**config, part: {**config[part], name: value}} if part else {**config, name: value}
            try:
                kind.from_stored(Stored("odd", None, changed, tensors))
            except CheckpointError:
                refused += 1
    assert refused > 100


def test_more_layers_than_there_are_tensors_are_refused_before_they_are_built(tiny):
    config = json.loads(tiny.config.to_json_string()) | {"num_hidden_layers": 10**12}
    with pytest.raises(CheckpointError, match="num_hidden_layers is 1000000000000, and there are"):
        Xcodec2Model.from_stored(Stored("odd", None, config, tiny.state_dict()))


def test_the_built_in_model_goes_by_its_name():
    model = HarmonicXcodec2Model.from_pretrained("mini")
    assert fingerprint_model(model, "mini") == Codec.from_pretrained().identity
    assert Xcodec2FeatureExtractor.from_pretrained("mini").hop_length == model.hop_length
    assert HarmonicXcodec2Config.from_pretrained("mini").architecture() == model.config.architecture()


def test_a_feature_extractor_of_another_model_is_refused(checkpoint):
    Xcodec2FeatureExtractor(feature_size=40).save_pretrained(checkpoint)
    with pytest.raises(CheckpointError, match="says feature_size 40, and the model reads 80"):
        load_model(checkpoint)


def test_the_feature_extractor_has_the_mel_bins_that_the_model_reads(tmp_path):
    fields = tiny_model().config.to_dict()
    fields["semantic_model_config"]["feature_projection_input_dim"] = 80
    model = Xcodec2Model(Xcodec2Config(**fields)).eval()
    export(model, tmp_path / "exported", torch.float32)
    model.save_pretrained(tmp_path / "saved")
    convert_checkpoint(tmp_path / "saved", tmp_path / "converted")
    for name in ("exported", "saved", "converted"):
        codec = Codec.from_pretrained(tmp_path / name)
        assert codec.feature_extractor.feature_size == 40
        assert codec.encode(speech(0.5), 16000).ids.shape == (1, 26)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_weights_may_be_read_by_whom_the_umask_lets(tiny, tmp_path, umask):
    before = os.umask(umask)
    try:
        tiny.save_pretrained(tmp_path / "one")
        tiny.save_pretrained(tmp_path / "shards", max_shard_size="300KB")
        export(tiny, tmp_path / "export", torch.bfloat16)
    finally:
        os.umask(before)
    written = sorted(tmp_path.rglob("*.safetensors"))
    assert len(written) > 3
    assert {path.stat().st_mode & 0o777 for path in written} == {0o666 & ~umask}
