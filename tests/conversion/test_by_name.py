"""Every released checkpoint loads by its name on the hub, from a copy that is laid out as it is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from builders import speech, tiny_model, tiny_neucodec
from original import (
    OriginalXCodec2,
    original_neucodec,
    put_into_hub_cache,
    with_head,
    with_upsampler,
    write_original_folder,
)
from xcodec import Codec, CodesError
from xcodec.conversion import convert_checkpoint
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import CodecModel
from xcodec_builders import tiny_higgs, tiny_xcodec

State = dict[str, Tensor]
ANIME = {"model_type": "xcodec2", "sample_rate": 44100, "hop_length": 98, "upsample_factors": [3, 3]}


@pytest.fixture(scope="module")
def original() -> OriginalXCodec2:
    """One of the authors' own number of layers and size of heads, which no option has to tell."""
    with torch.inference_mode(False):
        torch.manual_seed(0)
        return OriginalXCodec2(hidden=128, depth=1, heads=2, semantic_layers=16).eval()


def laid_out_by_transformers(make: Callable[[], CodecModel]) -> Callable[[OriginalXCodec2, Path], None]:
    """A folder in transformers' layout."""

    def write(_: OriginalXCodec2, folder: Path) -> None:
        with torch.inference_mode():
            model = make()
        model.save_pretrained(folder)
        feature_extractor_of(model).save_pretrained(folder)

    return write


def laid_out_by_xcodec2(change: Callable[[State], State], **config: Any) -> Callable[[OriginalXCodec2, Path], None]:
    """A folder as the xcodec2 package writes it."""

    def write(original: OriginalXCodec2, folder: Path) -> None:
        write_original_folder(change(original.state_dict()), folder)
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(told | config))

    return write


def laid_out_by_neucodec(change: Callable[[State], State]) -> Callable[[OriginalXCodec2, Path], None]:
    """A folder as the neucodec package wants it, without w2v-BERT."""

    def write(original: OriginalXCodec2, folder: Path) -> None:
        folder.mkdir()
        state = change(original_neucodec(original.state_dict()))
        kept = {name: tensor for name, tensor in state.items() if not name.startswith("semantic_model.")}
        torch.save(kept, folder / "pytorch_model.bin")
        (folder / "meta.yaml").write_text("name: neucodec\n")

    return write


def in_a_folder(name: str, write: Callable[[OriginalXCodec2, Path], None]) -> Callable[[OriginalXCodec2, Path], None]:
    """A folder of that name in another model's."""

    def written(original: OriginalXCodec2, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text('{"model_type": "omnivoice"}')
        write(original, folder / name)

    return written


def kept(state: State) -> State:
    return state


def at_44k(state: State) -> State:
    return with_head(state, 882)


LAYOUTS = {
    "HKUSTAudio/xcodec2": ("xcodec2", 16000, laid_out_by_xcodec2(kept)),
    "HKUSTAudio/xcodec2-hf": ("xcodec2", 16000, laid_out_by_transformers(tiny_model)),
    "huseinzol05/X-Codec-2.0-50TPS-44k": ("xcodec2", 44100, laid_out_by_xcodec2(at_44k)),
    "NandemoGHS/Anime-XCodec2-44.1kHz": ("xcodec2", 44100, laid_out_by_xcodec2(with_upsampler, **ANIME)),
    "NandemoGHS/Anime-XCodec2-44.1kHz-v2": ("xcodec2", 44100, laid_out_by_xcodec2(with_upsampler, **ANIME)),
    "neuphonic/neucodec": ("neucodec", 24000, laid_out_by_neucodec(kept)),
    "Scicom-intl/neucodec-44k-d20": ("neucodec", 44100, laid_out_by_neucodec(at_44k)),
    "eustlb/higgs-audio-v2-tokenizer": (
        "higgs_audio_v2_tokenizer",
        24000,
        laid_out_by_transformers(tiny_higgs),
    ),
    "k2-fsa/OmniVoice/audio_tokenizer": (
        "higgs_audio_v2_tokenizer",
        24000,
        in_a_folder("audio_tokenizer", laid_out_by_transformers(tiny_higgs)),
    ),
    "hf-audio/xcodec-hubert-general": ("xcodec", 16000, laid_out_by_transformers(tiny_xcodec)),
    "hf-audio/xcodec-hubert-general-balanced": ("xcodec", 16000, laid_out_by_transformers(tiny_xcodec)),
    "hf-audio/xcodec-hubert-librispeech": ("xcodec", 16000, laid_out_by_transformers(tiny_xcodec)),
    "hf-audio/xcodec-wavlm-mls": ("xcodec", 16000, laid_out_by_transformers(lambda: tiny_xcodec("wavlm"))),
    "hf-audio/xcodec-wavlm-more-data": ("xcodec", 16000, laid_out_by_transformers(lambda: tiny_xcodec("wavlm"))),
}  # Boson's own layout and YuE's have tests of their own, test_higgs_conversion.py and test_yue.py


def hub_with(name: str, original: OriginalXCodec2, folder: Path) -> dict[str, Any]:
    """A cache of the hub that holds the model and w2v-BERT, and how to read it."""
    LAYOUTS[name][2](original, folder / "copy")
    put_into_hub_cache(folder / "copy", "/".join(name.split("/")[:2]), folder / "cache")
    original.semantic_model.save_pretrained(folder / "w2v-bert")
    put_into_hub_cache(folder / "w2v-bert", "facebook/w2v-bert-2.0", folder / "cache")
    return {"cache_dir": folder / "cache", "local_files_only": True}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_released_checkpoint_loads_by_its_name(name: str, original: OriginalXCodec2, tmp_path: Path) -> None:
    model_type, rate, _ = LAYOUTS[name]
    codec = Codec.from_pretrained(name, **hub_with(name, original, tmp_path))
    assert (codec.model.config.model_type, codec.output_sampling_rate) == (model_type, rate)
    assert codec.identity.name == name
    audio = codec.reconstruct(speech(0.5), 16000)
    assert (audio.sampling_rate, audio.num_samples) == (rate, rate // 2)
    assert np.isfinite(audio.samples).all()


def test_a_variant_takes_the_codes_of_its_maker_once_it_is_told_whose_they_are(
    original: OriginalXCodec2, tmp_path: Path
) -> None:
    name, maker = "Scicom-intl/neucodec-44k-d20", "neuphonic/neucodec"
    hub = hub_with(name, original, tmp_path)
    laid_out_by_neucodec(kept)(original, tmp_path / "maker")
    put_into_hub_cache(tmp_path / "maker", maker, tmp_path / "cache")
    codes = Codec.from_pretrained(maker, **hub).encode(speech(0.5), 16000)
    with pytest.raises(CodesError, match=rf"made by {maker} .*this model is {name}"):
        Codec.from_pretrained(name, **hub).decode(codes)
    convert_checkpoint(name, tmp_path / "made", semantic_encoder=tmp_path / "w2v-bert", decodes=maker, **hub)
    audio = Codec.from_pretrained(tmp_path / "made").decode(codes)
    assert (audio.sampling_rate, audio.num_samples) == (44100, 22050)


def test_neucodec_in_transformers_layout_loads_too(tmp_path: Path) -> None:
    laid_out_by_transformers(tiny_neucodec)(OriginalXCodec2(), tmp_path / "copy")
    assert Codec.from_pretrained(tmp_path / "copy").output_sampling_rate == 24000
