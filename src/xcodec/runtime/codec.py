"""Codec: an exported codec on ONNX Runtime, with the interface of `xcodec.Codec`."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xcodec.codes import CodecIdentity
from xcodec.errors import CheckpointError, InputError, first_line, require
from xcodec.recording_codec import RecordingCodec
from xcodec.runtime.manifest import DECODER, DECODER_STEP, ENCODER, LEFT_OUT, Manifest

__all__ = ["Codec"]

CPU = "CPUExecutionProvider"
ERROR = 3  # of ONNX Runtime's levels: below it are remarks on what it optimises


class Codec(RecordingCodec):
    """A codec in a folder that `xcodec export` wrote. Each half is loaded when it is first needed.

    The graphs take padded batches, but here every clip goes through them alone, so that it gets bit for bit what it
    gets alone.

    Args:
        folder: where it is.
        threads: how many to use; None is as many as there are cores.
        providers: names of ONNX Runtime's execution providers, in the order in which they are tried.

    Raises:
        CheckpointError: where the folder holds no exported codec.
        MissingExtraError: without onnxruntime.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, threads: int | None = None, providers: Sequence[str] = (CPU,)
    ) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        self.name = self.manifest.name
        self.threads, self.providers = threads, tuple(providers)
        self._onnxruntime = require("onnxruntime", "onnx")

    def __repr__(self) -> str:
        return (
            f"Codec({self.name}: {self.sampling_rate} Hz, {self.frame_rate:g} codes/s of {self.codebook_sizes}, "
            f"on ONNX Runtime in {self.manifest.dtype})"
        )

    @property
    def format(self) -> Manifest:
        """What the codec reads and writes: the manifest says."""
        return self.manifest

    @property
    def identity(self) -> CodecIdentity:
        """Which model this is."""
        return self.manifest.identity

    @cached_property
    def encoder(self) -> Any:
        """The session of the encoder's graph."""
        return self._session(ENCODER)

    @cached_property
    def decoder(self) -> Any:
        """The session of the decoder's graph."""
        return self._session(DECODER)

    @cached_property
    def decoder_step(self) -> Any:
        """The session of the graph of a decoder's next step, which `StreamDecoder` runs."""
        return self._session(DECODER_STEP)

    def encode_samples(self, clips: list[np.ndarray], bandwidth: float | None) -> list[np.ndarray]:
        """`RecordingCodec.encode_samples`."""
        codebooks = self.manifest.codebooks_at(bandwidth)
        return [self._encoded(clip)[:codebooks] for clip in clips]

    def decode_ids(self, ids: list[np.ndarray]) -> list[np.ndarray]:
        """`RecordingCodec.decode_ids`."""
        return [self._decoded(clip) for clip in ids]

    def _encoded(self, clip: np.ndarray) -> np.ndarray:
        """Encode samples (samples,) to ids of all codebooks, (codebooks, frames)."""
        if len(clip) < self.manifest.shortest_clip:
            raise InputError(
                f"a clip of {len(clip)} samples at {self.sampling_rate} Hz is too short for one code",
                remedy=f"pad it with zeros to {self.manifest.shortest_clip}",
            )
        [codes], [length] = self.encoder.run(None, {"audio": clip[None], "lengths": np.array([len(clip)], np.int64)})
        return np.asarray(codes[:, :length])

    def _decoded(self, ids: np.ndarray) -> np.ndarray:
        """Decode ids (codebooks, frames) of the first codebooks to samples (samples,)."""
        codes = np.full((1, len(self.codebook_sizes), ids.shape[1]), LEFT_OUT, np.int64)
        codes[0, : len(ids)] = ids
        [samples], [length] = self.decoder.run(None, {"codes": codes, "lengths": np.array([ids.shape[1]], np.int64)})
        return np.asarray(samples[:length])

    def _session(self, name: str) -> Any:
        path = self.folder / name
        if not path.is_file():
            again = "export the model again, " + ("with --stream" if name == DECODER_STEP else "both halves of it")
            raise CheckpointError(f"there is no {name}", subject=self.folder, remedy=again)
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or 0
        options.log_severity_level = ERROR
        if self.providers == (CPU,) and name == ENCODER and self.manifest.dtype == "float32":
            # The export has done what makes it faster; looking for more takes as long as encoding seconds of speech.
            options.graph_optimization_level = self._onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return self._onnxruntime.InferenceSession(path, options, providers=list(self.providers))
        except Exception as error:  # onnxruntime's have no common base
            raise CheckpointError(f"ONNX Runtime does not load it: {first_line(error)}", subject=path) from error
