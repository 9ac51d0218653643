"""Converting checkpoints, of whichever family: read from any file, checked completely, written whole or not at all."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from xcodec.errors import CheckpointError, InputError
from xcodec.files import folder_written_whole
from xcodec.models.checkpoint import (
    CONFIG,
    HUB_ARGUMENTS,
    WEIGHTS,
    open_safetensors,
    read_config,
    read_tensors,
    resolve_checkpoint,
    some_of,
)
from xcodec.models.feature_extraction import WaveformFeatureExtractor
from xcodec.models.pretrained import StrictPreTrainedModel
from xcodec.models.torch_pickle import read_torch_pickle

__all__ = ["Checkpoint", "ConversionReport", "Source", "check_complete", "naming", "write_whole"]

WRITTEN = (CONFIG, "preprocessor_config.json", WEIGHTS)


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion made of each tensor.

    Attributes:
        source: the file or folder that was read.
        layout: "original" or "transformers".
        kept: for each tensor of the result, the tensors of the source that it was made of.
        folded: tensors of the result made by folding a weight norm.
        permuted: query and key projections whose rows went from interleaved to half-split rotary pairs.
        dropped: for each tensor of the source that was left out, why.
        num_kept: numbers in the result: its parameters and, of X-Codec, its codebooks.
        num_dropped: parameters and constants that were left out.
        family: "X-Codec2" or "X-Codec".
    """

    source: str
    layout: str
    kept: Mapping[str, tuple[str, ...]]
    folded: tuple[str, ...]
    permuted: tuple[str, ...]
    dropped: Mapping[str, str]
    num_kept: int
    num_dropped: int
    family: str = "X-Codec2"

    def __str__(self) -> str:
        """The report as a few lines of text."""
        lines = [
            f"{self.source}: an {self.family} checkpoint in {self.layout} layout",
            f"  kept      {len(self.kept):5} tensors, {self.num_kept:,} numbers",
            f"  folded    {len(self.folded):5} weight norms into the weights they scale",
            f"  permuted  {len(self.permuted):5} query and key projections to half-split rotary pairs",
            f"  dropped   {len(self.dropped):5} tensors, {self.num_dropped:,} numbers",
        ]
        if self.family != "X-Codec2":  # whose attention alone has rotary pairs
            del lines[3]
        lines += [f"    {count:9}   {reason}" for reason, count in Counter(self.dropped.values()).most_common()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: configuration, tensors by the names used here, and how they came about."""

    config: Any
    tensors: dict[str, Tensor]
    report: ConversionReport
    model_class: type[StrictPreTrainedModel]
    feature_extractor: WaveformFeatureExtractor

    def build(self) -> Any:
        """The model, in evaluation mode, on the CPU, in the dtype of the tensors."""
        with torch.device("meta"):
            model = self.model_class(self.config)
        model.load_state_dict(self.tensors, strict=True, assign=True)
        model.train(False)
        return model

    def write(self, folder: Path) -> None:
        """Write the three files of a checkpoint into a folder that exists."""
        self.config.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)
        save_file(self.tensors, folder / WEIGHTS, metadata={"format": "pt"})


@dataclass(frozen=True)
class Source:
    """What there was to convert.

    Attributes:
        path: a file, or a folder that was found or downloaded.
        config: contents of the folder's config.json; empty for a file.
        tensors: memory-mapped where the format allows it.
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, source: str | Path, hub_arguments: dict[str, Any]) -> "Source":
        """Read a folder or hub id, a `.safetensors` file, or a file of torch.save. No pickle is executed.

        Raises:
            CheckpointError: where it is not found, damaged, or a pickle that would run code.
        """
        if unknown := sorted(hub_arguments.keys() - set(HUB_ARGUMENTS)):
            raise TypeError(
                f"unexpected arguments {', '.join(unknown)}; besides its own, read_checkpoint takes those of the hub: "
                f"{', '.join(HUB_ARGUMENTS)}"
            )
        path = Path(source).expanduser()
        if path.is_file() and path.suffix != ".safetensors":
            return cls(path, {}, read_torch_pickle(path))
        if path.is_file():
            with open_safetensors(path) as file:
                return cls(path, {}, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        folder = find_folder(source, hub_arguments)
        return cls(folder, read_config(folder), read_tensors(folder))


def find_folder(source: str | Path, hub_arguments: dict[str, Any]) -> Path:
    """As `resolve_checkpoint`, and points from a folder of training to the checkpoints in it."""
    folder = Path(source).expanduser()
    if folder.is_dir() and not (folder / CONFIG).is_file():
        files = sorted(path for suffix in ("ckpt", "pth", "safetensors") for path in folder.glob(f"*.{suffix}"))
        if files:
            raise CheckpointError(f"{folder} is a folder without {CONFIG}; give the checkpoint file itself: {files[0]}")
    return resolve_checkpoint(source, **hub_arguments)


def write_whole(destination: str | Path, overwrite: bool, read: Callable[[], Checkpoint]) -> ConversionReport:
    """Write what `read` gives as a folder in transformers' layout, which appears whole or not at all.

    Args:
        destination: the folder to write: config.json, preprocessor_config.json and model.safetensors.
        overwrite: replace a checkpoint folder that is there already.
        read: called once it is clear that the folder may be written.

    Raises:
        CheckpointError: where the destination exists, or as `read` raises it.
    """
    folder = Path(destination).expanduser().absolute()
    check_destination(folder, overwrite)
    checkpoint = read()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(folder) as part:
        checkpoint.write(part)
    return checkpoint.report


def check_destination(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a checkpoint that may be replaced."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise CheckpointError(f"{folder} is not a folder; the converted checkpoint is written as one")
    held = sorted(path.name for path in folder.iterdir())
    if held and not overwrite:
        raise CheckpointError(
            f"{folder} exists and holds {some_of(held, 3)}; give another folder, or overwrite=True (--overwrite)"
        )
    if others := [name for name in held if name not in WRITTEN]:
        raise CheckpointError(
            f"{folder} holds {some_of(others, 3)} besides a converted checkpoint and is not replaced; give another one"
        )


@contextmanager
def naming(source: str | Path) -> Iterator[None]:
    """Begin the text of a CheckpointError with what was read."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None


def check_complete(
    tensors: Mapping[str, Tensor],
    model_class: type[StrictPreTrainedModel],
    config: Any,
    spell: Callable[[str], str],
    family: str,
) -> None:
    """Compare tensors with those that the model has: names and shapes, completely.

    Args:
        tensors: by the names used here.
        model_class: of the model.
        config: of the model.
        spell: from a name used here to what the source calls it.
        family: what to call the models in messages.
    """
    try:
        with torch.device("meta"):
            expected = {name: tensor.shape for name, tensor in model_class(config).state_dict().items()}
    except InputError as error:
        raise CheckpointError(f"the sizes do not fit together: {error}") from None
    problems = []
    # Three of our tensors may come from one of the source: name it once.
    if missing := list(dict.fromkeys(spell(name) for name in expected if name not in tensors)):
        problems.append(f"{len(missing)} missing: {some_of(missing)}")
    if unexpected := [spell(name) for name in tensors if name not in expected]:
        problems.append(f"{len(unexpected)} that {family} does not have: {some_of(unexpected)}")
    reshaped = [
        f"{spell(name)} gives {tuple(tensors[name].shape)}, expected {tuple(expected[name])}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name]
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape: {some_of(reshaped)}")
    if problems:
        raise CheckpointError(f"no complete {family} checkpoint. Of its tensors, {'; '.join(problems)}")
