"""X-Codec and its relatives as ONNX: of each what it has of its own."""

from pathlib import Path
from typing import Any

import pytest

from export_builders import check_export
from xcodec_builders import (
    TINY_ACOUSTIC,
    TINY_SEMANTIC,
    tiny_harmonic_xcodec,
    tiny_higgs,
    tiny_vocos,
    xcodec_of_fewest_layers,
)

pytest.importorskip("onnxscript", reason="pip install 'xcodec[onnx]'")
pytestmark = pytest.mark.slow


def test_xcodec_with_hubert(tmp_path: Path) -> None:
    check_export(xcodec_of_fewest_layers("hubert"), tmp_path / "out", "encoder", "decoder")


def test_the_encoder_of_xcodec_with_wavlm(tmp_path: Path) -> None:
    check_export(xcodec_of_fewest_layers("wavlm"), tmp_path / "out", "encoder")


def test_the_higgs_tokenizer(tmp_path: Path) -> None:
    stages: dict[str, Any] = {"downsampling_ratios": [40, 24], "upsampling_ratios": [40, 24]}
    model = tiny_higgs(
        semantic_model_config=TINY_SEMANTIC | {"num_hidden_layers": 1},
        acoustic_model_config=TINY_ACOUSTIC | stages,
        target_bandwidths=[0.5, 1],
        strides=[1],
        channel_ratios=[1],
        block_dilations=[1],
    )
    check_export(model, tmp_path / "out", "encoder", "decoder")


def test_the_vocos_decoder_of_xcodec(tmp_path: Path) -> None:
    check_export(tiny_vocos(decoder_num_layers=1), tmp_path / "out", "decoder")


def test_an_xcodec_that_reads_spectra(tmp_path: Path) -> None:
    model = tiny_harmonic_xcodec(
        semantic_model_config=TINY_SEMANTIC | {"num_hidden_layers": 1},
        encoder_num_layers=1,
        decoder_num_layers=1,
        target_bandwidths=[0.5, 1],
        strides=[1],
        channel_ratios=[1],
        block_dilations=[1],
    )
    check_export(model, tmp_path / "out", "encoder", "decoder")
