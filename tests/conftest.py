"""Models that several tests share; the released size is built once."""

import pytest
import torch
from transformers.utils import logging

import builders
from xcodec.models.xcodec2 import Xcodec2Model

logging.set_verbosity_error()
logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny() -> Xcodec2Model:
    return builders.tiny_model()


@pytest.fixture(scope="session")
def released() -> Xcodec2Model:
    """629M random parameters: the size of HKUSTAudio/xcodec2-hf."""
    return builders.random_model()


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest):
    """Inference unless a test is marked `gradients`."""
    with torch.inference_mode(mode="gradients" not in request.keywords):
        yield
