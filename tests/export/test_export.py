"""Exported codecs do what torch does: alone and in padded batches, at every length."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builders import speech, tiny_distill
from xcodec import CheckpointError, Codec, InputError, XcodecError
from xcodec.export import comparison, export_codec, onnx_file
from xcodec.export.blocks import LEFT_OUT, portable
from xcodec.export.comparison import decoded_together, encoded_together
from xcodec.models.auto import feature_extractor_of
from xcodec.modules.fbank import KaldiFbank
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.snake import AntiAliasedActivation, SnakeBeta
from xcodec.quantizers.fsq import FSQ
from xcodec.quantizers.rvq import ResidualVectorQuantizer
from xcodec.runtime import Codec as RuntimeCodec

onnx = pytest.importorskip("onnx", reason="pip install 'xcodec[onnx]'")

LENGTHS = (48000, 31999, 16000, 640, 321, 320, 319, 1)  # samples


@pytest.fixture(scope="module")
def codec(exported: tuple[Codec, Path]) -> Codec:
    return exported[0]


@pytest.fixture(scope="module")
def runtime(exported: tuple[Codec, Path]) -> RuntimeCodec:
    return RuntimeCodec(exported[1], threads=1)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [speech(samples=length) for length in LENGTHS]


def test_codes_of_every_length_are_those_of_torch(codec: Codec, runtime: RuntimeCodec, clips: list[np.ndarray]) -> None:
    for clip, ids in zip(clips, runtime.encode_samples(clips, None), strict=True):
        assert np.array_equal(ids, codec.encode_samples([clip], None)[0])


def test_a_clip_of_a_padded_batch_gets_the_codes_that_it_gets_alone(
    runtime: RuntimeCodec, clips: list[np.ndarray]
) -> None:
    alone = runtime.encode_samples(clips, None)
    for single, ids in zip(alone, encoded_together(runtime.encoder, clips), strict=True):
        assert np.array_equal(single, ids)


def test_codes_past_a_clips_end_are_zero(runtime: RuntimeCodec) -> None:
    audio = np.ones((2, 3200), np.float32)
    codes, lengths = runtime.encoder.run(None, {"audio": audio, "lengths": np.array([3200, 1000], np.int64)})
    assert lengths.tolist() == [11, 4]
    assert codes[1, :, :4].all()
    assert not codes[1, :, 4:].any()


def test_audio_of_every_length_is_that_of_torch_alone_and_in_a_batch(codec: Codec, runtime: RuntimeCodec) -> None:
    random = np.random.default_rng(0)
    ids = [random.integers(0, 65536, (1, frames)) for frames in (50, 31, 3, 2, 1)]
    together = decoded_together(runtime.decoder, ids)
    for clip, single, row in zip(ids, runtime.decode_ids(ids), together, strict=True):
        [expected] = codec.decode_ids([clip])
        assert single.shape == expected.shape == row.shape
        assert np.abs(single - expected).max() < 1e-4
        assert np.abs(row - single).max() < 1e-5


def test_the_graphs_hold_no_transposed_convolution_and_no_native_kernel(exported: tuple[Codec, Path]) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        model = onnx.load(exported[1] / name)
        assert not {node.op_type for node in model.graph.node} & {"ConvTranspose", "DFT", "STFT"}
        assert {node.domain for node in model.graph.node} == {""}
        assert [opset.domain for opset in model.opset_import] == [""]
        assert not any(node.metadata_props for node in model.graph.node)  # paths of who exported it


def test_sizes_have_names(exported: tuple[Codec, Path]) -> None:
    sizes = {}
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(exported[1] / name).graph
        for value in (*graph.input, *graph.output):
            sizes[name, value.name] = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
    assert sizes["encoder.onnx", "audio"] == ["batch", "samples"]
    assert sizes["encoder.onnx", "codes"][:2] == ["batch", 1]
    assert sizes["decoder.onnx", "codes"] == ["batch", 1, "frames"]
    assert sizes["decoder.onnx", "audio"] == ["batch", "320*frames"]


def test_the_manifest_says_what_the_codec_is(exported: tuple[Codec, Path]) -> None:
    codec, folder = exported
    manifest = json.loads((folder / "codec.json").read_text())
    assert manifest["format"] == "xcodec.onnx"
    assert manifest["identity"] == vars(codec.identity)
    assert manifest["config"]["model_type"] == "xcodec2"
    assert (manifest["sampling_rate"], manifest["hop_length"], manifest["opset"]) == (16000, 320, 18)
    assert manifest["codebook_sizes"] == [65536]
    assert sorted(path.name for path in folder.iterdir()) == [
        "codec.json",
        "decoder.onnx",
        "decoder_step.onnx",
        "encoder.onnx",
    ]


def test_large_weights_get_a_file_of_their_own(exported: tuple[Codec, Path], tmp_path: Path) -> None:
    onnx_file.simplify(exported[1] / "decoder.onnx", tmp_path / "decoder.onnx", is_large=True)
    assert (tmp_path / "decoder.onnx.data").stat().st_size > 20 * (tmp_path / "decoder.onnx").stat().st_size
    onnx.checker.check_model(tmp_path / "decoder.onnx")


@pytest.mark.parametrize("is_large", [False, True])
def test_weights_that_float16_has_exactly_take_half_the_space_and_give_the_same_codes(
    is_large: bool, exported: tuple[Codec, Path], tmp_path: Path
) -> None:
    sizes, codes = [], []
    graph = tmp_path / "encoder.onnx"
    model = onnx.load(exported[1] / graph.name)
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and np.abs(values).max(initial=0.0) < 60000:
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16).astype(np.float32), weight.name))
    onnx.save_model(model, graph, save_as_external_data=is_large, location=f"{graph.name}.data")
    (tmp_path / "codec.json").write_bytes((exported[1] / "codec.json").read_bytes())
    for half in (False, True):
        if half:
            onnx_file.keep_as_half(graph, is_large)
        onnx.checker.check_model(graph)
        files = [path.stat() for path in tmp_path.glob("encoder.onnx*")]
        sizes.append(sum(file.st_size for file in files))
        codes.append(RuntimeCodec(tmp_path, threads=1).encode(speech(1.0), 16000))
    assert codes[1] == codes[0]
    assert sizes[1] < 0.7 * sizes[0]
    assert len({file.st_mode for file in files}) == 1


def test_graphs_that_do_something_else_are_refused(exported: tuple[Codec, Path], monkeypatch: Any) -> None:
    codec, folder = exported
    monkeypatch.setattr(comparison, "MOST_ERROR", 0.0)
    with pytest.raises(XcodecError, match="do not do what torch does"):
        comparison.compare(codec, RuntimeCodec(folder), has_encoder=False, has_decoder=True)


class UntraceableFSQ(FSQ):
    """A quantizer that looks at its codes, which no graph can."""

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return super().decode(codes if codes.sum() > 0 else codes + 1)


def test_a_model_that_cannot_be_traced_is_an_error_and_leaves_nothing(
    exported: tuple[Codec, Path], tmp_path: Path
) -> None:
    codec = exported[0]
    model = type(codec.model)(codec.model.config, decoder_only=True)
    model.quantizer = UntraceableFSQ(model.config.quantization_dim, tuple(model.config.quantization_levels))
    with pytest.raises(InputError, match="xcodec2 cannot be exported as ONNX: Could not guard on data-dependent"):
        export_codec(Codec(model, codec.feature_extractor, codec.identity), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_only_an_exported_codec_is_replaced(exported: tuple[Codec, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="overwrite=True"):
        export_codec(exported[0], exported[1])
    (tmp_path / "mine.txt").touch()
    with pytest.raises(CheckpointError, match=r"holds mine\.txt besides an exported codec"):
        export_codec(exported[0], tmp_path, overwrite=True)


def test_another_dtype_or_opset_or_a_half_that_is_not_there_is_refused(
    exported: tuple[Codec, Path], tmp_path: Path
) -> None:
    codec, _ = exported
    with pytest.raises(InputError, match="dtype='int4': expected one of float32, float16"):
        export_codec(codec, tmp_path / "out", dtype="int4")
    with pytest.raises(InputError, match="format='coreml': expected one of onnx, torch"):
        export_codec(codec, tmp_path / "out", format="coreml")
    with pytest.raises(InputError, match="the step of a stream is exported as ONNX"):
        export_codec(codec, tmp_path / "out", format="torch", stream=True)
    with pytest.raises(InputError, match="opset=99: expected 18 to"):
        export_codec(codec, tmp_path / "out", opset=99)
    half = type(codec.model)(codec.model.config, encoder_only=True)
    with pytest.raises(InputError, match="without the half"):
        export_codec(Codec(half, codec.feature_extractor), tmp_path / "out", decoder=True)


# The blocks of a graph, against those that they stand for.


def test_the_filter_bank_by_a_matrix_is_the_filter_bank() -> None:
    waveform = torch.from_numpy(speech(2.0))[None]
    both = torch.nn.ModuleList([KaldiFbank()])
    fbank = portable(both)[0]
    assert type(fbank) is not KaldiFbank
    assert (fbank(waveform) - both[0](waveform)).abs().max() < 1e-3  # of logarithms; quiet bins have few digits


def test_the_inverse_transform_by_a_matrix_is_the_inverse_transform() -> None:
    head = torch.nn.ModuleList([ISTFTHead(8, 80, 20)])
    x = torch.randn(2, 30, 82)
    lengths = torch.tensor([30, 17])
    assert torch.allclose(portable(head)[0].samples(x, lengths), head[0].samples(x, lengths), atol=1e-6)


@pytest.mark.parametrize("lengths", [None, (40, 1, 23)])
def test_the_activation_in_two_phases_is_the_activation(lengths: tuple[int, ...] | None) -> None:
    activation = torch.nn.ModuleList([AntiAliasedActivation(SnakeBeta(5))])
    x = torch.randn(3, 5, 40)
    valid = None if lengths is None else torch.tensor(lengths)
    assert torch.allclose(portable(activation)[0](x, valid), activation[0](x, valid), atol=1e-6)


def test_a_codebook_that_is_left_out_adds_nothing() -> None:
    quantizer = ResidualVectorQuantizer(8, 16, 4, codebook_dim=6)
    for codebook in quantizer.codebooks:
        codebook.embed.normal_()
    codes = torch.randint(0, 16, (2, 4, 9))
    codes[:, 2:] = LEFT_OUT
    optional = portable(torch.nn.ModuleList([quantizer]))[0]
    assert torch.equal(optional.decode(codes), quantizer.decode(codes[:, :2]))


def test_local_attention_and_convolutions_of_a_whole_clip_give_the_codes_that_stretches_give() -> None:
    model = tiny_distill()
    clips = [speech(samples=samples) for samples in (32000, 9000, 700, 1)]
    inputs = feature_extractor_of(model)(clips, sampling_rate=16000, return_tensors="pt")
    expected = model.encode_clips(inputs["input_values"], inputs["padding_mask"])
    codes = portable(model).encode_clips(inputs["input_values"], inputs["padding_mask"])
    assert torch.equal(codes.codes, expected.codes)
