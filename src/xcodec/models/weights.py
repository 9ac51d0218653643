"""The tensors of a checkpoint folder: found, read without executing anything, and checked completely."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xcodec.errors import CheckpointError, some_of
from xcodec.files import open_to_umask
from xcodec.models.checkpoint import read_json
from xcodec.models.torch_pickle import read_torch_pickle

__all__ = [
    "WEIGHTS",
    "check_finite",
    "check_tensors",
    "has_weights",
    "read_tensor_file",
    "read_tensors",
    "respelled",
    "save_tensors",
    "shapes_of",
    "weight_files",
]

WEIGHTS = "model.safetensors"
# Where the tensors of a folder may be, in order: one file, or shards that an index names.
FILES = (WEIGHTS, "pytorch_model.bin")
# The older spelling of weight norm, which original checkpoints have and transformers 5.0 writes -> torch's own. Only
# that of the positional convolution is kept; all others are folded.
OLDER_WEIGHT_NORM = {
    ".pos_conv_embed.conv.weight_g": ".pos_conv_embed.conv.parametrizations.weight.original0",
    ".pos_conv_embed.conv.weight_v": ".pos_conv_embed.conv.parametrizations.weight.original1",
}


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint folder, memory-mapped, in the dtypes they are stored in, by `respelled` names.

    Args:
        folder: holds `model.safetensors` or, failing that, `pytorch_model.bin`; or shards with an index.

    Raises:
        CheckpointError: where there are none, or a file is missing, damaged, or a pickle that would run code.
    """
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        tensors |= read_tensor_file(path)
    return {name if (ours := respelled(name)) in tensors else ours: tensor for name, tensor in tensors.items()}


def respelled(name: str) -> str:
    """Give the name of a tensor with the positional convolution's weight norm spelled as torch now does."""
    for older, ours in OLDER_WEIGHT_NORM.items():
        if name.endswith(older):
            return name.removesuffix(older) + ours
    return name


@torch.inference_mode(mode=False)  # so that a model that is loaded under it may be packed, moved and trained
def read_tensor_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one file, memory-mapped: safetensors, or what torch.save wrote under any other suffix."""
    if path.suffix != ".safetensors":
        return read_torch_pickle(path)
    with open_safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def has_weights(folder: Path) -> bool:
    """Whether a folder holds tensors under one of the names that checkpoints give them."""
    return any((folder / name).is_file() or index_of(folder, name).is_file() for name in FILES)


def weight_files(folder: Path) -> list[Path]:
    """Find the files of a checkpoint's tensors: one, or the shards that its index names."""
    for name in FILES:
        if (folder / name).is_file():
            return [folder / name]
        if (index := index_of(folder, name)).is_file():
            return shards_of(index)
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    hint = f"; {pickles[0]} is read under the name {FILES[1]}" if pickles else ""
    raise CheckpointError(f"holds neither {FILES[0]}, nor {FILES[1]}, nor an index of shards{hint}", subject=folder)


def index_of(folder: Path, name: str) -> Path:
    """The index of the shards into which the file `name` may have been split."""
    return folder / f"{name}.index.json"


def shards_of(index: Path) -> list[Path]:
    """Read the names of the shards in an index, each of which has to lie in its folder."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError("is damaged: expected a weight_map of tensors' names to files' names", subject=index)
    names = sorted(set(weight_map.values()))
    if outside := [name for name in names if not is_inside(name)]:
        raise CheckpointError(
            f"names files outside its folder, which are not read: {some_of(outside, 3)}. Such an index "
            "is damaged or was made to read other files; do not trust where it came from",
            subject=index,
        )
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise CheckpointError(
            f"lacks {some_of(absent)}, which its index names", subject=index.parent, remedy="download it again"
        )
    return [index.parent / name for name in names]


def is_inside(name: str) -> bool:
    """Whether a relative path stays inside the folder that it is relative to, on any system."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return bool(name) and "\0" not in name and all(not path.anchor and ".." not in path.parts for path in paths)


def open_safetensors(path: Path) -> Any:
    """Open a safetensors file; a damaged one is a CheckpointError."""
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is no complete safetensors file ({error})", remedy="get it again"
        ) from None


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file that transformers reads too."""
    save_file(dict(tensors), path, metadata={"format": "pt"})
    open_to_umask(path)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors, by their names."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_tensors(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], source: str | Path
) -> None:
    """Compare the tensors of a checkpoint with those of a model: names and shapes, completely.

    Raises:
        CheckpointError: names every group of tensors that is missing, unexpected or of another shape.
    """
    problems = []
    if missing := sorted(expected.keys() - found.keys()):
        problems.append(f"{len(missing)} missing: {some_of(missing)}")
    if unexpected := sorted(found.keys() - expected.keys()):
        problems.append(f"{len(unexpected)} unexpected: {some_of(unexpected)}")
    if reshaped := sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name]):
        shown = [f"{name} is {found[name]}, expected {expected[name]}" for name in reshaped]
        problems.append(f"{len(reshaped)} of another shape: {some_of(shown)}")
    if problems:
        raise CheckpointError(
            f"the tensors of {source} are not those that its config describes: {'; '.join(problems)}. Its config.json "
            "or its weights are not its own; `xcodec convert` says more of a checkpoint that was made by other code"
        )


def check_finite(tensors: Iterable[tuple[str, Tensor]], source: str | Path) -> None:
    """Refuse tensors that hold NaN or infinity, as training that diverged and damaged files leave them.

    Raises:
        CheckpointError: names them.
    """
    # A sum costs one read, and is NaN or infinite where one number is; that of huge ones may overflow, so look again.
    wrong = [
        name for name, x in tensors if not x.is_meta and not bool(summed(x).isfinite()) and not bool(x.isfinite().all())
    ]
    if wrong:
        raise CheckpointError(
            f"the tensors of {source} hold numbers that are NaN or infinite: {some_of(sorted(wrong))}. "
            "The file is damaged, or the training that wrote it diverged",
            remedy="get it again, or take an earlier checkpoint",
        )


def summed(x: Tensor) -> Tensor:
    """The sum of a tensor's numbers; those of eight bits are widened, which torch does not add up."""
    return (x.float() if x.is_floating_point() and x.element_size() == 1 else x).sum()
