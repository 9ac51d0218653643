"""Original X-Codec checkpoints compute here, and in transformers, what the original computes; others are refused."""

import io
import json
import re

import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils import parametrize
from typer.testing import CliRunner

from builders import speech
from original import TINY_OPTIONS, random_original, write_original_folder
from original_xcodec import SoundStream, random_soundstream, write_pth
from xcodec import CheckpointError, Codec, InputError, XcodecConfig, XcodecModel
from xcodec.cli.app import app
from xcodec.conversion import convert_checkpoint, read_checkpoint
from xcodec.conversion.xcodec import convert_state_dict
from xcodec.conversion.xcodec_names import renames
from xcodec_builders import tiny_xcodec

SEMANTIC_UNIT = "encoder_semantic.conv_blocks.1.res_units.0"


@pytest.fixture(scope="module")
def wave() -> Tensor:
    return torch.from_numpy(speech(samples=100 * 320))[None, None]


@pytest.fixture(scope="module", params=["hubert_base", "wavlm_base_plus"])
def original(request, wave) -> SoundStream:
    with torch.no_grad():
        return random_soundstream(wave, request.param)


@pytest.fixture(scope="module")
def hubert(wave) -> SoundStream:
    with torch.no_grad():
        return random_soundstream(wave)


@pytest.fixture(scope="module")
def state(hubert) -> dict[str, Tensor]:
    return hubert.state_dict()


@pytest.mark.parametrize("bandwidth", [0.5, 1, 1.5, 2, 4])
def test_a_converted_checkpoint_computes_what_the_original_does(original, wave, tmp_path, bandwidth):
    report = convert_checkpoint(write_pth(original, tmp_path / "original"), tmp_path / "converted")
    expected = original.encode(wave, bandwidth)
    audio = original.decode(expected)
    assert expected.unique().numel() > 50
    assert audio.std() > 0.1
    for model_class in (XcodecModel, transformers.XcodecModel):
        model = model_class.from_pretrained(tmp_path / "converted").eval()
        codes = model.encode(wave, bandwidth=bandwidth).audio_codes.transpose(0, 1)  # the original has codebooks first
        # Sums are rounded in another order, so of a hundred frames one may be as near to two entries of a codebook.
        assert (codes != expected).any(0).sum() <= 1
        torch.testing.assert_close(model.decode(expected.transpose(0, 1)).audio_values, audio, rtol=1e-4, atol=1e-4)
    assert "an X-Codec checkpoint in original layout" in str(report)
    assert "permuted" not in str(report)


def test_the_training_branch_is_converted_too(hubert, state):
    model = convert_state_dict(state, hubert.fields).build()
    x = torch.randn(1, 128, 40)
    torch.testing.assert_close(model.decoder_semantic(x), hubert.decoder_semantic(x))
    torch.testing.assert_close(model.fc1(torch.ones(1, 152)), hubert.fc_post1(torch.ones(1, 152)))


def test_every_spelling_gives_the_same_model_and_accounts_for_every_tensor(hubert, state, wave):
    expected = convert_state_dict(state, hubert.fields).tensors
    folded = random_soundstream(wave)
    for part in (folded.encoder, folded.decoder_2):
        for module in part.modules():
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
    spellings = {
        "older weight norm": {
            re.sub(r"parametrizations\.weight\.original([01])", lambda m: "weight_" + "gv"[int(m[1])], name): x
            for name, x in state.items()
        },
        "folded weight norm": folded.state_dict(),
        "data parallel": {f"module.{name}": x for name, x in state.items()},
        "compiled": {f"_orig_mod.{name}": x for name, x in state.items()},
    }
    SoundStream(legacy=True).encoder.load_state_dict(
        {
            name.removeprefix("encoder."): x
            for name, x in spellings["older weight norm"].items()
            if name.startswith("encoder.")
        }
    )
    for spelling, tensors in spellings.items():
        checkpoint = convert_state_dict(tensors, hubert.fields)
        assert checkpoint.tensors.keys() == expected.keys(), spelling
        for name, tensor in expected.items():
            torch.testing.assert_close(checkpoint.tensors[name], tensor, rtol=1e-5, atol=1e-6)
        assert {name for names in checkpoint.report.kept.values() for name in names} == tensors.keys()
        assert checkpoint.report.kept.keys() == expected.keys()


