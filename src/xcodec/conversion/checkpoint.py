"""A converted checkpoint: checked completely, built in memory, or written as a folder, whole or not at all."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xcodec.conversion.report import ConversionReport
from xcodec.errors import CheckpointError, InputError, about, some_of
from xcodec.files import folder_written_whole
from xcodec.models.checkpoint import CONFIG, PREPROCESSOR
from xcodec.models.codec_model import CodecModel
from xcodec.models.configuration import CodecConfig
from xcodec.models.family import Family
from xcodec.models.stored import Stored, unwrapped
from xcodec.models.weights import WEIGHTS, check_finite, save_tensors

__all__ = ["Checkpoint", "check_complete", "check_destination", "write_whole"]

WRITTEN = (CONFIG, PREPROCESSOR, WEIGHTS)


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: configuration, tensors by the names used here, and how they came about."""

    family: Family
    config: CodecConfig
    tensors: dict[str, Tensor]
    report: ConversionReport

    def build(self) -> CodecModel:
        """Build the model, in evaluation mode, on the CPU, in the dtype of the tensors."""
        with torch.device("meta"):
            model = self.family.model(self.config)
        model.load_state_dict(self.tensors, strict=True, assign=True)
        model.train(False)
        return model

    def check_family(self, family: Family, reader: str, source: str | Path) -> None:
        """Refuse to be read by the interface of another family's package.

        Args:
            family: that the interface is for.
            reader: the name of the interface's class.
            source: what was read.
        """
        if self.family is not family:
            raise CheckpointError(
                f"is an {self.family.name} checkpoint, which {reader} does not read; xcodec.Codec reads it",
                subject=source,
            )

    def stored(self, name: str) -> Stored:
        """Give it as if it had been read from a folder in the layout used here."""
        return Stored(name, None, self.config.to_dict(), self.tensors)

    def write(self, folder: Path) -> None:
        """Write the three files of a checkpoint into a folder that exists."""
        self.config.architectures = [self.family.model.__name__]
        self.config.save_pretrained(folder)
        self.family.feature_extractor_for(self.config).save_pretrained(folder)
        save_tensors(self.tensors, folder / WEIGHTS)


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


def check_destination(
    folder: Path, overwrite: bool, written: Collection[str] = WRITTEN, what: str = "a converted checkpoint"
) -> None:
    """Refuse to replace anything but what was written before, where that may be replaced.

    Args:
        folder: the folder to write.
        overwrite: whether what was written before may be replaced.
        written: the names of the files that it may hold.
        what: they are, for the message.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise CheckpointError(f"is not a folder; {what} is written as one", subject=folder)
    held = sorted(path.name for path in folder.iterdir())
    if held and not overwrite:
        raise CheckpointError(
            f"exists and holds {some_of(held, 3)}",
            subject=folder,
            remedy="give another folder, or overwrite=True",
        )
    if others := [name for name in held if name not in written]:
        raise CheckpointError(
            f"holds {some_of(others, 3)} besides {what} and is not replaced",
            subject=folder,
            remedy="give another one",
        )


def check_complete(
    tensors: Mapping[str, Tensor],
    family: Family,
    config: CodecConfig,
    spell: Callable[[str], str],
) -> None:
    """Compare tensors with those that the model has: names and shapes, completely.

    Args:
        tensors: by the names used here.
        family: of the model.
        config: of the model.
        spell: from a name used here to what the source calls it.
    """
    config.check_against(len(tensors), "the checkpoint")
    try:
        with torch.device("meta"):
            expected = {name: tensor.shape for name, tensor in family.model(config).state_dict().items()}
    except InputError as error:
        raise CheckpointError(f"the sizes do not fit together: {error}") from None
    problems = []
    # Three of our tensors may come from one of the source: name it once.
    if missing := list(dict.fromkeys(spell(name) for name in expected if name not in tensors)):
        problems.append(f"{len(missing)} missing: {some_of(missing)}")
    if unexpected := [spell(name) for name in tensors if name not in expected]:
        problems.append(f"{len(unexpected)} that {family.name} does not have: {some_of(unexpected)}")
    reshaped = [
        f"{spell(name)} gives {tuple(tensors[name].shape)}, expected {tuple(expected[name])}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name]
    ]
    if reshaped:
        problems.append(f"{len(reshaped)} of another shape: {some_of(reshaped)}")
    if problems:
        raise CheckpointError(f"no complete {family.name} checkpoint. Of its tensors, {'; '.join(problems)}")
    check_finite(((spell(name), tensor) for name, tensor in tensors.items()), "the checkpoint")


def read_transformers_layout(source: Stored, family: Family) -> Checkpoint:
    """Check a checkpoint of a family that has our names already."""
    config = family.config.from_fields(source.config, source.name)
    tensors = {unwrapped(name): tensor for name, tensor in source.tensors.items()}
    with about(source.name):
        check_complete(tensors, family, config, lambda name: name)
    report = ConversionReport(
        source=source.name,
        layout="transformers",
        kept={name: (name,) for name in tensors},
        folded=(),
        permuted=(),
        dropped={},
        num_kept=sum(tensor.numel() for tensor in tensors.values()),
        num_dropped=0,
        family=family.name,
    )
    return Checkpoint(family, config, tensors, report)
