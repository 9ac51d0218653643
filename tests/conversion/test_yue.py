"""YuE's codec, X-Codec for general audio, loads by its name, and its two Vocos decoders in place of its own."""

import sys
import types
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from builders import speech
from original import put_into_hub_cache
from original_vocos import SIZES, VocosDecoder, random_decoder, write_decoders
from original_xcodec import SoundStream, random_soundstream
from xcodec import CheckpointError, Codec, CodesError, InputError, XcodecVocosModel
from xcodec.conversion import convert_checkpoint
from xcodec.streaming import StreamDecoder

NAME = "m-a-p/xcodec_mini_infer"
FILES = {"vocal": "decoder_131000.pth", "instrumental": "decoder_151000.pth"}
WAVE = speech(2.0)


@pytest.fixture(scope="module")
def original() -> SoundStream:
    with torch.inference_mode(False):
        return random_soundstream(torch.tensor(WAVE)[None, None], "hubert_base_general", legacy=True)


@pytest.fixture(scope="module")
def decoders(original: SoundStream) -> dict[str, VocosDecoder]:
    width = original.fc_prior.out_features
    with torch.inference_mode(False):
        return {name: random_decoder(width, seed) for seed, name in enumerate(FILES.values())}


@pytest.fixture(scope="module")
def folder(original: SoundStream, decoders: dict[str, VocosDecoder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository: the codec and its decoders, each in a folder."""
    folder = tmp_path_factory.mktemp("yue") / "xcodec_mini_infer"
    (folder / "final_ckpt").mkdir(parents=True)
    torch.save({"codec_model": original.state_dict(), "step": 360000}, folder / "final_ckpt/ckpt_00360000.pth")
    fields = {name: value for name, value in original.fields.items() if name != "semantic_techer"}
    content = {"generator": {"name": "SoundStream", "config": fields}, "d_list": ["mfd"]}
    (folder / "final_ckpt/config.yaml").write_text(yaml.safe_dump(content))
    write_decoders(folder / "decoders", decoders)
    return folder


@pytest.fixture(scope="module")
def codec(folder: Path) -> Codec:
    return Codec.from_pretrained(folder)


@pytest.fixture(scope="module")
def vocal(folder: Path) -> Codec:
    return Codec.from_pretrained(folder, decoder="vocal")


def test_the_codec_is_an_x_codec_and_computes_what_the_original_does(original: SoundStream, codec: Codec) -> None:
    codes = codec.encode(WAVE, 16000)
    theirs = original.encode(torch.tensor(WAVE)[None, None], 4.0)
    assert np.mean(codes.ids != theirs[:, 0].numpy()) <= 0.005  # where two are nearly equally near, rounding decides
    audio = codec.decode(theirs[:, 0].numpy()).samples
    np.testing.assert_allclose(audio, original.decode(theirs)[0].numpy(), atol=1e-4 * np.abs(audio).max())


def test_it_and_its_decoders_load_by_name(folder: Path, codec: Codec, tmp_path: Path) -> None:
    put_into_hub_cache(folder, NAME, tmp_path)
    hub: dict[str, Any] = {"cache_dir": tmp_path, "local_files_only": True}
    found = Codec.from_pretrained(NAME, **hub)
    assert found.identity.name == NAME
    assert found.identity.same_model(codec.identity)
    sung = Codec.from_pretrained(NAME, decoder="instrumental", **hub)
    assert sung.identity.name == f"{NAME} (instrumental)"
    assert sung.codes_identity.name == NAME


@pytest.mark.parametrize("name", FILES)
def test_a_decoder_computes_what_the_original_does_from_the_codecs_codes(
    name: str, original: SoundStream, decoders: dict[str, VocosDecoder], folder: Path, codec: Codec
) -> None:
    decoder = Codec.from_pretrained(folder, decoder=name)
    assert isinstance(decoder.model, XcodecVocosModel)
    codes = codec.encode(WAVE, 16000)
    audio = decoder.decode(codes)
    assert (audio.sampling_rate, audio.num_samples) == (44100, 88200)
    latents = original.quantizer.decode(torch.tensor(codes.ids)[:, None]).transpose(1, 2)
    theirs = decoders[FILES[name]](latents)[0].numpy()
    np.testing.assert_allclose(audio.samples, theirs, atol=1e-4 * np.abs(theirs).max())
    assert decoder.encode(WAVE, 16000) == codes, "whose codes they are included"
    fewer = decoder.decode(codes.at_bandwidth(1.0))
    assert np.abs(fewer.samples - audio.samples).max() > 1e-3


@pytest.fixture
def vocos_package() -> Iterator[types.ModuleType]:
    """The vocos package less what its `__init__` imports: encodec and torchaudio."""
    spec = find_spec("vocos")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("the vocos package is not installed: pip install --no-deps vocos")
    package = types.ModuleType("vocos")
    package.__path__ = list(spec.submodule_search_locations)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "vocos"}
    sys.modules["vocos"] = package
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == "vocos"]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("vocos_package")
def test_a_decoder_computes_what_the_vocos_package_does(
    original: SoundStream, decoders: dict[str, VocosDecoder], vocal: Codec
) -> None:
    backbone = import_module("vocos.models").VocosBackbone(original.fc_prior.out_features, **SIZES).eval()
    istft = import_module("vocos.spectral_ops").ISTFT(n_fft=3528, hop_length=882, win_length=3528, padding="same")
    ours = decoders[FILES["vocal"]]
    backbone.load_state_dict(ours.backbone.state_dict())
    codes = vocal.encode(WAVE, 16000)
    latents = original.quantizer.decode(torch.tensor(codes.ids)[:, None]).transpose(1, 2)
    with torch.no_grad():
        magnitude, phase = ours.head.out(backbone(latents)).transpose(1, 2).chunk(2, 1)
        theirs: Tensor = istft(torch.polar(magnitude.exp().clip(max=100.0), phase))
    audio = vocal.decode(codes).samples
    np.testing.assert_allclose(audio, theirs.numpy(), atol=1e-4 * float(theirs.abs().max()))


def test_a_clip_of_a_batch_and_in_tiles_is_what_it_is_alone(vocal: Codec) -> None:
    codes = [vocal.encode(WAVE[:length], 16000) for length in (30000, 9000, 330)]
    together = vocal.decode(codes)
    for clip, alone in zip(together, map(vocal.decode, codes), strict=True):
        np.testing.assert_allclose(clip.samples, alone.samples, atol=1e-5)
    vocal.model.max_memory = 1
    try:
        long = vocal.encode(np.tile(WAVE, 40), 16000)
        tiled = vocal.decode(long)
    finally:
        vocal.model.max_memory = None
    np.testing.assert_allclose(tiled.samples, vocal.decode(long).samples, atol=1e-5)


def test_a_stream_with_enough_lookahead_is_the_whole(vocal: Codec) -> None:
    ids = vocal.encode(WAVE, 16000).ids
    halo = 3 * (1 + SIZES["num_layers"])
    assert vocal.model.acoustic_decoder.reach == (halo, halo)
    stream = StreamDecoder(vocal, chunk=10, lookahead=vocal.model.lookahead + 1)  # the fade sees one code more
    pieces = [stream.push(ids[:, i : i + 7]) for i in range(0, ids.shape[1], 7)] + [stream.flush()]
    streamed = np.concatenate([piece.samples[0] for piece in pieces if piece is not None])
    np.testing.assert_allclose(streamed, vocal.decode_ids([ids])[0], atol=1e-4)


def test_a_decoder_is_converted_and_loads_again(folder: Path, vocal: Codec, codec: Codec, tmp_path: Path) -> None:
    report = convert_checkpoint(folder, tmp_path / "vocal", decoder="vocal")
    written = load_file(tmp_path / "vocal/model.safetensors")
    assert report.kept.keys() == written.keys()
    assert report.num_kept == sum(tensor.numel() for tensor in written.values())
    assert report.dropped["decoder_2.model.0.bias"].startswith("replaced")
    assert "decodes   the codes of xcodec_mini_infer" in str(report)
    again = Codec.from_pretrained(tmp_path / "vocal")
    assert again.identity.same_model(vocal.identity)
    codes = codec.encode(WAVE, 16000)
    assert np.array_equal(again.decode(codes).samples, vocal.decode(codes).samples)
    half = Codec.from_pretrained(tmp_path / "vocal", decoder_only=True)
    assert np.array_equal(half.decode(codes).samples, vocal.decode(codes).samples)
    convert_checkpoint(folder, tmp_path / "whole")
    by_file = Codec.from_pretrained(tmp_path / "whole", decoder=folder / "decoders/decoder_131000.pth")
    assert by_file.identity.same_model(vocal.identity)


def test_decoders_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"decoder='drums': no such decoder; there are: vocal, instrumental; give one"):
        Codec.from_pretrained(folder, decoder="drums")
    with pytest.raises(InputError, match=r"decoder='vocal': only for X-Codec, and this is an X-Codec2 .* checkpoint"):
        Codec.from_pretrained(decoder="vocal")
    torch.save(random_decoder(17, 0).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth: .*backbone\.embed\.weight gives \(24, 17, 7\), expected"):
        Codec.from_pretrained(folder, decoder=tmp_path / "other.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"head": {"init_args": {"padding": "center"}}}))
    with pytest.raises(CheckpointError, match=r"with padding 'center'; expected 4 times as many"):
        Codec.from_pretrained(folder, decoder=tmp_path / "other.pth")


def test_codes_of_another_codec_are_refused(vocal: Codec, codec: Codec) -> None:
    codes = codec.encode(WAVE, 16000)
    stranger = type(codes)(
        codes.ids, 50.0, codes.num_samples, 16000, 16000, codes.codebook_sizes, type(codec.identity)("x", "a", "b")
    )
    with pytest.raises(CodesError, match=r"made by x .*which decodes the codes of xcodec_mini_infer"):
        vocal.decode(stranger)
