"""Checkpoints on disk: found, read without executing anything, checked completely, and told apart by their contents."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from xcodec.codes import CodecIdentity
from xcodec.errors import CheckpointError, InputError

__all__ = [
    "HUB_ARGUMENTS",
    "check_tensors",
    "fingerprint_checkpoint",
    "fingerprint_model",
    "read_config",
    "read_model_type",
    "read_shapes",
    "read_tensors",
    "resolve_checkpoint",
]

HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download")
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def resolve_checkpoint(
    name_or_path: str | Path, *, weights: bool = True, others: Iterable[str] = (), **hub_arguments: Any
) -> Path:
    """Find the folder of a checkpoint: a local one, or a model of the Hugging Face hub, downloaded where needed.

    Args:
        name_or_path: a folder, or a hub id such as "HKUSTAudio/xcodec2-hf".
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
        if not (folder / CONFIG).is_file():
            held = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
            raise CheckpointError(
                f"{folder} is a folder without {CONFIG} (it holds {held}); expected a checkpoint folder"
            )
        return folder
    if folder.exists():
        raise CheckpointError(
            f"{folder} is a file; expected a folder with {CONFIG} and {WEIGHTS}. An original checkpoint is turned into "
            f"one with: xcodec convert {folder} NEW_FOLDER"
        )
    patterns = ["*.json", *(["*.safetensors"] if weights else []), *others]
    try:
        return Path(snapshot_download(str(name_or_path), allow_patterns=patterns, **hub_arguments))
    except HFValidationError:
        tried = f"no folder {folder.absolute()}, and {str(name_or_path)!r} is no hub id (those read OWNER/NAME)"
        raise CheckpointError(f"checkpoint not found: {tried}") from None
    except Exception as error:  # the hub client raises errors of several libraries
        reason = (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
        )
        raise CheckpointError(
            f"checkpoint not found: no folder {folder.absolute()}, and {str(name_or_path)!r} is neither in the hub's "
            f"local cache nor could be downloaded ({reason}). Check the id; or, on a machine with network, run: "
            f"hf download {name_or_path} --local-dir FOLDER, copy FOLDER here and pass its path"
        ) from None


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
    subfolder = rest.pop("subfolder", None) or "."
    folder = Path(name_or_path)
    if not folder.is_dir():
        folder = resolve_checkpoint(name_or_path, weights=False, **hub_arguments)
    return folder / subfolder, rest


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config.json of a checkpoint folder."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {CONFIG}; expected a checkpoint folder") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON ({error}); the file is damaged, copy it again") from None
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{folder / CONFIG} holds a {type(config).__name__}; expected an object with a model_type"
        )
    return config


def read_model_type(folder: Path) -> str | None:
    """The model_type that the config.json of a checkpoint folder names.

    Raises:
        CheckpointError: for an original X-Codec2 checkpoint, whose config says 'xcodec' though it is none.
    """
    config = read_config(folder)
    if "XCodec2Model" in (config.get("architectures") or []):
        raise CheckpointError(
            f"{folder} is an original X-Codec2 checkpoint (model_type {config.get('model_type')!r}, architecture "
            f"XCodec2Model); convert it first: xcodec convert {folder} NEW_FOLDER, or read it as it is with "
            "xcodec.compat.XCodec2Model"
        )
    model_type: str | None = config.get("model_type")
    return model_type


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder: one, or the shards that its index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{folder / INDEX} is damaged ({type(error).__name__}: {error})") from None
        absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            raise CheckpointError(f"{folder} lacks {', '.join(absent)}, which its index names; download it again")
        return [folder / name for name in names]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    hint = f"; {pickles[0]} is a pickle, which is never loaded: convert it to safetensors" if pickles else ""
    raise CheckpointError(f"{folder} holds neither {WEIGHTS} nor {INDEX}{hint}")


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a checkpoint folder, read from the files' headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with open_safetensors(path) as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return shapes


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder, memory-mapped, in the dtypes they are stored in."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        with open_safetensors(path) as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors


def open_safetensors(path: Path) -> Any:
    """Open a safetensors file; a damaged one is a CheckpointError."""
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is no complete safetensors file ({error}); get it again"
        ) from None


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
            f"the tensors of {source} are not those that its config describes: {'; '.join(problems)}. If it is an "
            "original checkpoint, run `xcodec convert` on it; otherwise its config.json or its weights are not its own"
        )


def some_of(names: list[str], limit: int = 8) -> str:
    """The first few of a list of names, and how many more there are."""
    return ", ".join(names[:limit]) + (f", and {len(names) - limit} more" if len(names) > limit else "")


class Architecture(Protocol):
    """A configuration that can tell what of it decides the model's outputs."""

    def architecture(self) -> dict[str, Any]:
        """Fields and values, of JSON's types."""


def fingerprint_checkpoint(folder: Path, config: Architecture, name: str) -> CodecIdentity:
    """Identify a stored checkpoint by its architecture and all numbers in its tensors, whatever dtype it is loaded in.

    Args:
        folder: of the checkpoint.
        config: as read from it. Who wrote the file, and fields that change no output, do not matter.
        name: what to call it.
    """
    return CodecIdentity(name, hash_architecture(config), hash_tensors(read_tensors(folder).items()))


def fingerprint_model(model: PreTrainedModel, name: str) -> CodecIdentity:
    """Identify a model in memory as `fingerprint_checkpoint` would once it was saved.

    Raises:
        InputError: for half a model, whose numbers are not all there.
    """
    if not (getattr(model, "has_encoder", True) and getattr(model, "has_decoder", True)):
        raise InputError(
            "half a model does not tell which model it is; load it with Codec.from_pretrained, which reads that from "
            "the checkpoint, or give Codec the `identity`"
        )
    return CodecIdentity(name, hash_architecture(model.config), hash_tensors(model.state_dict().items()))


def hash_architecture(config: Architecture) -> str:
    """SHA-256 of what in a configuration decides the model's outputs."""
    return hashlib.sha256(json.dumps(config.architecture(), sort_keys=True).encode()).hexdigest()


def hash_tensors(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over the tensors in order of name: of each, its name, its shape, and its numbers as float32.

    Half precision is widened, which changes no number, so that it does not matter which of them stores the same ones.
    """

    def digest(item: tuple[str, Tensor]) -> bytes:
        name, tensor = item
        state = hashlib.sha256(f"{name}|{tuple(tensor.shape)}|".encode())
        state.update(tensor.detach().cpu().float().contiguous().numpy().data)
        return state.digest()

    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return hashlib.sha256(b"".join(pool.map(digest, sorted(tensors, key=lambda item: item[0])))).hexdigest()
