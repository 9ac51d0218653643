"""What is probed: a system of `xcodec.evaluation` whose two halves, encoder and decoder, can be used apart."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.evaluation.systems.model import Model
from xcodec.evaluation.systems.system import System
from xcodec.evaluation.systems.transformers_codec import TransformersCodec, ids_of

__all__ = ["CodecCoder", "Coder", "Coding", "TransformersCoder", "coder_of"]


@dataclass(frozen=True)
class Coding:
    """What a signal is encoded to.

    Args:
        ids: integers (codebooks, frames).
        num_samples: of the signal, at the coder's rate.
        latents: what the decoder reads in place of the codes, float32 (frames, channels); None where it is not known.
        carried: what the decoder needs besides the codes.
    """

    ids: np.ndarray
    num_samples: int
    latents: np.ndarray | None = None
    carried: Any = None


class Coder(ABC):
    """Encodes signals and decodes codes.

    Attributes:
        name: as reports call it.
        about: one line for reports: what exactly is run.
        sampling_rate: in Hz, of what is encoded and of what `decode` gives.
        hop_length: samples a frame.
        codebook_sizes: the number of different codes in each codebook.
        levels: of each dimension of a finite scalar quantizer; empty for another.
        parameters: how many weights there are.
    """

    name: str
    about: str
    sampling_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    levels: tuple[int, ...] = ()
    parameters: int | None = None

    @property
    def frame_rate(self) -> float:
        """Frames a second, in Hz."""
        return self.sampling_rate / self.hop_length

    @abstractmethod
    def encode(self, signals: Sequence[np.ndarray]) -> list[Coding]:
        """Encode signals, each as it is encoded alone; their latents may be left out.

        Args:
            signals: float32 (samples,) each, at `sampling_rate`.

        Raises:
            XcodecError: where one cannot be encoded.
        """

    @abstractmethod
    def encode_with_latents(self, signal: np.ndarray) -> Coding:
        """Encode a signal, float32 (samples,) at `sampling_rate`, with its latents where they are known.

        Raises:
            XcodecError: where it cannot be encoded.
        """

    @abstractmethod
    def decode(self, ids: np.ndarray, coding: Coding) -> np.ndarray:
        """Decode codes in place of those of a coding.

        Args:
            ids: integers of the shape of the coding's.
            coding: tells what is needed besides, and how long the signal was.

        Returns:
            float32 (samples,) at `sampling_rate`, as long as the signal that was encoded.

        Raises:
            XcodecError: where they cannot be decoded.
        """


class CodecCoder(Coder):
    """A codec of this package.

    Args:
        system: the codec, with its bandwidth.
    """

    def __init__(self, system: Model) -> None:
        self._codec, self._bandwidth = system.codec, system.bandwidth
        self.name, self.about, self.levels, self.parameters = (
            system.name,
            system.about,
            system.levels,
            system.parameters,
        )
        self.sampling_rate = self._codec.sampling_rate
        self.hop_length = self._codec.format.hop_length
        depth = self._codec.model.num_quantizers_at(self._bandwidth)
        self.codebook_sizes = self._codec.codebook_sizes[:depth]

    def encode(self, signals: Sequence[np.ndarray]) -> list[Coding]:
        """`Coder.encode`, in batches."""
        recordings = [Audio(signal, self.sampling_rate) for signal in signals]
        encoded = self._codec.encode(recordings, bandwidth=self._bandwidth)
        return [Coding(codes.ids, len(signal)) for codes, signal in zip(encoded, signals, strict=True)]

    @torch.inference_mode()
    def encode_with_latents(self, signal: np.ndarray) -> Coding:
        """`Coder.encode_with_latents`."""
        codec = self._codec
        inputs = codec.feature_extractor(
            audio=[signal], sampling_rate=self.sampling_rate, return_tensors="pt", device=codec.device
        ).to(codec.device)
        inputs["input_values"] = inputs["input_values"].to(codec.dtype)
        encoded = codec.model.encode_clips(**inputs, bandwidth=self._bandwidth, output_latents=True)
        latents = None if encoded.latents is None else encoded.latents[0].float().cpu().numpy()
        return Coding(encoded.codes[0].cpu().numpy(), len(signal), latents)

    def decode(self, ids: np.ndarray, coding: Coding) -> np.ndarray:
        """`Coder.decode`."""
        audio = self._codec.decode(ids, check_identity=False).resample(self.sampling_rate)
        return as_long(audio.samples[0], coding.num_samples)


class TransformersCoder(Coder):
    """A codec of transformers, one signal at a time.

    Args:
        system: the codec, with its number of codebooks or its bandwidth.

    Raises:
        InputError: where it cuts recordings into chunks, whose codes do not follow one another.
    """

    def __init__(self, system: TransformersCodec) -> None:
        self._loaded, self._options = system.loaded, system.options
        config, extractor = self._loaded.model.config, self._loaded.extractor
        if getattr(config, "chunk_length_s", None) or getattr(extractor, "feature_size", 1) != 1:
            raise InputError("encodes stereo, or in chunks; expected one channel and one sequence", subject=system.name)
        self.name, self.about, self.parameters = system.name, system.about, system.parameters
        self.sampling_rate = int(extractor.sampling_rate)
        second = self._encoded(np.zeros(self.sampling_rate, np.float32))
        self.hop_length = round(self.sampling_rate / config.frame_rate) if hasattr(config, "frame_rate") else 0
        self.hop_length = self.hop_length or round(self.sampling_rate / second.ids.shape[1])
        self.codebook_sizes = (int(config.codebook_size),) * len(second.ids)

    def encode(self, signals: Sequence[np.ndarray]) -> list[Coding]:
        """`Coder.encode`."""
        return [self._encoded(signal) for signal in signals]

    def encode_with_latents(self, signal: np.ndarray) -> Coding:
        """`Coder.encode_with_latents`."""
        return self._encoded(signal, with_latents=True)

    def _encoded(self, signal: np.ndarray, with_latents: bool = False) -> Coding:
        with self._loaded.speaking():
            encoded = self._loaded.encode(signal, self._options)
        codes = encoded.output.audio_codes
        latents = self._latents(codes) if with_latents else None
        return Coding(ids_of(encoded.output), len(signal), latents, (codes, encoded.carried))

    @torch.inference_mode()
    def _latents(self, codes: torch.Tensor) -> np.ndarray | None:
        """Give what the quantizer makes of codes, (frames, channels); None where it is unlike those that are known."""
        quantizer: Any = getattr(self._loaded.model, "quantizer", None)
        codes = codes.reshape(1, *codes.shape[-2:])  # EnCodec has a dimension of chunks before it
        if hasattr(quantizer, "from_codes"):
            latents = quantizer.from_codes(codes)[0]
        elif hasattr(quantizer, "decode"):
            latents = quantizer.decode(
                codes.transpose(0, 1) if self._loaded.model.config.model_type == "encodec" else codes
            )
        else:
            return None
        return np.asarray(latents[0].T.float().cpu().numpy())  # (channels, frames) -> (frames, channels)

    def decode(self, ids: np.ndarray, coding: Coding) -> np.ndarray:
        """`Coder.decode`."""
        like, carried = coding.carried
        codes = torch.tensor(np.ascontiguousarray(ids), device=like.device).reshape(like.shape)
        return as_long(self._loaded.decode(codes, carried)[0], coding.num_samples)


def coder_of(system: System) -> Coder:
    """Give a system as what can be probed.

    Raises:
        InputError: where it has no encoder and decoder that can be used apart.
    """
    if isinstance(system, Model):
        return CodecCoder(system)
    if isinstance(system, TransformersCodec):
        return TransformersCoder(system)
    raise InputError("has no codes that could be probed; expected a codec", subject=system.name)


def as_long(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut samples (samples,) to a length, or fill them up with silence."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
