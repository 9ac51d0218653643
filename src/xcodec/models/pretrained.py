"""The base of the models: transformers' PreTrainedModel with strict loading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.configuration_utils import PreTrainedConfig
from typing_extensions import Self

from xcodec.errors import CheckpointError, InputError, some_of
from xcodec.files import open_to_umask
from xcodec.models.checkpoint import HUB_ARGUMENTS, resolve_checkpoint
from xcodec.models.configuration import CodecConfig
from xcodec.models.stored import Stored
from xcodec.models.weights import check_finite, check_tensors, shapes_of
from xcodec.modules.hubert import Hubert
from xcodec.modules.int8 import is_int8
from xcodec.modules.norm import TimeNorm
from xcodec.modules.packing import pack_weights, unpack_weights
from xcodec.modules.snake import Snake
from xcodec.modules.time import Tiled, Whole
from xcodec.modules.wav2vec2_bert import Wav2Vec2Bert

__all__ = ["StrictPreTrainedModel", "reject_unknown_kwargs"]

TILE_BYTES = 1 << 29  # on a CPU: half a minute of the released X-Codec2's acoustic encoder
LEAST_TILE_BYTES = 1 << 25  # less makes tiles so short that most work is done twice


class StrictPreTrainedModel(PreTrainedModel):
    """A model whose checkpoint loads completely or not at all, and whose memory grows little with a clip's length.

    Attributes:
        max_memory: bytes that intermediate results may take, beyond the weights, where no gradient is taken; tiles of
            time are made as short as this needs. What is as long as the clip, about `bytes_per_code` for each of its
            codes, is needed whatever is asked. None gives tiles half a GiB on a CPU, a quarter of a GPU's memory there.
        has_encoder: whether it can encode; False where it was loaded with `decoder_only=True`, or its checkpoint is a
            decoder alone.
        has_decoder: whether it can decode; False where it was loaded with `encoder_only=True`.
        has_compiled_layers: whether `compile_layers` was called.
    """

    config_class: type[CodecConfig]
    config: CodecConfig

    max_memory: int | None = None
    has_encoder: bool = True
    has_decoder: bool = True
    has_compiled_layers: bool = False

    # Names of modules that only one of encode and decode needs.
    encoder_parts: tuple[str, ...] = ()
    decoder_parts: tuple[str, ...] = ()

    # Names of tensors that a checkpoint may hold though the model has no use for them.
    unused_tensors: tuple[str, ...] = ()

    # Kinds of layers that are repeated, each compiled once; and of blocks that differ, and are compiled one by one.
    repeated_layers: tuple[type[nn.Module], ...] = ()
    single_blocks: tuple[type[nn.Module], ...] = ()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, Snake):
            init.ones_(module.alpha)
        elif isinstance(module, TimeNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, Hubert | Wav2Vec2Bert) and hasattr(module, "masked_spec_embed"):
            init.uniform_(module.masked_spec_embed)

    def _choose_half(self, encoder_only: bool, decoder_only: bool) -> None:
        """Settle which half `__init__` is to build, if not both."""
        if encoder_only and decoder_only:
            raise InputError(
                "encoder_only and decoder_only were both asked for", remedy="give one of them, or none for both"
            )
        if encoder_only and not self.config.has_encoder:
            raise InputError(
                "encoder_only was asked for, and the checkpoint is a decoder alone",
                remedy="encode with the model whose codes it decodes",
            )
        self.has_encoder, self.has_decoder = not decoder_only and self.config.has_encoder, not encoder_only

    @property
    def is_half(self) -> bool:
        """Whether the checkpoint has more than was loaded."""
        return not self.has_decoder or self.has_encoder != self.config.has_encoder

    @classmethod
    def absent_parts(cls, encoder_only: bool, decoder_only: bool) -> tuple[str, ...]:
        """Names of the modules that half a model does not have."""
        return cls.encoder_parts * decoder_only + cls.decoder_parts * encoder_only

    def _needs(self, half: str) -> None:
        """Refuse to do what needs the half, "encoder" or "decoder", that was not loaded."""
        if half == "encoder" and not self.config.has_encoder:
            raise InputError(
                "the model is a decoder alone and has no encoder",
                remedy="encode with the model whose codes it decodes",
            )
        if not getattr(self, f"has_{half}"):
            other = "decoder" if half == "encoder" else "encoder"
            raise InputError(
                f"the model was loaded with {other}_only=True and has no {half}", remedy="load it without that"
            )

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint, as transformers does.

        Raises:
            InputError: where the model is only half of one, or its weights are in int8.
        """
        if self.is_half:
            self._needs("decoder")
            self._needs("encoder")
        if is_int8(self):
            raise InputError(
                "the model was loaded in int8, which no checkpoint holds", remedy="load it without that to save it"
            )
        super().save_pretrained(*args, **kwargs)
        folder = Path(args[0] if args else kwargs["save_directory"])
        for path in folder.glob("*.safetensors"):
            open_to_umask(path)

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
        cls, pretrained_model_name_or_path: str | Path | None, *args: Any, **kwargs: Any
    ) -> Self:
        """Load a checkpoint in transformers' layout.

        The names of its tensors tell which codec it is of, whatever model_type its config.json says.

        Args:
            pretrained_model_name_or_path: a folder, a hub id, or "mini" or "mini-general", which come with the package;
                None takes the tensors from `state_dict`, and needs `config` too.
            *args: as in `transformers.PreTrainedModel.from_pretrained`.
            **kwargs: likewise: `dtype`, `device_map`, `revision`, `cache_dir`, `local_files_only`, `subfolder`,
                `config`, `state_dict`, fields of the configuration, ... And `encoder_only=True` or `decoder_only=True`,
                which builds and reads only what `encode` or `decode` needs; the other half's tensors have to be in
                the checkpoint all the same.

        Raises:
            CheckpointError: where the checkpoint is not found, is of another model, or lacks, adds or reshapes a
                tensor, or holds numbers that are NaN or infinite; it names them.
            InputError: where `state_dict` is given beside a checkpoint, or None without both others.
        """
        hub_arguments = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        state_dict = kwargs.pop("state_dict", None)
        if pretrained_model_name_or_path is None:
            if state_dict is None or kwargs.get("config") is None:
                raise InputError("from_pretrained(None) makes a model of `config` and `state_dict`", remedy="give both")
            return cls.from_stored(Stored("the state_dict", None, {}, state_dict), *args, **kwargs)
        if state_dict is not None:
            raise InputError(
                f"`state_dict` was given beside {pretrained_model_name_or_path}, which has tensors of its own",
                remedy="give None as the name to load the state_dict",
            )
        folder = resolve_checkpoint(pretrained_model_name_or_path, **hub_arguments)
        return cls.from_stored(Stored.read(folder, str(pretrained_model_name_or_path)), *args, **kwargs)

    @classmethod
    def from_stored(
        cls,
        stored: Stored,
        *args: Any,
        config: PreTrainedConfig | str | Path | None = None,
        encoder_only: bool = False,
        decoder_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Make the model of a checkpoint that was read; the arguments and errors are those of `from_pretrained`."""
        cls._check_layout(stored)
        fields = {name: kwargs.pop(name) for name in cls._config_fields() & kwargs.keys()}
        chosen = cls._configuration(stored, config, fields)
        chosen.check_against(len(stored.tensors), stored.name)
        try:
            with torch.device("meta"), init.no_init_weights():
                expected = {name: tuple(tensor.shape) for name, tensor in cls(chosen).state_dict().items()}
        except Exception as error:  # any, according to which size is odd
            raise CheckpointError(
                f"the config of {stored.name} describes no model that can be built: {error or type(error).__name__}"
            ) from error
        tensors = {name: x for name, x in stored.tensors.items() if name in expected or name not in cls.unused_tensors}
        check_tensors(shapes_of(tensors), expected, stored.name)
        absent = cls.absent_parts(encoder_only, decoder_only)
        wanted = {name: x for name, x in tensors.items() if name.partition(".")[0] not in absent}
        check_finite(wanted.items(), stored.name)
        kwargs |= {"encoder_only": encoder_only, "decoder_only": decoder_only}
        loaded: Any = super().from_pretrained(None, *args, config=chosen, state_dict=wanted, **kwargs)
        if stored.path is not None:
            model = loaded[0] if isinstance(loaded, tuple) else loaded
            model.name_or_path = model.config.name_or_path = str(stored.path)
        made: Self = loaded  # or, as in transformers, a tuple, where `output_loading_info` asks for one
        return made

    @classmethod
    def _check_layout(cls, stored: Stored) -> None:
        """Refuse a checkpoint that is plainly another's; what is missing in one of ours is told by name later."""
        from xcodec.models.registry import layout_of  # which lists this model among the others

        ours, layout, said = cls.config_class.model_type, layout_of(stored), stored.config.get("model_type")
        if layout is not None and layout.is_original:
            reader = layout.family.original_reader
            raise CheckpointError(
                f"is an original {layout.family.name} checkpoint, by its tensors' names",
                subject=stored.name,
                remedy=f"convert it first: xcodec convert {stored.name} NEW_FOLDER"
                + (f", or read it as it is with {reader}" if reader else ""),
            )
        if layout is not None and layout.family.model_type != ours:
            raise CheckpointError(
                f"is of model_type {layout.family.model_type!r}, by its tensors' names; {cls.__name__} reads {ours!r}",
                subject=stored.name,
            )
        if layout is None and said is not None and said != ours:
            raise CheckpointError(
                f"is of model_type {said!r}, and its tensors are {some_of(sorted(stored.tensors), 3)}; "
                f"{cls.__name__} reads {ours!r}",
                subject=stored.name,
            )

    @classmethod
    def _config_fields(cls) -> set[str]:
        """Names of the configuration's fields that may be given to `from_pretrained` one by one."""
        return cls.config_class.field_names() | {"return_dict", "output_hidden_states", "output_attentions"}

    @classmethod
    def _configuration(
        cls, stored: Stored, config: PreTrainedConfig | str | Path | None, fields: Mapping[str, Any]
    ) -> CodecConfig:
        """The configuration that was given, or the checkpoint's, with `fields` in place of its own."""
        own_class: type[CodecConfig] = cls.config_class
        if isinstance(config, own_class) and not fields:
            return config
        if isinstance(config, PreTrainedConfig):  # transformers' own class, say
            return own_class.from_fields({**config.to_dict(), **fields}, stored.name)
        if config is not None:
            return own_class.from_pretrained(config, **fields)
        return own_class.from_fields({**stored.config, **fields}, stored.name)


def reject_unknown_kwargs(kwargs: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that ask for something; those that ask for nothing are transformers' habit.

    `output_hidden_states` and `output_attentions` change nothing, here and in transformers: the codecs' outputs have no
    such fields. They are taken, since code that serves many models passes them to all.
    """
    taken = ("output_hidden_states", "output_attentions")
    if unknown := sorted(name for name, value in kwargs.items() if value not in (None, False) and name not in taken):
        raise InputError(
            "not known here; see the method's documentation for its arguments", argument=", ".join(unknown)
        )
