"""The base of the models: transformers' PreTrainedModel with strict loading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import Self

from xcodec.errors import CheckpointError, InputError
from xcodec.models.checkpoint import HUB_ARGUMENTS, check_tensors, read_model_type, read_shapes, resolve_checkpoint
from xcodec.modules.int8 import is_int8
from xcodec.modules.packing import pack_weights, unpack_weights
from xcodec.modules.time import Tiled, Whole

__all__ = ["StrictPreTrainedModel", "refuse_wishes"]

TILE_BYTES = 1 << 29  # on a CPU: half a minute of the released X-Codec2's acoustic encoder
LEAST_TILE_BYTES = 1 << 25  # less makes tiles so short that most work is done twice


class StrictPreTrainedModel(PreTrainedModel):
    """A model whose checkpoint loads completely or not at all, and whose memory grows little with a clip's length.

    Attributes:
        max_memory: bytes that intermediate results may take, beyond the weights, where no gradient is taken; tiles of
            time are made as short as this needs. What is as long as the clip, about `bytes_per_code` for each of its
            codes, is needed whatever is asked. None gives tiles half a GiB on a CPU, a quarter of a GPU's memory there.
        has_encoder: whether it can encode; False where it was loaded with `decoder_only=True`.
        has_decoder: whether it can decode; False where it was loaded with `encoder_only=True`.
        has_compiled_layers: whether `compile_layers` was called.
    """

    max_memory: int | None = None
    has_encoder: bool = True
    has_decoder: bool = True
    has_compiled_layers: bool = False

    # Names of modules that only one of encode and decode needs.
    encoder_parts: tuple[str, ...] = ()
    decoder_parts: tuple[str, ...] = ()

    # Kinds of layers that are repeated, each compiled once; and of blocks that differ, and are compiled one by one.
    repeated_layers: tuple[type[nn.Module], ...] = ()
    single_blocks: tuple[type[nn.Module], ...] = ()

    def _choose_half(self, encoder_only: bool, decoder_only: bool) -> None:
        """Settle which half `__init__` is to build, if not both."""
        if encoder_only and decoder_only:
            raise InputError("encoder_only and decoder_only were both asked for; give one of them, or none for both")
        self.has_encoder, self.has_decoder = not decoder_only, not encoder_only
        absent = self.encoder_parts * decoder_only + self.decoder_parts * encoder_only
        # They are in the checkpoint, and transformers need not wonder at that.
        self._keys_to_ignore_on_load_unexpected = [rf"^{name}\." for name in absent]

    def _needs(self, half: str) -> None:
        """Refuse to do what needs the half, "encoder" or "decoder", that was not loaded."""
        if not getattr(self, f"has_{half}"):
            other = "decoder" if half == "encoder" else "encoder"
            raise InputError(f"the model was loaded with {other}_only=True and has no {half}; load it without that")

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint, as transformers does.

        Raises:
            InputError: where the model is only half of one, or its linear maps are in int8.
        """
        for half in ("encoder", "decoder"):
            self._needs(half)
        if is_int8(self):
            raise InputError("the model was loaded in int8, which no checkpoint holds; load it without that to save it")
        super().save_pretrained(*args, **kwargs)

    def pack_weights(self) -> None:
        """Bring weights into the order in which a CPU's products read them: faster inference, equal but for rounding.

        They take the place of the plain ones. `state_dict` and `save_pretrained` give plain copies. `train`, `to`,
        copying, pickling and loading unpack the model, which stays so; a call that could be asked for gradients does
        with the layers that it goes through, so call under `torch.no_grad()`.
        """
        pack_weights(self)

    def unpack_weights(self) -> None:
        """Undo `pack_weights`."""
        unpack_weights(self)

    def compile_layers(self) -> None:
        """Compile the model layer by layer: each kind once, for every length and batch.

        What surrounds the layers stays as it is, tiles and checks included. A long clip, whose attention is computed in
        blocks, is to be run under `torch.compiler.set_stance("force_eager")`. On a CPU the convolutional blocks are
        left to the native kernel, which the compiler does not equal.
        """
        kinds = self.repeated_layers + self.single_blocks * (self.device.type != "cpu")
        for module in self.modules():
            if isinstance(module, kinds):
                module.compile(dynamic=True)
        self.has_compiled_layers = True

    @property
    def bytes_per_code(self) -> int:
        """About how much memory a code of a long clip takes, whatever the tiles."""
        raise NotImplementedError

    def tile_bytes(self, num_codes: int) -> int | None:
        """What the intermediate results of one tile may come to, in a batch of so many codes, padding included.

        None means that all has to be computed at once: where gradients are taken, and in a compiled graph.
        """
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return None
        if self.max_memory is not None:
            return max(LEAST_TILE_BYTES, self.max_memory - num_codes * self.bytes_per_code)
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory // 4
        return TILE_BYTES

    def time_of(self, lengths: Tensor | None, num_codes: int) -> Whole:
        """The time of a batch of so many codes, padding included: all at once, or tiles as long as memory allows.

        Args:
            lengths: valid steps of each clip, shape (batch,); None where every step is valid.
            num_codes: as for `tile_bytes`.
        """
        budget = self.tile_bytes(num_codes)
        return Whole(lengths) if budget is None else Tiled(lengths, budget)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> Self:
        """Load a checkpoint in transformers' layout.

        Args:
            pretrained_model_name_or_path: a folder, or a hub id.
            *args: as in `transformers.PreTrainedModel.from_pretrained`.
            **kwargs: likewise: `dtype`, `device_map`, `revision`, `cache_dir`, `local_files_only`, `config`, ... And
                `encoder_only=True` or `decoder_only=True`, which builds and reads only what `encode` or `decode` needs;
                the other half's tensors have to be in the checkpoint all the same.

        Raises:
            CheckpointError: where the checkpoint is not found, is of another model, or lacks, adds or reshapes a
                tensor; it names them.
        """
        hub_arguments = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        folder = Path(pretrained_model_name_or_path)
        if not folder.is_dir() or "subfolder" not in kwargs:
            folder = resolve_checkpoint(pretrained_model_name_or_path, **hub_arguments)
        folder = folder / (kwargs.pop("subfolder", None) or ".")
        assert cls.config_class is not None
        model_type = read_model_type(folder)
        if model_type != cls.config_class.model_type:
            raise CheckpointError(
                f"{pretrained_model_name_or_path} is of model_type {model_type!r}; {cls.__name__} reads "
                f"{cls.config_class.model_type!r}. Original checkpoints are converted with `xcodec convert`"
            )
        config = kwargs.get("config")
        if not isinstance(config, cls.config_class):
            config = cls.config_class.from_pretrained(folder if config is None else config)
        try:
            with torch.device("meta"):
                expected = {name: tuple(tensor.shape) for name, tensor in cls(config).state_dict().items()}
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"the config of {pretrained_model_name_or_path} describes no model that can be built: {error}"
            ) from error
        check_tensors(read_shapes(folder), expected, pretrained_model_name_or_path)
        model: Self = super().from_pretrained(folder, *args, **kwargs)
        return model


def refuse_wishes(kwargs: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that ask for something; those that ask for nothing are transformers' habit."""
    if wishes := sorted(name for name, value in kwargs.items() if value not in (None, False)):
        raise InputError(f"{', '.join(wishes)}: not known here; see the method's documentation for its arguments")