def test_folding_is_what_torchs_weight_norm_computes(hubert, state):
    tensors = convert_state_dict(state, hubert.fields).tensors
    for name, module in {
        "acoustic_encoder.block.1.res_unit2.conv1": hubert.encoder.block[2].block[1].block[1],
        "acoustic_decoder.block.1.conv_t1": hubert.decoder_2.model[2].block[1],
    }.items():
        torch.testing.assert_close(tensors[f"{name}.weight"], module.weight, rtol=1e-6, atol=1e-8)
        assert (tensors[f"{name}.weight"] - module.parametrizations.weight.original1).abs().max() > 0.01


def test_the_table_reads_in_both_directions():
    table = renames(4)
    for original, ours in {
        "encoder.block.0.bias": "acoustic_encoder.conv1.bias",
        "encoder.block.2.block.1.block.3.bias": "acoustic_encoder.block.1.res_unit2.conv2.bias",
        "encoder.block.4.block.4.weight": "acoustic_encoder.block.3.conv1.weight",
        "encoder.block.5.alpha": "acoustic_encoder.snake1.alpha",
        "encoder.block.6.weight": "acoustic_encoder.conv2.weight",
        "decoder_2.model.1.block.4.block.0.alpha": "acoustic_decoder.block.0.res_unit3.snake1.alpha",
        "decoder_2.model.3.block.1.weight": "acoustic_decoder.block.2.conv_t1.weight",
        "decoder_2.model.6.bias": "acoustic_decoder.conv2.bias",
        f"{SEMANTIC_UNIT}.conv1.conv.weight": f"{SEMANTIC_UNIT}.conv1.weight",
        f"{SEMANTIC_UNIT}.conv2.weight": f"{SEMANTIC_UNIT}.conv2.weight",
        "quantizer.vq.layers.7._codebook.embed": "quantizer.quantizers.7.codebook.embed",
    }.items():
        assert table.rename(original) == ours
        assert table.trace(ours) == original


def test_the_released_sizes_give_the_default_configuration():
    with torch.device("meta"):
        model = XcodecModel(XcodecConfig())
    table = renames(4)
    tensors = {table.trace(name) or name: tensor for name, tensor in model.state_dict().items()}
    fields = {
        "D": 256,
        "ratios": [8, 5, 4, 2],
        "target_bandwidths": [0.5, 1, 1.5, 2, 4],
        "sample_rate": 16000,
        "bins": 1024,
    }
    checkpoint = convert_state_dict(tensors, fields | {"semantic_techer": "hubert_base"})
    expected, found = XcodecConfig().to_dict(), checkpoint.config.to_dict()
    assert {name for name in expected if found[name] != expected[name]} <= {"architectures", "dtype"}


# Files


def test_a_file_among_the_tensors_is_left_out_and_an_archive_of_either_age_is_read(hubert, state, tmp_path):
    path = write_pth(hubert, tmp_path / "a", attached=io.BytesIO(b"something that was saved along"))
    assert read_checkpoint(path).tensors.keys() == convert_state_dict(state, hubert.fields).tensors.keys()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert read_checkpoint(path).tensors.keys() == convert_state_dict(state, hubert.fields).tensors.keys()
    save_file({name: x.contiguous() for name, x in state.items()}, tmp_path / "a" / "xcodec.safetensors")
    assert read_checkpoint(tmp_path / "a" / "xcodec.safetensors").config.codebook_size == 1024


