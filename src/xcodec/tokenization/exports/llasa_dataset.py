"""Examples for a language model that speaks, as a data set of the Hugging Face library, one by one or packed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xcodec.errors import InputError, MissingExtraError
from xcodec.files import folder_written_whole
from xcodec.llasa import Prompts
from xcodec.llasa.prompt import Voice
from xcodec.llasa.rows import IGNORED, ROW_LENGTH
from xcodec.tokenization.exports.llasa import prompts_of
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.lock import ScratchFolder
from xcodec.tokenization.tokens import Row, Tokens

__all__ = ["export_llasa"]

_OPEN = 32  # rows that are being filled at once
_AT_ONCE = 1000  # examples of a batch of Arrow
_TOO_LONG = "text and speech are longer than a row"


@dataclass(frozen=True)
class Example:
    """A prompt and its answer.

    Args:
        id: of the recording that is the answer.
        voice: the id of the one in whose voice it is asked for; empty where there is none.
        input_ids: int32 of shape (N,).
        labels: likewise, -100 over the prompt.
    """

    id: str
    voice: str
    input_ids: np.ndarray
    labels: np.ndarray


def export_llasa(
    tokens: Tokens,
    folder: Path,
    llm: str,
    *,
    text_column: str = "text",
    length: int = ROW_LENGTH,
    packed: bool = False,
    voices: str | None = None,
) -> ExportReport:
    """Write a data set that `datasets.load_from_disk` reads: input_ids and labels, int32, -100 over the prompts.

    Packed, an example is several of these in a row of `length` ids, padded at its end, with `lengths` of each, `ids`,
    and `position_ids`, which begin again with each, so that none is seen by the next. Else there are `id` and `voice`.

    Args:
        tokens: a finished output of a codec with one codebook.
        folder: to write, which is not there yet.
        llm: folder or hub id of the language model to train, which has the speech tokens.
        text_column: the carried column that says what is said.
        length: ids in a row; what is longer is left out.
        packed: whether to fill rows.
        voices: the carried column that tells speakers apart: each recording is asked for in the voice of the one
            before it of the same speaker, the first of each without a voice. None is for no voices.

    Raises:
        InputError: where there is no such column, there are several codebooks, the folder is there, or the language
            model was given the tokens of another codec, or none.
        CheckpointError: where the language model's tokenizer cannot be loaded.
        MissingExtraError: without the library.
    """
    try:
        from datasets import Dataset, disable_progress_bars
    except ImportError as error:
        raise MissingExtraError("pip install 'xcodec[datasets]'") from error
    tokens.check_finished()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("is there already", subject=folder, remedy="give another folder")
    prompts, _ = prompts_of(tokens, llm, text_column)
    if voices is not None and voices not in tokens.further.names:
        held = ", ".join(tokens.further.names)
        raise InputError(f"carries no column {voices!r} (it carries {held})", subject=tokens.plan.store)
    if voices is not None and not prompts.takes_voice:
        raise InputError("this language model takes no voice", subject=llm, remedy="leave voices out")
    report = ExportReport()
    found = examples(tokens, prompts, text_column, length, voices, report)
    rows = pack(found, length, pad_id_of(prompts)) if packed else map(single, found)
    schema = pa.schema(PACKED if packed else SINGLE)
    count = 0
    with ScratchFolder() as scratch:
        path = scratch.path / "examples.arrow"
        with pa.ipc.new_stream(path, schema) as writer:
            pending: list[dict[str, Any]] = []
            for row in rows:
                count += 1
                pending.append(row)
                if len(pending) == _AT_ONCE:
                    writer.write_batch(pa.RecordBatch.from_pylist(pending, schema))
                    pending = []
            writer.write_batch(pa.RecordBatch.from_pylist(pending, schema))
        if not count:
            raise InputError("none of the recordings makes an example", subject=tokens.plan.store)
        disable_progress_bars()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_written_whole(folder) as part:
            Dataset.from_file(str(path)).save_to_disk(str(part))
    if packed:
        report.rooms = f"in {count:,} rows of {length:,} ids"
    return report


_IDS = pa.list_(pa.int32())
SINGLE = {"id": pa.string(), "voice": pa.string(), "input_ids": _IDS, "labels": _IDS}
PACKED = {"ids": pa.list_(pa.string()), "lengths": _IDS, "input_ids": _IDS, "labels": _IDS, "position_ids": _IDS}


def single(example: Example) -> dict[str, Any]:
    """Make a row of one example."""
    return vars(example)


def pad_id_of(prompts: Prompts) -> int:
    """Tell what a row is filled with: the pad token, or else the one that ends texts.

    Raises:
        InputError: where there is neither.
    """
    tokenizer = prompts.tokenizer
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if pad_id is None:
        raise InputError("the tokenizer has neither a pad token nor an end-of-text token")
    return int(pad_id)


def examples(
    tokens: Tokens, prompts: Prompts, text_column: str, length: int, voices: str | None, report: ExportReport
) -> Iterator[Example]:
    """Make an example of each recording that has a text; what makes none is counted."""
    last: dict[Any, Row] = {}
    for row in tokens.rows(failures=report.failures):
        text = row.carried[text_column]
        speaker = None if voices is None else row.carried[voices]
        before = None if speaker is None else last.get(speaker)
        try:
            example = example_of(tokens, prompts, row, text_column, before)
            if len(example.input_ids) > length and before is not None:
                example = example_of(tokens, prompts, row, text_column, None)
            if len(example.input_ids) > length:
                raise InputError(_TOO_LONG)
        except InputError as error:
            report.skipped[error.problem] += 1
            continue
        if speaker is not None and text is not None:
            last[speaker] = row
        report.rows += 1
        yield example


def example_of(tokens: Tokens, prompts: Prompts, row: Row, text_column: str, before: Row | None) -> Example:
    """Ask for a recording, in the voice of another where that is given.

    Raises:
        InputError: for an empty text, or one with special tokens.
    """
    text = row.carried[text_column]
    speech = prompts.tokens
    voice = None if before is None else Voice(str(before.carried[text_column]), tokens.codes(before))
    prompt = prompts.ids("" if text is None else str(text), voice)
    answer = [*speech.to_ids(row.codes[0]), speech.end_id]
    if voice is None:  # the token that opens speech is learned, as rows of memory maps have it
        answer.insert(0, prompt.pop())
    return Example(
        row.id,
        "" if before is None else before.id,
        np.array([*prompt, *answer], np.int32),
        np.array([*[IGNORED] * len(prompt), *answer], np.int32),
    )


def pack(found: Iterator[Example], length: int, pad_id: int) -> Iterator[dict[str, Any]]:
    """Fill rows: an example goes to the fullest of some open ones in which there is room for it."""
    opened: list[list[Example]] = []
    for example in found:
        fitting = [row for row in opened if used(row) + len(example.input_ids) <= length]
        if fitting:
            max(fitting, key=used).append(example)
            continue
        opened.append([example])
        if len(opened) > _OPEN:
            fullest = max(opened, key=used)
            opened.remove(fullest)
            yield joined(fullest, length, pad_id)
    yield from (joined(row, length, pad_id) for row in opened)


def used(row: list[Example]) -> int:
    """Count the ids of some examples."""
    return sum(len(example.input_ids) for example in row)


def joined(row: list[Example], length: int, pad_id: int) -> dict[str, Any]:
    """Put examples behind one another, and padding behind the last."""
    lengths = [len(example.input_ids) for example in row]
    rest = length - sum(lengths)
    return {
        "ids": [example.id for example in row],
        "lengths": lengths,
        "input_ids": np.concatenate([*(example.input_ids for example in row), np.full(rest, pad_id, np.int32)]),
        "labels": np.concatenate([*(example.labels for example in row), np.full(rest, IGNORED, np.int32)]),
        "position_ids": np.concatenate([np.arange(each, dtype=np.int32) for each in (*lengths, rest)]),
    }
