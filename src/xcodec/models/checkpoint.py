"""Checkpoints on disk: their folders are found, and their JSON files read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from xcodec.built_in import BUILT_IN, MINI
from xcodec.errors import CheckpointError, first_line

__all__ = [
    "CONFIG",
    "HUB_ARGUMENTS",
    "PREPROCESSOR",
    "built_in_checkpoint",
    "find_small_files",
    "for_another",
    "inside",
    "public_name",
    "read_config",
    "read_json",
    "resolve_checkpoint",
    "wanted_files",
]

HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "subfolder")
OF_ONE_CHECKPOINT = ("revision", "subfolder")  # which say nothing of another one
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"


def resolve_checkpoint(
    name_or_path: str | Path,
    *,
    subfolder: str | None = None,
    weights: bool = True,
    others: Iterable[str] = (),
    **hub_arguments: Any,
) -> Path:
    """Find the folder of a checkpoint: a local one, or a model of the Hugging Face hub, downloaded where needed.

    Args:
        name_or_path: a folder, "mini" or "mini-general" for a model that comes with the package, or a hub id such as
            "HKUSTAudio/xcodec2-hf"; or a hub id with a folder in it, such as "k2-fsa/OmniVoice/audio_tokenizer".
        subfolder: the folder in it that holds the checkpoint; of the hub, only its files are downloaded.
        weights: whether the tensors are wanted too, or only the small files beside them.
        others: patterns of further files to download, which are not there in every checkpoint.
        **hub_arguments: passed to `huggingface_hub.snapshot_download`: revision, cache_dir, token, local_files_only.

    Returns:
        A folder that holds config.json.

    Raises:
        CheckpointError: says what was tried and how to get the files.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        folder = inside(folder, subfolder)
        if not (folder / CONFIG).is_file():
            held = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
            raise CheckpointError(
                f"is a folder without {CONFIG} (it holds {held}); expected a checkpoint folder", subject=folder
            )
        return folder
    if folder.exists():
        raise CheckpointError(
            f"is a file; expected a folder with {CONFIG} and {WEIGHTS}. An original checkpoint is "
            f"turned into one with: xcodec convert {folder} NEW_FOLDER",
            subject=folder,
        )
    if str(name_or_path) in BUILT_IN:
        return built_in_checkpoint(str(name_or_path))
    hub_id, subfolder = split_hub_id(str(name_or_path), subfolder)
    try:
        for patterns in wanted_files(subfolder, weights, others):
            found = inside(Path(snapshot_download(hub_id, allow_patterns=patterns, **hub_arguments)), subfolder)
            if any(path for name in ("*.safetensors", "pytorch_model*.bin", "model.pth") for path in found.glob(name)):
                break
        return found
    except CheckpointError:
        raise
    except HFValidationError:
        raise CheckpointError(
            f"checkpoint not found: no folder {folder.absolute()}, and {str(name_or_path)!r} is no hub id (those read "
            "OWNER/NAME, or OWNER/NAME/FOLDER)"
        ) from None
    except Exception as error:  # the hub client raises errors of several libraries
        raise CheckpointError(
            f"checkpoint not found: no folder {folder.absolute()}, and {str(name_or_path)!r} is neither in the hub's "
            f"local cache nor could be downloaded "
            f"({type(error).__name__}: {first_line(error)}). Check the id; or, on a machine with network, run: "
            f"hf download {hub_id} --local-dir FOLDER, copy FOLDER here and pass its path"
        ) from None


def split_hub_id(name: str, subfolder: str | None) -> tuple[str, str | None]:
    """Take a folder off a hub id, OWNER/NAME/FOLDER, and put it before the subfolder that was given."""
    parts = name.split("/")
    hub_id, folders = "/".join(parts[:2]), [*parts[2:], *([subfolder] if subfolder else [])]
    return hub_id, "/".join(folders) or None


def wanted_files(subfolder: str | None, weights: bool = True, others: Iterable[str] = ()) -> Iterator[list[str]]:
    """Give the patterns of a checkpoint's files on the hub, and then of those that are there instead of safetensors.

    Of one that is in its authors' layout, the tensors are in `model.pth`, or have the name that transformers once gave;
    YuE's codec and its decoders have folders of their own.
    """
    before = f"{subfolder.strip('/')}/" if subfolder else ""
    yield [before + pattern for pattern in ("*.json", *(["*.safetensors"] if weights else []), *others)]
    if weights:
        yield [f"{before}pytorch_model*.bin", f"{before}meta.yaml"]
        yield [f"{before}model.pth"]
        yield [f"{before}final_ckpt/*", f"{before}decoders/*"]


def inside(folder: Path, subfolder: str | None) -> Path:
    """Give a folder in a folder.

    Raises:
        CheckpointError: where it is not there, or not in it.
    """
    if not subfolder:
        return folder
    found = folder / subfolder
    if not found.is_dir() or folder.resolve() not in [found.resolve(), *found.resolve().parents]:
        held = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "none"
        raise CheckpointError(
            f"has no folder of this name in it (of those there are: {held})",
            subject=folder,
            argument="subfolder",
            value=subfolder,
        )
    return found


def find_small_files(name_or_path: str | Path, kwargs: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Find the folder that holds a checkpoint's JSON files, without its tensors.

    Args:
        name_or_path: a folder, or a hub id.
        kwargs: of a `from_pretrained`.

    Returns:
        The folder, `subfolder` included, and the arguments that are left when the hub's are taken out.
    """
    rest = dict(kwargs)
    hub_arguments = {name: rest.pop(name) for name in HUB_ARGUMENTS if name in rest}
    folder = Path(name_or_path)
    if folder.is_dir():
        return inside(folder, hub_arguments.get("subfolder")), rest
    return resolve_checkpoint(name_or_path, weights=False, **hub_arguments), rest


def built_in_checkpoint(name: str = MINI) -> Path:
    """Return the folder of a model that comes with the package, if it is all there."""
    folder = BUILT_IN[name]
    absent = [file for file in (CONFIG, PREPROCESSOR, WEIGHTS) if not (folder / file).is_file()]
    if absent:
        raise CheckpointError(
            f"the built-in model {name} is not installed: {folder} lacks {', '.join(absent)}",
            remedy="reinstall xcodec, or name another model: a hub id, such as HKUSTAudio/xcodec2-hf, or the "
            "path of a checkpoint folder",
        )
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a checkpoint folder."""
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"holds no {CONFIG}; expected a checkpoint folder", subject=folder)
    return read_json(folder / CONFIG)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        CheckpointError: where it cannot be read, is not JSON, is nested too deeply, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise CheckpointError(
            "is nested too deeply to be read; the file is damaged or no checkpoint's, get it again", subject=path
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"is not JSON ({error}); the file is damaged, copy it again", subject=path) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"holds a {type(content).__name__}; expected a JSON object", subject=path)
    return content


def public_name(name_or_path: str | None, subfolder: str | None = None) -> str:
    """Give what to call a model in its codes: a hub id as it is, a path by its last name, since codes travel."""
    if not name_or_path:
        return ""
    path = Path(name_or_path).expanduser()
    if path.exists():
        return (path / (subfolder or ".")).resolve().name
    return "/".join(filter(None, split_hub_id(name_or_path, subfolder)))


def for_another(hub_arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of the hub that hold for what goes with a checkpoint and lies elsewhere."""
    return {name: value for name, value in hub_arguments.items() if name not in OF_ONE_CHECKPOINT}
