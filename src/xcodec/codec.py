"""Codec: recordings in, codes out, recordings back. It resamples, downmixes, batches and picks the device."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import torch

from xcodec.codes import CodecIdentity
from xcodec.device import Precision, choose_device, choose_precision, memory_size
from xcodec.errors import InputError
from xcodec.loading import load_checkpoint
from xcodec.models.checkpoint import HUB_ARGUMENTS, public_name
from xcodec.models.codec_model import CodecModel
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.identity import fingerprint_model
from xcodec.modules.int8 import is_int8, quantize_weights
from xcodec.modules.packing import Packable
from xcodec.recording_codec import BATCH_SECONDS, AudioSource, CodesSource, RecordingCodec

__all__ = ["AudioSource", "Codec", "CodesSource"]

COMPILED_SECONDS = 1.1 * BATCH_SECONDS  # of padded audio at most, in one batch of compiled layers


class Codec(RecordingCodec):
    """A codec model with all that surrounds it.

    Args:
        model: the codec's model; it is put into evaluation mode.
        feature_extractor: its feature extractor.
        identity: which model this is, as `codes.codec` will tell, or what works it out when it is first needed; None
            hashes the model's configuration and weights then.
        name: what to call it; None means the last name of where the model came from.
    """

    def __init__(
        self,
        model: CodecModel,
        feature_extractor: WaveformFeatureExtractor,
        identity: CodecIdentity | Callable[[], CodecIdentity] | None = None,
        name: str | None = None,
    ) -> None:
        self.model: CodecModel = model.train(False)
        self.feature_extractor = feature_extractor
        self.name = (public_name(model.name_or_path) or type(model).__name__) if name is None else name
        self._identity = identity

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
        max_memory: int | str | None = None,
        compile: bool = False,
        pack: bool = True,
        encoder_only: bool = False,
        decoder_only: bool = False,
        decoder: str | os.PathLike[str] | None = None,
        **hub_arguments: Any,
    ) -> "Codec":
        """Load a checkpoint.

        Args:
            name_or_path: a folder, a hub id such as "HKUSTAudio/xcodec2-hf" or "hf-audio/xcodec-hubert-general",
                "mini-general", or None for `mini`; these two come with the package. Checkpoints in their authors' own
                layout, folders, files or hub ids such as "neuphonic/neucodec", are converted in memory each time;
                `xcodec convert` does so once for all.
            device: such as "cpu", "cuda", "cuda:1" or "mps". None and "auto" take a CUDA device if there is one, and
                the CPU if not.
            dtype: of weights and activations: float32, bfloat16 or float16, by torch's name or as a string; or int8,
                for linear maps and wide convolutions in whole numbers, most of their weights int8, and the rest in
                float32, on a CPU. Only float32 gives the reference's codes exactly.
            max_memory: what intermediate results may take beyond the weights, in bytes or such as "4GiB"; less makes
                long recordings a little slower and changes no result. What is as long as a recording, up to 1.5 MB a
                second with the released X-Codec2, is needed in any case. None takes half a GiB beyond that on a CPU, a
                quarter of the memory on a GPU.
            compile: compile the model's layers with torch's compiler at the first clips, each kind once for every
                length. Compiled layers have no tiles, whatever `max_memory` says; batches of more than a minute run as
                without it.
            pack: on an x86 CPU, bring weights into the order in which its products read them, at a tenth more speed in
                float32 and more in bfloat16, with equal codes. They are copied for it, which a single short clip does
                not repay, and are no longer a file's memory that processes share. See
                `CodecModel.pack_weights`.
            encoder_only: build and read only what `encode` needs; for X-Codec2 as released 442M of 629M parameters.
            decoder_only: build and read only what `decode` needs: 187M of them.
            decoder: of an X-Codec, a Vocos decoder in place of its own: "vocal" or "instrumental" of those that YuE's,
                "m-a-p/xcodec_mini_infer", comes with, or the file of one. It writes 44.1 kHz from the same codes.
            **hub_arguments: `revision`, `cache_dir`, `token`, `local_files_only` and `force_download`, for a hub id;
                and `subfolder`, for a checkpoint that lies in a folder of it, which "OWNER/NAME/FOLDER" says too.

        Raises:
            CheckpointError: where the checkpoint is not found, incomplete or of another kind.
            InputError: for an unknown or unavailable device, dtype or argument.
        """
        if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
            raise InputError(
                f"Codec.from_pretrained has no argument {', '.join(unknown)}; it has device, dtype, "
                f"max_memory, compile, pack, encoder_only, decoder_only, decoder, {', '.join(HUB_ARGUMENTS)}"
            )
        chosen_device, precision = choose_device(device), choose_precision(dtype)
        max_bytes = None if max_memory is None else memory_size(max_memory)
        half = {"encoder_only": encoder_only, "decoder_only": decoder_only}
        loaded = load_checkpoint(name_or_path, hub_arguments, decoder, dtype=precision.floating_point, **half)
        model = loaded.model
        model.max_memory = max_bytes
        torch.nn.Module.to(model, chosen_device)
        if precision is Precision.INT8:
            quantize_weights(model)
        if compile:
            model.compile_layers()
        if pack:
            model.pack_weights()
        return cls(model, loaded.feature_extractor, loaded.identity, loaded.name)

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "Codec":
        """Move the codec to another device, or bring it into another precision, in place, as torch does with a module.

        It stays what it is: codes carry the same identity. Weights that were packed are packed again where the new
        device and dtype have a use for it. Streams that are open are to be ended before.

        Args:
            device: as in `from_pretrained`; None leaves the codec where it is.
            dtype: float32, bfloat16 or float16; None leaves it as it is. What less precision rounded away does not come
                back.

        Returns:
            The codec itself.

        Raises:
            InputError: for an unknown or unavailable device or dtype, or where the codec is or would be in int8, which
                is chosen when it is loaded.
        """
        chosen_device = self.device if device is None else choose_device(device)
        precision = self.precision if dtype is None else choose_precision(dtype)
        if Precision.INT8 in (precision, self.precision) and (precision, chosen_device) != (
            self.precision,
            self.device,
        ):
            raise InputError(
                "a codec comes into int8, and out of it, only when it is loaded",
                remedy="give Codec.from_pretrained the device and the dtype",
            )
        if self._identity is None and not self.model.is_half:
            _ = self.identity  # of the weights as they are
        packed = any(isinstance(module, Packable) and module.is_packed for module in self.model.modules())
        torch.nn.Module.to(self.model, chosen_device, precision.floating_point)
        if packed:
            self.model.pack_weights()
        return self

    def __repr__(self) -> str:
        millions = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        return (
            f"Codec({self.name}: {millions:.1f}M parameters, {self.sampling_rate} Hz, {self.frame_rate:g} codes/s of "
            f"{self.codebook_sizes}, on {self.device} in {self.precision.value})"
        )

    @cached_property
    def identity(self) -> CodecIdentity:
        """Which model this is: the hashes of configuration and weights, computed once (about a second for 2.5 GB)."""
        if self._identity is None:
            return fingerprint_model(self.model, self.name)
        return self._identity() if callable(self._identity) else self._identity

    @property
    def format(self) -> CodecModel:
        """What the codec reads and writes: the model says."""
        return self.model

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return torch.device(self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's activations, and of its weights but for those in whole numbers."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def precision(self) -> Precision:
        """What decides how exact codes and audio are: int8 where weights are whole numbers, and else the dtype."""
        return Precision.INT8 if is_int8(self.model) else choose_precision(self.dtype)

    @torch.inference_mode()
    def encode_samples(self, clips: list[np.ndarray], bandwidth: float | None) -> list[np.ndarray]:
        """`RecordingCodec.encode_samples`."""
        inputs = self.feature_extractor(
            audio=clips, sampling_rate=self.sampling_rate, return_tensors="pt", device=self.device
        ).to(self.device)
        inputs["input_values"] = inputs["input_values"].to(self.dtype)
        with self._graphs_for(inputs["input_values"].numel() / self.sampling_rate):
            encoded = self.model.encode_clips(**inputs, bandwidth=bandwidth)
        assert encoded.codes_mask is not None, "the feature extractor gives a mask"
        lengths = encoded.codes_mask[:, 0].sum(-1).tolist()
        return [ids[:, :length] for ids, length in zip(encoded.codes.cpu().numpy(), lengths, strict=True)]

    @torch.inference_mode()
    def decode_ids(self, ids: list[np.ndarray]) -> list[np.ndarray]:
        """`RecordingCodec.decode_ids`."""
        lengths = [clip.shape[1] for clip in ids]
        padded = torch.zeros(len(ids), len(ids[0]), max(lengths), dtype=torch.int64)
        mask = torch.zeros(len(ids), 1, max(lengths), dtype=torch.int32)
        for i, clip in enumerate(ids):
            padded[i, :, : lengths[i]] = torch.tensor(clip)
            mask[i, :, : lengths[i]] = 1
        with self._graphs_for(mask.numel() / self.frame_rate):
            samples = self.model.decode_clips(padded.to(self.device), mask.to(self.device))
        values = samples[:, 0].float().cpu().numpy()
        per_frame = values.shape[-1] // max(lengths)
        return [row[: length * per_frame] for row, length in zip(values, lengths, strict=True)]

    def _graphs_for(self, seconds: float) -> AbstractContextManager[None]:
        """Leave compiled layers aside for a batch of so many seconds where it is too long for them: they have no tiles.

        torch knows this for the whole process only, other threads and models included, until the batch is done.
        """
        too_long = self.model.has_compiled_layers and seconds > COMPILED_SECONDS
        return torch.compiler.set_stance("force_eager") if too_long else nullcontext()
