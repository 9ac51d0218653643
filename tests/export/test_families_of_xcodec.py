"""X-Codec and its relatives as ONNX: of each what it has of its own."""

from pathlib import Path
from typing import Any

import pytest

from export_builders import check_export
from xcodec_builders import TINY_ACOUSTIC, TINY_SEMANTIC, tiny_higgs, tiny_vocos, tiny_xcodec

pytest.importorskip("onnxscript", reason="pip install 'xcodec[onnx]'")
pytestmark = pytest.mark.slow

ONE_LAYER = {"num_hidden_layers": 1}
TWO_STAGES = {"downsampling_ratios": [20, 16], "upsampling_ratios": [20, 16]}


def test_xcodec_with_hubert(tmp_path: Path) -> None:
    model = tiny_xcodec("hubert", semantic_model_config=ONE_LAYER, acoustic_model_config=TWO_STAGES)
    check_export(model, tmp_path / "out", "encoder", "decoder")


def test_the_encoder_of_xcodec_with_wavlm(tmp_path: Path) -> None:
    model = tiny_xcodec("wavlm", semantic_model_config=ONE_LAYER, acoustic_model_config=TWO_STAGES)
    check_export(model, tmp_path / "out", "encoder")


def test_the_higgs_tokenizer(tmp_path: Path) -> None:
    stages: dict[str, Any] = {"downsampling_ratios": [40, 24], "upsampling_ratios": [40, 24]}
    model = tiny_higgs(semantic_model_config=TINY_SEMANTIC | ONE_LAYER, acoustic_model_config=TINY_ACOUSTIC | stages)
    check_export(model, tmp_path / "out", "encoder", "decoder")


def test_the_vocos_decoder_of_xcodec(tmp_path: Path) -> None:
    check_export(tiny_vocos(decoder_num_layers=1), tmp_path / "out", "decoder")
