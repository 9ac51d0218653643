"""What the tests of training build: a tiny recipe, and a source of clips held in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from xcodec.codes import CodecIdentity
from xcodec.training.data.dataset import ClipExcerpt
from xcodec.training.recipe import Recipe

TINY = """
steps: 30
ema: 0.9
data: {batch_seconds: 0.6, crop_seconds: [0.2, 0.3]}
model:
  encoder_hidden_size: 2
  downsampling_ratios: [8, 8, 5]
  hidden_size: 32
  intermediate_size: 32
  num_hidden_layers: 1
  num_attention_heads: 2
  num_key_value_heads: 2
  head_dim: 16
  activation_dropout: 0.0
  quantization_dim: 64
  semantic_model_config:
    {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32,
     feature_projection_input_dim: 160, conv_depthwise_kernel_size: 5, mask_time_prob: 0.0,
     hidden_dropout: 0.0, attention_dropout: 0.0, activation_dropout: 0.0, feat_proj_dropout: 0.0,
     conformer_conv_dropout: 0.0}
loss: {windows: [128, 512], mels: [10, 40], mel: 1.0, magnitude: 0.5, head: 1.0, spread: 0.5, phones: 0.1}
optimizer: {learning_rate: 4.0e-3, warmup_steps: 3}
adversarial:
  multi_period: {periods: [2], channels: 2, growth: 2, max_channels: 4}
  spectral: {fft_sizes: [78], channels: 2, max_channels: 4}
  lead_steps: 1
"""

UNCHANGED: dict[str, Any] = {
    "level_db": None,
    "speed": [1.0, 1.0],
    "tilt_probability": 0,
    "reverberation_probability": 0,
    "noise_probability": 0,
}
"""The section of a recipe that leaves crops as they are."""

FLAT = ("optimizer.learning_rate=1.0e-3", "optimizer.final_learning_rate=1.0e-3")
"""A rate that does not depend on the number of steps, once warm."""


def tiny_recipe(folder: Path, *settings: str, base: str = TINY, **sections: Any) -> Recipe:
    """The tiny recipe, with sections and settings in place of its own."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(base) | sections))
    return Recipe.read(path, settings)


class Clips:
    """A source of clips in memory: float32 (samples,) each."""

    def __init__(self, clips: list[np.ndarray], sampling_rate: int = 16_000, codes: list[np.ndarray] | None = None):
        self.clips = clips
        self.sampling_rate = sampling_rate
        self.codes = codes
        self.seconds = np.array([len(clip) / sampling_rate for clip in clips])
        self.sources = ["memory"]
        self.makers: set[CodecIdentity] = set()
        self.source_ids = np.zeros(len(clips), dtype=np.int64)

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        first = round(start * self.sampling_rate)
        samples = self.clips[clip][first : first + round(seconds * self.sampling_rate)]
        codes = None
        if self.codes is not None:
            codes = self.codes[clip][round(50 * start) : round(50 * start) + round(50 * seconds)]
        return ClipExcerpt(samples, self.sampling_rate, codes=codes)
