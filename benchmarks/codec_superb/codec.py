"""A codec of this package as Codec-SUPERB knows codecs.

This file goes into its checkout, under the codec's name there:

    cp benchmarks/codec_superb/codec.py Codec-SUPERB/SoundCodec/codec/xcodec2.py
    cd Codec-SUPERB
    XCODEC_MODEL=HKUSTAudio/xcodec2-hf python dataset_creator.py --dataset voidful/codec-superb-tiny \
        --specific_codecs xcodec2

XCODEC_MODEL is a checkpoint folder or a hub id, the built-in mini without it; XCODEC_BANDWIDTH is in kbit/s, of
X-Codec.
"""

import os
from typing import Any

import numpy as np
import torch
from SoundCodec.base_codec.general import BaseCodec, ExtractedUnit

import xcodec


class Codec(BaseCodec):
    """Encodes and decodes one recording at a time, mono."""

    def config(self) -> None:
        """Load the codec that the environment names."""
        self.codec = xcodec.Codec.from_pretrained(os.environ.get("XCODEC_MODEL"), device=self.device)
        bandwidth = os.environ.get("XCODEC_BANDWIDTH")
        self.bandwidth = float(bandwidth) if bandwidth else None
        self.sampling_rate = self.codec.sampling_rate

    def extract_unit(self, data: dict[str, Any]) -> ExtractedUnit:
        """Encode a recording: units of shape (codebooks, frames)."""
        samples = np.asarray(data["audio"]["array"], np.float32)
        if samples.ndim == 2:
            samples = samples.mean(axis=int(samples.shape[1] < samples.shape[0]))
        rate = data["audio"].get("sampling_rate") or self.sampling_rate
        codes = self.codec.encode(xcodec.Audio(samples, rate), bandwidth=self.bandwidth)
        return ExtractedUnit(unit=torch.from_numpy(codes.ids.astype(np.int64)), stuff_for_synth=codes)

    def decode_unit(self, stuff_for_synth: xcodec.Codes) -> np.ndarray:
        """Decode it: (samples,), as long as the recording was, at the codec's own rate."""
        audio = self.codec.decode(stuff_for_synth)
        return audio.resample(self.sampling_rate).samples[0]
