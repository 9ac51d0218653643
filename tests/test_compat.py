"""Code written for the original package runs unchanged but for its import line, and gets the original's numbers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from original import TINY_OPTIONS, OriginalXCodec2, write_original_folder
from xcodec.compat import XCodec2Model
from xcodec.conversion import convert_checkpoint
from xcodec.errors import CheckpointError, InputError
from xcodec.models.xcodec2 import Xcodec2Model
from xcodec_builders import tiny_xcodec

RECORDING = Path(__file__).parent / "audio" / "austen-0890.wav"


@pytest.fixture(scope="module")
def original_folder(original: OriginalXCodec2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original_folder(original.state_dict(), tmp_path_factory.mktemp("compat") / "original")


@pytest.fixture(scope="module")
def converted_folder(original_folder: Path) -> Path:
    convert_checkpoint(original_folder, original_folder.with_name("converted"), **TINY_OPTIONS)
    return original_folder.with_name("converted")


@pytest.fixture(scope="module")
def model(original_folder: Path) -> XCodec2Model:
    return XCodec2Model.from_pretrained(original_folder, **TINY_OPTIONS)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """(1, samples) at 16 kHz."""
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    assert rate == 16000
    return torch.from_numpy(samples)[None]


def test_the_readme_of_the_original_runs_but_for_its_import(converted_folder: Path, tmp_path: Path) -> None:
    model_path = str(converted_folder)

    model = XCodec2Model.from_pretrained(model_path)
    model.eval().to(model.device)

    wav, sr = soundfile.read(RECORDING)
    wav_tensor = torch.from_numpy(wav).float().unsqueeze(0)

    with torch.no_grad():
        vq_code = model.encode_code(input_waveform=wav_tensor)
        recon_wav = model.decode_code(vq_code).cpu()

    soundfile.write(tmp_path / "reconstructed.wav", recon_wav[0, 0, :].numpy(), sr)
    assert soundfile.info(tmp_path / "reconstructed.wav").frames == 320 * (len(wav) // 320 + 1)


@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 5000, 48000])
def test_codes_and_audio_are_the_originals(
    num_samples: int, original: OriginalXCodec2, model: XCodec2Model, speech: Tensor
) -> None:
    wave = speech[:, 8000 : 8000 + num_samples]
    codes = model.encode_code(wave)
    assert codes.shape == (1, 1, num_samples // 320 + 1)
    assert codes.dtype == torch.int32
    assert torch.equal(codes, original.encode_code(wave))
    audio = model.decode_code(codes)
    assert audio.shape == (1, 1, 320 * codes.shape[2])
    assert audio.dtype == torch.float32
    torch.testing.assert_close(audio, original.decode_code(codes), rtol=0, atol=1e-4)


def test_every_row_of_a_batch_gets_the_codes_it_gets_alone(
    original: OriginalXCodec2, model: XCodec2Model, speech: Tensor
) -> None:
    batch = torch.stack([speech[0, start : start + 16000] for start in (0, 20000, 40000)])
    codes = model.encode_code(batch)
    alone = torch.cat([original.encode_code(row[None]) for row in batch])
    assert torch.equal(codes, alone)
    audio = torch.cat([original.decode_code(row[None]) for row in alone])
    torch.testing.assert_close(model.decode_code(codes), audio, rtol=0, atol=1e-4)


def test_original_and_converted_checkpoints_give_the_same_model(
    original: OriginalXCodec2, model: XCodec2Model, converted_folder: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": original.state_dict()}, tmp_path / "last.ckpt")
    sources = {converted_folder: {}, tmp_path / "last.ckpt": TINY_OPTIONS}
    expected = model.state_dict()
    for source, sizes in sources.items():
        found = XCodec2Model.from_pretrained(source, **sizes).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_features_computed_before_give_the_same_codes(
    original: OriginalXCodec2, model: XCodec2Model, speech: Tensor
) -> None:
    waves = F.pad(torch.stack([speech[0, :15999], speech[0, 16000:31999]]), (0, 1))[:, None]
    features = torch.stack([original.input_features(wave[0]) for wave in waves])
    assert features.shape == (2, 1, 50, 160)
    codes = model.encode_batch_feats(waves, features)
    assert codes.shape == (2, 1, 50)
    assert torch.equal(codes[:1], original.encode_code(speech[:, :15999]))
    assert torch.equal(codes[1:], original.encode_code(speech[:, 16000:31999]))


@pytest.mark.gradients
def test_calling_the_model_encodes_and_decodes(model: XCodec2Model, speech: Tensor) -> None:
    wave = speech[:, :3200]
    audio = model(wave)
    torch.testing.assert_close(audio, model.decode_code(model.encode_code(wave)))
    audio.square().mean().backward()
    assert model.model.acoustic_decoder.fc.weight.grad.abs().sum() > 0
    assert model.model.acoustic_encoder.conv1.weight.grad is None
    model.zero_grad()


def test_it_is_a_module_in_evaluation_mode_that_moves_and_casts(converted_folder: Path, speech: Tensor) -> None:
    model = XCodec2Model.from_pretrained(converted_folder, torch_dtype=torch.bfloat16)
    assert isinstance(model, torch.nn.Module)
    assert isinstance(model.model, Xcodec2Model)
    assert not any(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.config.hop_length == 320
    assert model.to("meta").device == torch.device("meta")


def test_another_rate_or_shape_is_an_error(model: XCodec2Model, speech: Tensor) -> None:
    with pytest.raises(InputError, match=r"sample_rate=24000: X-Codec2 reads 16000 Hz.*resample\(16000\)"):
        model.encode_code(speech, sample_rate=24000)
    with pytest.raises(InputError, match="sample_rate=8000"):
        model(speech, sample_rate=8000)
    for wave in (speech[0], speech[None], speech[:, :0], (speech * 32767).short()):
        with pytest.raises(InputError, match=r"expected floating-point samples of shape \(batch, samples\)"):
            model.encode_code(wave)
    with pytest.raises(InputError, match=r"audio_codes: expected integers"):
        model.decode_code(torch.zeros(1, 1, 5))
    with pytest.raises(InputError, match=r"expected values in \[0, 65536\)"):
        model.decode_code(torch.full((1, 1, 5), 65536))
    features = torch.zeros(1, 1, 10, 160)
    with pytest.raises(InputError, match="a multiple of 320 samples, got"):
        model.encode_batch_feats(torch.zeros(1, 1, 3201), features)
    with pytest.raises(InputError, match=r"expected shape \(batch, 1, codes, features\)"):
        model.encode_batch_feats(torch.zeros(1, 1, 3200), features[0])
    with pytest.raises(InputError, match=r"expected shape \(1, 9, 160\)"):
        model.encode_batch_feats(torch.zeros(1, 1, 2880), features)


def test_numpy_from_soundfile_in_double_precision_is_read(model: XCodec2Model) -> None:
    wav, _ = soundfile.read(RECORDING, frames=4000)
    assert wav.dtype == np.float64
    wave = torch.from_numpy(wav)[None]
    assert torch.equal(model.encode_code(wave), model.encode_code(wave.float()))


def test_what_is_no_checkpoint_or_no_argument_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        XCodec2Model.from_pretrained(tmp_path / "absent")
    with pytest.raises(TypeError, match="unexpected arguments trust_remote_code"):
        XCodec2Model.from_pretrained(tmp_path, trust_remote_code=True)


def test_a_folder_as_the_released_one_is_read_whatever_its_config_says(
    original_folder: Path, model: XCodec2Model, speech: Tensor, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(original_folder, tmp_path / "released"))
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "xcodec2"}
    (folder / "config.json").write_text(json.dumps(config))
    loaded = XCodec2Model.from_pretrained(folder, **TINY_OPTIONS)
    assert torch.equal(loaded.encode_code(speech), model.encode_code(speech))
    with pytest.raises(CheckpointError, match=r"is an original X-Codec2 checkpoint.*xcodec convert"):
        Xcodec2Model.from_pretrained(folder)


def test_x_codec_is_refused_by_name(tmp_path: Path) -> None:
    tiny_xcodec().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is an X-Codec checkpoint, which XCodec2Model does not read"):
        XCodec2Model.from_pretrained(tmp_path)
