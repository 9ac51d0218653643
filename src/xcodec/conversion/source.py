"""What there is to convert: a folder, a model of the hub, or a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xcodec.conversion.two_files import read_two_files
from xcodec.errors import CheckpointError, some_of
from xcodec.models.checkpoint import CONFIG, HUB_ARGUMENTS, inside, read_json, resolve_checkpoint
from xcodec.models.stored import Stored
from xcodec.models.weights import has_weights, read_tensor_file, read_tensors

__all__ = ["read_source"]

YUE_CODEC = "final_ckpt"  # the folder that holds the codec in YuE's repository
SUFFIXES = ("ckpt", "pth", "pt", "bin", "safetensors")  # of files that hold a checkpoint's tensors


def read_source(source: str | Path, hub_arguments: Mapping[str, Any]) -> Stored:
    """Read a folder or hub id, a `.safetensors` file, or a file of torch.save. No pickle is executed.

    Raises:
        CheckpointError: where it is not found, damaged, or a pickle that would run code.
        TypeError: for an argument that is not the hub's.
    """
    if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
        raise TypeError(
            f"unexpected arguments {', '.join(unknown)}; besides its own, read_checkpoint takes those of the hub: "
            f"{', '.join(HUB_ARGUMENTS)}"
        )
    path = Path(source).expanduser()
    subfolder = hub_arguments.get("subfolder")
    if path.is_file():
        return Stored(str(source), path, {}, read_tensor_file(path))
    folder = inside(path, subfolder) if path.is_dir() else resolve_checkpoint(source, **hub_arguments)
    if has_weights(folder):
        if not (folder / CONFIG).is_file():
            # The tensors' names tell all that an original checkpoint's config.json does.
            return Stored(str(source), folder, {}, read_tensors(folder))
        return Stored.read(folder, str(source))
    if (folder / YUE_CODEC).is_dir():
        folder = folder / YUE_CODEC
    files = tensor_files(folder)
    both = read_two_files(str(source), folder, files or tensor_files(folder, "*/*"))
    if both is not None:
        return both
    if len(files) > 1:
        names = some_of([file.name for file in files], 3)
        problem = f"holds {names}" if (folder / CONFIG).is_file() else f"is a folder without {CONFIG}"
        raise CheckpointError(problem, subject=folder, remedy=f"give the checkpoint file itself: {files[0]}")
    if not files:
        return Stored.read(resolve_checkpoint(folder), str(source))
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    return Stored(str(source), folder, config, read_tensor_file(files[0]))


def tensor_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the files of tensors in a folder of training, whose names are its own."""
    return sorted(path for suffix in SUFFIXES for path in folder.glob(f"{pattern}.{suffix}"))
