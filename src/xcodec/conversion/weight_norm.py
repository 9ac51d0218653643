"""Weight normalisation (Salimans and Kingma, 2016), folded away: a stored direction and magnitude become the weight.

It reparametrises training only; at inference the folded weight computes the same.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from xcodec.errors import CheckpointError

__all__ = ["fold_weight_norm", "fold_weight_norms"]

# The magnitude's and the direction's suffix, as torch.nn.utils.parametrizations.weight_norm and as the older
# torch.nn.utils.weight_norm store them.
SPELLINGS = ((".parametrizations.weight.original0", ".parametrizations.weight.original1"), (".weight_g", ".weight_v"))


def fold_weight_norm(magnitude: Tensor, direction: Tensor) -> Tensor:
    """Compute magnitude * direction / |direction|, one norm for each entry of the first dimension.

    Args:
        magnitude: shape (n, 1, ..., 1), with as many dimensions as `direction`.
        direction: shape (n, ...).

    Returns:
        The weight, of the shape and dtype of `direction`; computed in float64.

    Raises:
        CheckpointError: where the two shapes do not belong together.
    """
    expected = (direction.shape[0],) + (1,) * (direction.ndim - 1)
    if tuple(magnitude.shape) != expected:
        raise CheckpointError(
            f"weight norm: a direction of shape {tuple(direction.shape)} takes a magnitude of shape {expected}, "
            f"got {tuple(magnitude.shape)}"
        )
    wide = direction.double()
    norm: Tensor = torch.linalg.vector_norm(wide.flatten(1), dim=1).view(expected)
    return (magnitude.double() / norm * wide).to(direction.dtype)


def fold_weight_norms(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """Fold every pair of magnitude and direction among named tensors, in either spelling.

    Returns:
        The tensors, with each pair replaced by `NAME.weight`; and for each such weight the names of its pair. Half of a
        pair is left as it is.
    """
    folded = dict(tensors)
    pairs = {}
    for magnitude_suffix, direction_suffix in SPELLINGS:
        for name in tensors:
            module = name.removesuffix(magnitude_suffix)
            if module == name or module + direction_suffix not in tensors:
                continue
            pair = (name, module + direction_suffix)
            folded[f"{module}.weight"] = fold_weight_norm(folded.pop(pair[0]), folded.pop(pair[1]))
            pairs[f"{module}.weight"] = pair
    return folded, pairs
