"""The codecs of transformers that are not of this package, such as EnCodec, DAC and Mimi, as systems."""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xcodec.audio import Audio
from xcodec.bandwidth import choose_bandwidth
from xcodec.device import Precision
from xcodec.errors import CheckpointError, InputError, first_line, one_line
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.operations import SECONDS, macs_of
from xcodec.evaluation.systems.system import Reconstruction, ReconstructionError, System, Tokens
from xcodec.models.registry import FAMILIES

__all__ = ["TransformersCodec", "TransformersModel", "is_of_transformers"]

SCALE_BITS = 32  # of the loudness that EnCodec at 48 kHz keeps of each chunk, a float32
COUNTS = {"num_quantizers": "num_quantizers", "n_quantizers": "n_codebooks"}
"""By the name that `encode` has for the number of codebooks: the configuration's name for how many there are."""
CARRIED = ("audio_scales", "last_frame_pad_length")
"""What `decode` takes besides codes of what `encode` gave."""


def is_of_transformers(name: str) -> bool:
    """Tell whether a checkpoint's config.json says a model of transformers that is no codec of this package.

    Args:
        name: a folder or a hub id.
    """
    from transformers import CONFIG_MAPPING, PretrainedConfig

    if Path(name).is_file():
        return False
    try:
        config, _ = PretrainedConfig.get_config_dict(name)
    except (OSError, ValueError):  # whoever loads it says what is wrong
        return False
    return config.get("model_type") not in FAMILIES and config.get("model_type") in CONFIG_MAPPING


@dataclass(frozen=True)
class TransformersModel:
    """A model of transformers with `encode` and `decode`, and its feature extractor.

    Attributes:
        name: a folder or a hub id.
        model: the model.
        extractor: what brings samples into its form.
        precision: what it computes in.
    """

    name: str
    model: Any
    extractor: Any
    precision: Precision

    @classmethod
    def load(cls, name: str, device: torch.device, precision: Precision = Precision.FLOAT32) -> "TransformersModel":
        """Load it.

        Args:
            name: a folder or a hub id.
            device: where it runs.
            precision: float32, bfloat16 or float16.

        Raises:
            CheckpointError: where it cannot be loaded, lacks a weight, or is no codec.
            InputError: for int8.
        """
        from transformers import AutoFeatureExtractor, AutoModel

        if precision is Precision.INT8:
            raise InputError("int8 is for the codecs of this package; expected another type", subject=name)
        try:
            model, loading = AutoModel.from_pretrained(name, dtype=precision.floating_point, output_loading_info=True)
            extractor = AutoFeatureExtractor.from_pretrained(name)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"cannot be loaded by transformers: {one_line(error)}", subject=name) from None
        if missing := sorted(loading["missing_keys"]):
            raise CheckpointError(f"lacks {len(missing)} of its weights, such as {missing[0]}", subject=name)
        if not hasattr(model, "encode") or "audio_codes" not in parameters(getattr(model, "decode", None)):
            kind = type(model).__name__
            raise CheckpointError(f"is a {kind}, which has no codes; expected a codec", subject=name)
        return cls(name, model.to(device).eval(), extractor, precision)

    @torch.inference_mode()
    def encode(self, samples: np.ndarray, options: Mapping[str, float]) -> "Encoded":
        """Encode mono samples, float32 (samples,) at the model's rate, in as many channels as it takes.

        Args:
            samples: what to encode.
            options: of the model's `encode`, as `options_of` gives them.
        """
        model, extractor = self.model, self.extractor
        channels = getattr(extractor, "feature_size", 1)
        sound = samples if channels == 1 else np.stack([samples] * channels)
        inputs = extractor(sound, sampling_rate=extractor.sampling_rate, return_tensors="pt").to(model.device)
        inputs["input_values"] = inputs["input_values"].to(model.dtype)
        taken = {name: value for name, value in inputs.items() if name in parameters(model.encode)}
        output = model.encode(**taken, **options, return_dict=True)
        return Encoded(output, {name: output.get(name) for name in CARRIED if name in parameters(model.decode)})

    @torch.inference_mode()
    def decode(self, codes: torch.Tensor, carried: Mapping[str, Any]) -> np.ndarray:
        """Decode codes as `encode` shapes them to float32 (channels, samples); `carried` is as `Encoded` has it."""
        decoded = self.model.decode(audio_codes=codes, **carried, return_dict=True).audio_values
        return np.asarray(decoded.float().cpu().numpy().reshape(-1, decoded.shape[-1]))

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Give what the model says when it fails as a ReconstructionError."""
        try:
            yield
        except (RuntimeError, ValueError, IndexError) as error:
            raise ReconstructionError(f"{type(self.model).__name__} says: {first_line(error)}") from None


@dataclass(frozen=True)
class Encoded:
    """What a model's `encode` gives.

    Args:
        output: all of it.
        carried: of it, what `decode` takes besides the codes.
    """

    output: Any
    carried: dict[str, Any]


class TransformersCodec(System):
    """A codec of transformers by the interface that they share: a feature extractor, `encode` and `decode`.

    A recording is brought to the codec's rate and number of channels; what comes back is cut to its length.

    Args:
        loaded: the model.
        name: as reports call it.
        rate: what to ask of it: kbit/s of a codec that is asked for a bandwidth, as EnCodec is, and else the number of
            codebooks, as of Mimi and DAC. None for all that it has.

    Raises:
        InputError: where it does not have that.
    """

    def __init__(self, loaded: TransformersModel, name: str, rate: float | None = None) -> None:
        self.loaded, self.name = loaded, name
        self.options = options_of(loaded, rate)
        self.parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
        asked = ", ".join(f"{option}={value:g}" for option, value in self.options.items())
        self.about = (
            f"{type(loaded.model).__name__} of transformers, {loaded.name}: {self.parameters / 1e6:.1f}M parameters, "
            f"{loaded.extractor.sampling_rate} Hz, {asked or 'without settings'}, on {loaded.model.device} in "
            f"{loaded.precision.value}"
        )

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Encode and decode.

        Raises:
            ReconstructionError: where the model fails, as on clips shorter than its kernels.
        """
        sampling_rate = self.loaded.extractor.sampling_rate
        samples = recording.mono().resample(sampling_rate).samples[0]
        encoded, decoded = self._encode_and_decode(samples)
        ids, size = ids_of(encoded), self.loaded.model.config.codebook_size
        scales = [scale for scale in encoded.get("audio_scales") or () if scale is not None]
        bits = ids.size * math.log2(size) + SCALE_BITS * len(scales)
        return Reconstruction(Audio(decoded[:, : len(samples)], sampling_rate), bits, Tokens(ids, (size,) * len(ids)))

    def count_macs(self) -> float:
        """Count the multiplications and additions for one second of audio."""
        silence = np.zeros(SECONDS * self.loaded.extractor.sampling_rate, np.float32)
        return macs_of(lambda: self._encode_and_decode(silence), self.loaded.model) / SECONDS

    def _encode_and_decode(self, samples: np.ndarray) -> tuple[Any, np.ndarray]:
        """Give what `encode` gives of mono samples at the model's rate, and the samples after `decode`.

        Raises:
            ReconstructionError: where the model fails.
        """
        with self.loaded.speaking():
            encoded = self.loaded.encode(samples, self.options)
            return encoded.output, self.loaded.decode(encoded.output.audio_codes, encoded.carried)


