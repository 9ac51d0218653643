"""The training format of LLaSA: each row a text and its speech as ids, in a file that is mapped into memory."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch

from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import CodesError, InputError
from xcodec.files import folder_written_whole
from xcodec.llasa.prompt import Prompts
from xcodec.llasa.tokens import CodesLike, SpeechTokens

__all__ = ["ROW_LENGTH", "RowsReport", "TrainingRows", "TrainingRowsWriter", "codebook_size_of"]

ROW_LENGTH = 2048
IGNORED = -100
"""The label of what is not learned, as torch's cross entropy has it."""

SPLITS = ("train", "val")
TOLD = "rows.json"
"""What is told of the rows: which ids are speech, and which codec's. Rows that LLaSA's own scripts wrote lack it."""


def names(split: str) -> tuple[str, str]:
    """Return the two files of a split: its ids (int32), and the shape of them."""
    return f"{split}_input_ids.memmap", f"{split}_input_ids_shape.npy"


@dataclass(frozen=True)
class RowsReport:
    """What became of the rows that were written.

    Attributes:
        train: rows in the training split.
        val: rows in the validation split.
        truncated: of these, how many were longer than a row and lost their end.
        left_out: how many were not written, since their text alone fills a row.
    """

    train: int = 0
    val: int = 0
    truncated: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        """Return the report in one line."""
        return (
            f"{self.train:,} rows to train and {self.val:,} to validate; {self.truncated:,} of them cut at the end of "
            f"the row; {self.left_out:,} left out, whose text alone fills a row"
        )