@pytest.mark.parametrize("model_type", ["xcodec", "xcodec2", "dac"])
def test_a_folder_of_original_names_is_told_by_them_whatever_its_config_says(hubert, state, tmp_path, model_type):
    folder = write_pth(hubert, tmp_path / "a").parent
    next(folder.glob("*.pth")).unlink()
    save_file({name: x.contiguous() for name, x in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": ["XCodec2Model"]}))
    found = read_checkpoint(folder)
    assert (found.report.family, found.report.layout) == ("X-Codec", "original")
    assert found.tensors.keys() == convert_state_dict(state, hubert.fields).tensors.keys()
    assert isinstance(Codec.from_pretrained(folder).model, XcodecModel)
    with pytest.raises(CheckpointError, match=r"is an original X-Codec checkpoint.*xcodec convert"):
        XcodecModel.from_pretrained(folder)


def test_transformers_names_are_told_by_them_whatever_the_config_says(tmp_path):
    model = tiny_xcodec()
    model.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text()) | {"model_type": "xcodec2"}
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    assert convert_checkpoint(tmp_path / "a", tmp_path / "b").family == "X-Codec"
    for folder in ("a", "b"):
        codec = Codec.from_pretrained(tmp_path / folder)
        assert isinstance(codec.model, XcodecModel)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["model_type"] == "xcodec"


def test_the_yaml_file_beside_is_taken_or_another_is_given(hubert, tmp_path):
    path = write_pth(hubert, tmp_path / "a")
    (tmp_path / "a" / "config.yaml").rename(tmp_path / "config_hubert.yaml")
    with pytest.raises(CheckpointError, match=r"needs its YAML file.*there is none in .*config=FILE"):
        convert_checkpoint(path, tmp_path / "out")
    convert_checkpoint(path, tmp_path / "out", config=tmp_path / "config_hubert.yaml")
    for name in ("one.yaml", "two.yml"):
        (tmp_path / "a" / name).touch()
    with pytest.raises(CheckpointError, match=r"holds one\.yaml, two\.yml"):
        read_checkpoint(path)


def test_transformers_layout_is_checked_and_written_again(tmp_path):
    model = tiny_xcodec("wavlm")
    model.save_pretrained(tmp_path / "a")
    report = convert_checkpoint(tmp_path / "a", tmp_path / "b")
    assert report.layout == "transformers"
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    stored = json.loads((tmp_path / "b" / "preprocessor_config.json").read_text())
    assert (stored["feature_extractor_type"], stored["hop_length"]) == ("DacFeatureExtractor", 320)


def test_the_older_spelling_in_transformers_layout_is_read(tmp_path):
    tiny_xcodec().save_pretrained(tmp_path / "a")
    tensors = load_file(tmp_path / "a" / "model.safetensors")
    conv = "semantic_model.encoder.pos_conv_embed.conv"
    older = {
        name.replace(f"{conv}.parametrizations.weight.original0", f"{conv}.weight_g").replace(
            f"{conv}.parametrizations.weight.original1", f"{conv}.weight_v"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert f"{conv}.weight_g" in older
    save_file(older, tmp_path / "a" / "model.safetensors", metadata={"format": "pt"})
    convert_checkpoint(tmp_path / "a", tmp_path / "b")
    assert load_file(tmp_path / "b" / "model.safetensors").keys() == tensors.keys()


def test_unfolded_weight_norms_in_transformers_layout_are_folded(tmp_path):
    """As its `apply_weight_norm` leaves them."""
    tiny_xcodec().save_pretrained(tmp_path / "a")
    theirs = transformers.XcodecModel.from_pretrained(tmp_path / "a")
    theirs.apply_weight_norm()
    theirs.save_pretrained(tmp_path / "unfolded")
    report = convert_checkpoint(tmp_path / "unfolded", tmp_path / "b")
    assert len(report.folded) == 4 + 2 * 4 * 7
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert before.keys() == after.keys()
    assert all(torch.allclose(after[name], tensor, atol=1e-6) for name, tensor in before.items())


# What is refused


def fails(state: dict[str, Tensor], fields: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^xcodec\.pth: .*{message}"):
        convert_state_dict(state, fields, source="xcodec.pth")


def test_what_is_missing_unknown_or_reshaped_is_named_as_the_original_names_it(hubert, state):
    fields = hubert.fields

    def without(name: str) -> dict[str, Tensor]:
        assert name in state
        return {n: x for n, x in state.items() if n != name}

    for name in ("encoder.block.5.alpha", "quantizer.vq.layers.3._codebook.embed", "fc_post2.bias"):
        fails(without(name), fields, f"1 missing: {re.escape(name)}$")
    fails(
        without("decoder_2.model.2.block.1.parametrizations.weight.original0"),
        fields,
        r"1 missing: decoder_2\.model\.2\.block\.1\.weight; 1 that X-Codec does not have: decoder_2.*original1",
    )
    fails(state | {"decoder.layers.0.weight": torch.zeros(1)}, fields, r"1 that X-Codec does not have: decoder\.layers")
    wrong = state | {"quantizer.vq.layers.0._codebook.embed": torch.zeros(512, 152)}
    fails(wrong, fields, r"quantizer\.vq\.layers\.0\._codebook\.embed gives \(512, 152\), expected \(1024, 152\)")
    fails(state | {"module.fc_prior.bias": torch.zeros(3)}, fields, "two spellings of one tensor")
    fails(state, fields | {"bins": 512}, r"of another shape: .*_codebook\.cluster_size")
    fails(state, fields | {"ratios": [8, 4, 5, 2]}, r"for strides \[8, 5, 4, 2\], while the YAML says ratios \[8, 4, 5")
    fails(state, fields | {"semantic_techer": "wavlm_base_plus"}, "is a HuBERT, while the YAML says 'wavlm_base_plus'")
    fails(state, fields | {"target_bandwidths": [4, 2]}, "do not fit together: target_bandwidths")
    fails(state, fields | {"D": 25}, "of another shape|do not fit together")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("generator: [", "is no YAML file"),
        ("lr: 1.0", "lacks D, ratios, target_bandwidths, sample_rate, bins"),
        (
            yaml.safe_dump({"generator": {"config": SoundStream().fields | {"semantic_techer": "mert"}}}),
            "'mert' is not",
        ),
    ],
)
def test_a_yaml_file_that_describes_no_x_codec_is_refused(hubert, tmp_path, content, message):
    path = write_pth(hubert, tmp_path / "a")
    (tmp_path / "a" / "config.yaml").write_text(content)
    with pytest.raises(CheckpointError, match=rf"config\.yaml.*{message}"):
        read_checkpoint(path)


def test_the_families_are_told_apart(hubert, tmp_path):
    pth = write_pth(hubert, tmp_path / "x1")
    xcodec2 = write_original_folder(random_original().state_dict(), tmp_path / "x2")
    assert convert_checkpoint(pth, tmp_path / "out1").family == "X-Codec"
    assert convert_checkpoint(xcodec2, tmp_path / "out2", **TINY_OPTIONS).family == "X-Codec2"
    with pytest.raises(InputError, match=r"num_semantic_layers=2: of no use for an original checkpoint of X-Codec$"):
        convert_checkpoint(pth, tmp_path / "out3", num_semantic_layers=2)
    with pytest.raises(InputError, match=r"config=.*: of no use for an original checkpoint of X-Codec2$"):
        convert_checkpoint(xcodec2, tmp_path / "out3", config=tmp_path / "x1" / "config.yaml")
    assert not (tmp_path / "out3").exists()


def test_the_command_converts_and_the_result_encodes(hubert, wave, tmp_path):
    path = write_pth(hubert, tmp_path / "original")
    (tmp_path / "original" / "other.yaml").touch()
    arguments = ["convert", str(path), str(tmp_path / "out"), "--config", str(tmp_path / "original" / "config.yaml")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "an X-Codec checkpoint in original layout" in result.stdout
    codes = Codec.from_pretrained(tmp_path / "out").encode(wave[0, 0], 16000, bandwidth=2)
    assert codes.ids.tolist() == hubert.encode(wave, 2)[:, 0].tolist()