def options_of(loaded: TransformersModel, rate: float | None) -> dict[str, float]:
    """Turn what stands behind @ into the argument of `encode` that it is for.

    Raises:
        InputError: where the codec has no such setting, or not this one.
    """
    config, takes = loaded.model.config, parameters(loaded.model.encode)
    if "bandwidth" in takes:
        return {"bandwidth": choose_bandwidth(rate, sorted(config.target_bandwidths), loaded.name)}
    for argument, number in COUNTS.items():
        if argument in takes:
            least, most = getattr(config, "num_semantic_quantizers", 1), getattr(config, number)
            if rate is not None and (rate != int(rate) or not least <= rate <= most):
                raise InputError(
                    f"{loaded.name} is asked for a number of codebooks, from {least} to {most}, not for kbit/s; "
                    f"got {rate:g}",
                    remedy=f"write {loaded.name}@{most}, or leave @ out for all of them",
                )
            return {argument: most if rate is None else int(rate)}
    if rate is not None:
        raise InputError(f"{loaded.name} has no setting for @{rate:g}", remedy="leave it out")
    return {}


def ids_of(encoded: Any) -> np.ndarray:
    """Give the codes of one clip as (codebooks, frames): EnCodec's chunks in a row, without padding."""
    ids = encoded.audio_codes.cpu().numpy()
    if ids.ndim == 4:  # (chunks, 1, codebooks, frames)
        ids = np.concatenate(list(ids[:, 0]), axis=-1)
        return ids[:, : ids.shape[1] - (encoded.get("last_frame_pad_length") or 0)]
    return np.asarray(ids[0])


def parameters(function: Any) -> set[str]:
    """List the names of the arguments that a function takes; none of None."""
    return set() if function is None else set(inspect.signature(function).parameters)
