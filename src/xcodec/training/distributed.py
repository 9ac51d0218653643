"""Several processes that train one model, as torchrun starts them; alone, a process is the first of one."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from xcodec.device import choose_device

__all__ = ["Processes", "joined", "no_sync_if"]


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those that train.

    Args:
        device: what it trains on.
        rank: its number.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are averaged over the processes."""
        if self.count == 1 or not any(parameter.requires_grad for parameter in module.parameters()):
            return module
        # Buffers are codebooks, which the processes keep equal themselves. A loss of weight 0 leaves its layers unused.
        return DistributedDataParallel(
            module,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=True,
        )

    def broadcast(self, module: nn.Module) -> None:
        """Give a module the weights that it has in the first process."""
        if self.count > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def any(self, here: bool) -> bool:
        """Tell whether something holds in at least one process."""
        if self.count == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def total(self, here: float) -> float:
        """Add up a number over the processes."""
        if self.count == 1:
            return here
        number = torch.tensor(here, device=self.device, dtype=torch.float32)
        dist.all_reduce(number)
        return float(number)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            dist.barrier()


def no_sync_if(module: nn.Module, condition: bool) -> AbstractContextManager[None]:
    """Let gradients add up without being averaged where `condition` holds: all but the last backward pass of a step."""
    return module.no_sync() if condition and isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """Meet the other processes that torchrun started, if it did, and part from them at the end.

    Args:
        device: as for `choose_device`; of several GPUs each process of a machine takes its own.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if count == 1:
        yield Processes(chosen)
        return
    if str(chosen) == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
