"""One network's way downhill: AdamW, its learning rate, and gradients clipped to a largest norm."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xcodec.training.sections import OptimizerRecipe

__all__ = ["Optimization", "learning_rate"]


def learning_rate(recipe: OptimizerRecipe, step: int, steps: int) -> float:
    """Linear warm-up from near zero, then half a cosine down to the final rate at the last step."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    done = min(1.0, (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps))
    fall = recipe.learning_rate - recipe.final_learning_rate
    return recipe.final_learning_rate + fall * 0.5 * (1 + math.cos(math.pi * done))


class Optimization:
    """An optimizer, and the scaling of the loss that float16 needs.

    Args:
        module: whose parameters that take gradients are trained.
        recipe: rates, betas, clipping.
        scaled: whether gradients are computed in float16, which small ones do not survive unscaled.
    """

    def __init__(self, module: nn.Module, recipe: OptimizerRecipe, scaled: bool) -> None:
        self.recipe = recipe
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        device = self.parameters[0].device.type
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=device in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(device, enabled=scaled)

    def gradient(self, loss: Tensor, by: Tensor) -> Tensor:
        """Compute the gradient of a loss by a tensor, scaled, for `backward`; the graph stays, no weight changes."""
        (gradient,) = torch.autograd.grad(self.scaler.scale(loss), by, retain_graph=True)
        return gradient

    def backward(self, losses: Sequence[Tensor], tensor: Tensor | None = None, gradient: Tensor | None = None) -> None:
        """Add the gradients of the sum of losses to those that are there.

        Args:
            losses: scalars.
            tensor: made on the way, which a further loss depends on.
            gradient: of that loss by `tensor`, as `gradient` gives it; None where there is no such loss.
        """
        roots: list[tuple[Tensor, Tensor | None]] = []
        if losses:
            roots.append((self.scaler.scale(torch.stack(list(losses)).sum()), None))
        if tensor is not None and gradient is not None:
            roots.append((tensor, gradient))
        tensors, gradients = [root for root, _ in roots], [gradient for _, gradient in roots]
        torch.autograd.backward(
            tensors, gradients, inputs=self.parameters
        )  # nothing else that a graph holds hears of it

    def update(self, rate: float) -> Tensor:
        """Take a step with the gradients that are there, and forget them.

        Args:
            rate: the learning rate.

        Returns:
            the norm of all gradients before they were clipped. Where it is not finite, no step was taken.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.unscale_(self.optimizer)
        norm: Tensor = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        if bool(torch.isfinite(norm)):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return all that it takes to go on."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
