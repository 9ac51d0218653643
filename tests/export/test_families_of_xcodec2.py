"""The relatives of X-Codec2 as ONNX: of each what it has of its own."""

from pathlib import Path

import pytest

from builders import FEWEST_LAYERS, TINY_DISTILL, tiny_causal, tiny_distill, tiny_harmonic, tiny_neucodec
from export_builders import check_export

pytest.importorskip("onnxscript", reason="pip install 'xcodec[onnx]'")
pytestmark = pytest.mark.slow


def test_neucodec(tmp_path: Path) -> None:
    check_export(tiny_neucodec(**FEWEST_LAYERS), tmp_path / "out", "encoder", "decoder")


def test_a_causal_decoder_and_its_step(tmp_path: Path) -> None:
    check_export(tiny_causal(**FEWEST_LAYERS), tmp_path / "out", "decoder", "stream")


def test_a_harmonic_decoder_and_its_step(tmp_path: Path) -> None:
    check_export(tiny_harmonic(**FEWEST_LAYERS, decoder_lookahead=4), tmp_path / "out", "decoder", "stream")


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_each_half_of_distill_neucodec(half: str, tmp_path: Path) -> None:
    semantic = TINY_DISTILL["semantic_model_config"] | {"num_hidden_layers": 1}
    model = tiny_distill(num_hidden_layers=1, local_num_hidden_layers=(1, 1), semantic_model_config=semantic)
    check_export(model, tmp_path / "out", half)
