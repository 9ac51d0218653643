"""Weights in the order in which oneDNN reads them, on the CPU, so that not every product has to put them into it.

For products of few rows, as of a stream's chunk, that is a large share of the work. A packed weight is a tensor of
torch's mkldnn layout, which little but oneDNN's operators takes. So a module unpacks its weight for all else:
gradients, another device or dtype, copying, pickling and loading; and in a `state_dict` it is plain.
"""

import itertools
import platform
from abc import ABC, abstractmethod
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from typing_extensions import Self

__all__ = [
    "EVEN_STEPS",
    "FEWEST_STEPS",
    "HAS_AVX2",
    "HAS_AVX512",
    "HAS_ONEDNN",
    "PACKED",
    "TYPICAL_ROWS",
    "TYPICAL_STEPS",
    "Packable",
    "pack_weights",
    "unpack_weights",
]

OPERATORS = ("_linear_pointwise", "_convolution_pointwise", "_reorder_linear_weight", "_reorder_convolution_weight")
HAS_ONEDNN = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS)
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")  # elsewhere torch's operators were not tried
TYPICAL_ROWS = 512  # of a linear map; the order served from 1 to 6,000 as well as an order of their own
TYPICAL_STEPS = 4096  # of a convolution; the order for 512 was a third slower at 40,000
HAS_AVX2 = torch.backends.cpu.get_cpu_capability() == "AVX2"
HAS_AVX512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
FEWEST_STEPS = 128  # of a convolution that is served in that order with AVX-512
EVEN_STEPS = 4  # with AVX2 multiples of so many are served in that order
NARROW = 64  # weights with fewer inputs or outputs cost nothing

PACKED: WeakValueDictionary[int, "Packable"] = WeakValueDictionary()
"""The packed modules by their `number`, for the operators in compiled graphs, which take no packed tensor."""
_numbers = itertools.count()


class Packable(ABC, nn.Module):
    """A module whose `weight` can be packed.

    Attributes:
        is_packed: whether it is.
        number: under which `PACKED` has it then, int64 (). A tensor, so that one compiled graph serves many layers.
        narrow: weights with fewer inputs or outputs stay plain.
    """

    weight: Tensor
    narrow: int = NARROW
    is_packed: bool = False
    number: Tensor
    _dtype: torch.dtype
    _was_trained: bool = True

    @abstractmethod
    def packed(self) -> Tensor:
        """Return the plain weight, packed."""

    @abstractmethod
    def unpacked(self) -> Tensor:
        """Return the packed weight, plain and in its checkpoint's shape."""

    @property
    def plain_weight(self) -> Tensor:
        """The weight, packed or not, as operators take it that know no packed one."""
        return self.unpacked() if self.is_packed else self.weight

    def pack(self) -> None:
        """Pack the weight: where it is float32 or bfloat16, on an x86 processor, not narrow, and a parameter."""
        weight = self._parameters.get("weight")  # of a convolution under weight normalisation it is none
        if self.is_packed or weight is None or weight.device.type != "cpu" or min(weight.shape[:2]) < self.narrow:
            return
        if weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and _has_bfloat16()):
            number = next(_numbers)
            self.number, PACKED[number] = torch.tensor(number), self
            self._was_trained, self._dtype = weight.requires_grad, weight.dtype
            self.weight = nn.Parameter(self.packed(), requires_grad=False)
            self.is_packed = True

    @torch.inference_mode(mode=False)  # whose tensors could not be trained
    @torch.no_grad()
    def unpack(self) -> None:
        """Undo `pack`."""
        if self.is_packed:
            self.weight = nn.Parameter(self.unpacked(), requires_grad=self._was_trained)
            self.is_packed = False

    def use_packed_or_unpack(self, x: Tensor) -> bool:
        """Tell whether the packed weight serves an input; where that needs gradients, unpack it.

        The weight stays unpacked, since doing so at every call would take longer than the call;
        but for compiled graphs, which change no module.
        """
        if not self.is_packed or x.dtype != self._dtype or x.numel() == 0 or torch.is_autocast_enabled("cpu"):
            return False
        bias = self._parameters.get("bias")
        if not (torch.is_grad_enabled() and (x.requires_grad or (bias is not None and bias.requires_grad))):
            return True
        if not torch.compiler.is_compiling():
            self.unpack()
        return False

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.is_packed:
            destination[f"{prefix}weight"] = self.unpacked()

    def _load_from_state_dict(self, *args: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*args)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self.unpack()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Self:
        """`torch.nn.Module.train`."""
        if mode:
            self.unpack()
        return super().train(mode)

    def __getstate__(self) -> Any:
        """Return what is copied and pickled."""
        self.unpack()
        return super().__getstate__()  # type: ignore[no-untyped-call]


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@torch.inference_mode(mode=False)
@torch.no_grad()
def pack_weights(model: nn.Module) -> None:
    """Pack the weights of a model's modules, one at a time in place of the plain ones; results stay, but for rounding.

    What is not packed is copied, so that a file whose mapped memory the weights were is let go.
    """
    if not HAS_ONEDNN or not IS_X86:
        return
    packable = [module for module in model.modules() if isinstance(module, Packable)]
    for module in packable:
        module.pack()
    if any(module.is_packed for module in packable):
        for tensor in (*model.parameters(), *model.buffers()):
            if not (tensor.is_mkldnn or tensor.is_inference()):
                tensor.data = tensor.detach().clone()


def unpack_weights(model: nn.Module) -> None:
    """Undo `pack_weights`."""
    for module in model.modules():
        if isinstance(module, Packable):
            module.unpack()
