"""Many files through one model: what is done once for all of them."""

from pathlib import Path

import numpy as np
import pytest

from builders import tiny_model
from xcodec import Audio, Codec
from xcodec.cli.jobs import Run
from xcodec.cli.paths import Job
from xcodec.models.xcodec2 import Xcodec2FeatureExtractor
from xcodec.modules.packing import HAS_ONEDNN, IS_X86, Packable


@pytest.mark.skipif(not (HAS_ONEDNN and IS_X86), reason="weights are packed on x86 processors, by oneDNN")
def test_weights_are_packed_as_soon_as_there_is_audio_enough_to_repay_it(tmp_path: Path) -> None:
    model = tiny_model()
    codec = Codec(model, Xcodec2FeatureExtractor())
    minute = Audio(np.zeros((1, 60 * 16000), np.float32), 16000)
    were_packed: list[bool] = []

    def transform(_codec: object, items: list[Audio], _on_progress: object) -> list[Audio]:
        were_packed.append(any(module.is_packed for module in model.modules() if isinstance(module, Packable)))
        return items

    jobs = [Job(Path("here.wav"), tmp_path / f"{number}.wav") for number in range(4)]
    one_at_a_time = 15.0
    Run("Copied", lambda _codec, _job: minute, lambda: codec, transform, one_at_a_time).do(jobs, [])
    assert were_packed == [False, False, True, True]