class TrainingRowsWriter:
    """Writes a folder that LLaSA's own training scripts read, and `TrainingRows`.

    Rows are given one by one and go straight to the disk: their number need not be known, and memory does not grow with
    it. The folder appears, whole, when the `with` block ends; if an error ends it, it does not.

        with TrainingRowsWriter("rows/", prompts) as rows:
            for text, codes in dataset:
                rows.write(text, codes)
        print(rows.report)

    A row is the text's ids between their markers, SPEECH_GENERATION_START, the codes' ids, SPEECH_GENERATION_END, and
    the tokenizer's pad id up to the end. What is longer is cut, or refused. One row in `val_every` is for validation:
    the last of each full group, so that a small data set is all training. Where there is none, there are no files for
    it.

    Args:
        folder: to write; it must not be there, or be empty.
        prompts: of the model that is to be trained; a base tokenizer needs its markers, and the codes may be
            `SpeechTokens.at_offset`.
        length: ids in a row.
        val_every: one row in so many is for validation; None is for none.
        cut: whether what is longer than a row loses its end; else it is refused.
        codec: whose codes they are; None is that of the first `Codes` that tell.
        overwrite: whether to replace a folder that holds such rows and nothing else.

    Raises:
        InputError: where the folder may not be written, or the tokenizer has no pad or end id.
    """

    def __init__(
        self,
        folder: str | Path,
        prompts: Prompts,
        *,
        length: int = ROW_LENGTH,
        val_every: int | None = 100,
        cut: bool = True,
        codec: CodecIdentity | None = None,
        overwrite: bool = False,
    ) -> None:
        if length < 8 or (val_every is not None and val_every < 2):
            raise InputError(
                f"length={length}, val_every={val_every}: expected 8 ids or more, and one row in 2 or more"
            )
        tokenizer = prompts.tokenizer
        pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        if pad_id is None:
            raise InputError(
                "the tokenizer has neither a pad token nor an end-of-text token", remedy="set tokenizer.pad_token"
            )
        self.folder = Path(folder).expanduser().absolute()
        check_folder(self.folder, overwrite)
        self.prompts, self.length, self.val_every, self.pad_id = prompts, length, val_every, int(pad_id)
        self.cut, self.codec = cut, codec
        self.report = RowsReport()
        self._open = ExitStack()
        self._partial: Path | None = None
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "TrainingRowsWriter":
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self._open.enter_context(folder_written_whole(self.folder))
        return self

    def write(self, text: str, codes: CodesLike) -> None:
        """Add a row.

        Args:
            text: what is said.
            codes: how it sounds: `Codes` of one codebook, or their ids, shape (T,) or (1, T).

        Raises:
            InputError: for an empty text, one with special tokens, codes that the vocabulary does not have or that
                another codec made, or a row that is too long and may not be cut. Nothing was written then, and the next
                row may be.
        """
        if self._partial is None:
            raise InputError("rows are written inside `with TrainingRowsWriter(...) as rows:`")
        tokens = self.prompts.tokens
        self._check_maker(codes)
        text_ids, code_ids = self.prompts.text_ids(text), tokens.to_ids(codes)
        if not len(code_ids):
            raise InputError("there are no codes", remedy="leave such a row out")
        row = np.array([*text_ids, tokens.start_id, *code_ids, tokens.end_id], dtype=np.int32)
        if len(row) > self.length and not self.cut:
            raise InputError(f"text and speech are longer than a row, {self.length:,} ids")
        if len(text_ids) + 1 >= self.length:
            self.report = replace(self.report, left_out=self.report.left_out + 1)
            return
        written = self.report.train + self.report.val
        split = "val" if self.val_every and (written + 1) % self.val_every == 0 else "train"
        padded = np.full(self.length, self.pad_id, dtype=np.int32)
        padded[: len(row)] = row[: self.length]
        if split not in self._files:
            self._files[split] = self._open.enter_context((self._partial / names(split)[0]).open("wb"))
        self._files[split].write(padded.tobytes())
        self.report = replace(
            self.report,
            **{split: getattr(self.report, split) + 1},
            truncated=self.report.truncated + (len(row) > self.length),
        )

    def _check_maker(self, codes: CodesLike) -> None:
        maker = codes.codec if isinstance(codes, Codes) else None
        self.codec = self.codec or maker
        if maker is not None and self.codec is not None and not maker.same_model(self.codec):
            raise InputError(f"the codes were made by {maker}, and the rows hold those of {self.codec}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        partial, self._partial = self._partial, None
        if error is not None:
            self._open.__exit__(kind, error, traceback)
            return
        with self._open:
            if not self._files:
                raise InputError(f"there are no rows, and nothing was written ({self.report})", subject=self.folder)
            for split, file in self._files.items():
                shape = np.array([getattr(self.report, split), self.length])
                np.save(Path(file.name).with_name(names(split)[1]), shape)
            assert partial is not None
            told = {"speech": ids_of_speech(self.prompts.tokens), "codec": self.codec and asdict(self.codec)}
            (partial / TOLD).write_text(json.dumps(told, indent=2) + "\n")


class TrainingRows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """One split of such a folder, as examples to train on: for a DataLoader, or transformers' Trainer.

    An example is the prompt, through the chat template as at inference, and the answer, from SPEECH_GENERATION_START to
    SPEECH_GENERATION_END; the labels are the answer's ids, and -100 for the prompt. Padding is cut:
    `DataCollatorForSeq2Seq(tokenizer)` pads the examples of a batch to its longest.

    Args:
        folder: with `train_input_ids.memmap` and its shape.
        prompts: of the model to train.
        split: "train" or "val".

    Raises:
        InputError: where the files are not there, do not fit together, or were written for another vocabulary.
    """

    def __init__(self, folder: str | Path, prompts: Prompts, split: str = "train") -> None:
        self.prompts = prompts
        ids, shape = (Path(folder).expanduser() / name for name in names(split))
        for path in (ids, shape):
            if not path.is_file():
                raise InputError("no such file; TrainingRowsWriter writes it", subject=path)
        try:
            num_rows, length = (int(size) for size in np.load(shape, allow_pickle=False))
        except (ValueError, TypeError, EOFError) as error:
            raise InputError(f"does not hold the number of rows and their length ({error})", subject=shape) from None
        if num_rows < 1 or length < 1 or ids.stat().st_size != 4 * num_rows * length:
            raise InputError(
                f"has {ids.stat().st_size} bytes, but {shape.name} says {num_rows} rows of {length} ids of "
                "4; the files are damaged or not of each other",
                subject=ids,
            )
        told = read_told(ids.with_name(TOLD))
        if told.get("speech", expected := ids_of_speech(prompts.tokens)) != expected:
            raise InputError(
                f"were written for another vocabulary: {told['speech']}, where the language model has {expected}",
                subject=ids.parent,
                remedy="prepare rows for this language model",
            )
        self.codec = None if told.get("codec") is None else CodecIdentity(**told["codec"])
        self.path = ids
        self.rows: np.ndarray = np.memmap(ids, dtype=np.int32, mode="r", shape=(num_rows, length))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        return (self[i] for i in range(len(self)))

    def fingerprint(self) -> str:
        """Hash the number of rows, their length, and up to 1,000 of them, SHA-256 in hexadecimal."""
        state = hashlib.sha256(repr(self.rows.shape).encode())
        for index in range(0, len(self), max(1, len(self) // 1000)):
            state.update(self.rows[index].tobytes())
        return state.hexdigest()

    def parts(self, index: int) -> tuple[list[int], np.ndarray]:
        """Return the text's ids with their markers, and the codes, int64 of shape (T,), of a row.

        Raises:
            CodesError: for a row that does not hold a text and speech of this vocabulary.
        """
        text_ids, speech = self._split(index)
        known = speech[1:][speech[1:] != self.prompts.tokens.end_id]
        table = self.prompts.tokens.codes
        if ((known < 0) | (known >= len(table))).any() or (table[known] < 0).any():
            raise CodesError(f"{self.path}, row {index}: holds ids that are no speech tokens of this vocabulary")
        return text_ids, table[known]

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        """`input_ids` and `labels`, equally long."""
        text_ids, speech = self._split(index)
        before = self.prompts.of_text_ids(text_ids)[:-1]  # without the marker that the speech begins with
        return {"input_ids": before + speech.tolist(), "labels": [IGNORED] * len(before) + speech.tolist()}

    def _split(self, index: int) -> tuple[list[int], np.ndarray]:
        """Return a row's text, and its speech from one marker to the other, which a row that was cut lacks."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self.rows[index].astype(np.int64)
        tokens = self.prompts.tokens
        starts, ends = np.flatnonzero(row == tokens.start_id), np.flatnonzero(row == tokens.end_id)
        if len(starts) == 0 or starts[0] < 2:
            raise CodesError(
                f"{self.path}, row {index}: no text before {tokens.convention.speech_start} (id {tokens.start_id}); "
                "was it written with another tokenizer?"
            )
        end = ends[0] + 1 if len(ends) else len(row)
        return row[: starts[0]].tolist(), row[starts[0] : end]


def ids_of_speech(tokens: SpeechTokens) -> dict[str, int | None]:
    """Return what tells one vocabulary's speech from another's."""
    first, size = int(tokens.ids[0]), tokens.codebook_size
    return {"start_id": tokens.start_id, "end_id": tokens.end_id, "first_code_id": first, "codes": size}


def read_told(path: Path) -> dict[str, Any]:
    """Read what a folder of rows tells of itself; nothing where it tells nothing."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text())
        codec = told.get("codec")
        _ = codec is None or CodecIdentity(**codec)
    except (ValueError, TypeError, AttributeError, CodesError) as error:
        raise InputError(f"does not tell what the rows hold ({error})", subject=path) from None
    return dict(told)


def codebook_size_of(folder: Path) -> int:
    """Tell how many codes there are of the codec whose codes rows hold: X-Codec2's 65,536 where they do not tell."""
    return int(read_told(folder.expanduser() / TOLD).get("speech", {}).get("codes", 65536))


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but rows that may be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError("is a file; rows are written as a folder", subject=folder)
    held = {path.name for path in folder.iterdir()}
    if others := sorted(held - {TOLD, *(name for split in SPLITS for name in names(split))}):
        raise InputError(f"holds {others[0]}, which is no file of rows", subject=folder, remedy="give another folder")
    if held and not overwrite:
        raise InputError("holds rows already", subject=folder, remedy="give another folder, or overwrite=True")
