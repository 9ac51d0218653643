"""LLaSA's training rows."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from xcodec.errors import CheckpointError, InputError, first_line
from xcodec.llasa import Prompts, RowsReport, SpeechTokens, TrainingRowsWriter
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.tokens import Tokens

__all__ = ["LlasaReport", "export_llasa"]


@dataclass(frozen=True)
class LlasaReport:
    """What became of the recordings.

    Args:
        rows: of those that were written.
        skipped: recordings that make no row, by reason.
        failures: files of codes that could not be read.
    """

    rows: RowsReport
    skipped: dict[str, int]
    failures: list[Failure]

    def __str__(self) -> str:
        """The report in one line."""
        return str(self.rows) + "".join(f"; {count:,} skipped: {reason}" for reason, count in self.skipped.items())


def export_llasa(
    tokens: Tokens, folder: Path, tokenizer: str, text_column: str = "text", overwrite: bool = False
) -> LlasaReport:
    """Write the memory maps that LLaSA's training reads: a row for each recording that has a text.

    Args:
        tokens: a finished output of a codec with one codebook.
        folder: to write, which holds no rows yet.
        tokenizer: folder or hub id of the tokenizer of the model to train; speech tokens that it lacks are added
            behind its own, so that the ids of the codes follow from it.
        text_column: the carried column that says what is said.
        overwrite: whether to replace rows that the folder holds.

    Raises:
        InputError: where there is no such column, or several codebooks.
        CheckpointError: where the tokenizer cannot be loaded.
    """
    tokens.check_finished()
    if text_column not in tokens.plan.carried.names:
        held = ", ".join(tokens.plan.carried.names) or "none"
        raise InputError(f"carries no column {text_column!r} (it carries {held})", subject=tokens.plan.folder)
    sizes = tokens.codec["codebook_sizes"]
    if len(sizes) > 1:
        raise InputError(f"has {len(sizes)} codebooks; LLaSA's rows hold codes of one", subject=tokens.plan.folder)
    loaded = load_tokenizer(tokenizer)
    prompts = Prompts(loaded, SpeechTokens.add(loaded, sizes[0]))
    skipped: Counter[str] = Counter()
    failures: list[Failure] = []
    with TrainingRowsWriter(folder, prompts, overwrite=overwrite) as rows:
        for row in tokens.rows(failures=failures):
            text = row.carried[text_column]
            try:
                rows.write("" if text is None else str(text), row.codes)
            except InputError as error:
                skipped[str(error)] += 1
    return LlasaReport(rows.report, dict(skipped), failures)


def load_tokenizer(name: str) -> object:
    """Load a tokenizer of transformers."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"no tokenizer that can be loaded ({first_line(error)})", subject=name, remedy="give a folder or hub id"
        ) from None
