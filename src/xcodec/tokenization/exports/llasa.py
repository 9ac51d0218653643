"""Training rows for a language model that speaks, of the texts and codes of an output."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from xcodec.codes import CodecIdentity
from xcodec.errors import InputError
from xcodec.llasa import Prompts, RowsReport, SpeechTokens, TrainingRowsWriter
from xcodec.llasa.checkpoint import SpokenCodec, load_tokenizer
from xcodec.llasa.rows import ROW_LENGTH
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.tokens import Tokens

__all__ = ["LlasaReport", "prepare_rows", "prompts_of"]


@dataclass(frozen=True)
class LlasaReport:
    """What became of the recordings.

    Args:
        rows: of those that were written.
        left_out: recordings that make no row, by reason.
        examples: the id of one of them, by reason.
        failures: files of codes that could not be read.
        codec_is_known: whether the language model tells whose codes it speaks, so that it was compared.
    """

    rows: RowsReport
    left_out: dict[str, int]
    examples: dict[str, str]
    failures: list[Failure]
    codec_is_known: bool

    def __str__(self) -> str:
        """The report in one line."""
        rows = self.rows
        cut = f"; {rows.truncated:,} of them cut at the end of the row" if rows.truncated else ""
        return f"{rows.train:,} rows to train and {rows.val:,} to validate{cut}; {self.total_left_out:,} left out"

    @property
    def total_left_out(self) -> int:
        """How many recordings make no row."""
        return sum(self.left_out.values()) + self.rows.left_out

    def reasons(self) -> list[str]:
        """Say in a line for each reason how many recordings were left out, and which for example."""
        lines = [f"{count:,} left out, such as {self.examples[why]}: {why}" for why, count in self.left_out.items()]
        if self.rows.left_out:
            lines.append(f"{self.rows.left_out:,} left out: the text alone fills a row")
        return lines


def prepare_rows(
    tokens: Tokens,
    folder: Path,
    llm: str,
    *,
    text_column: str = "text",
    length: int = ROW_LENGTH,
    val_every: int | None = 100,
    cut: bool = False,
    overwrite: bool = False,
) -> LlasaReport:
    """Write the memory maps that LLaSA's training reads: a row for each recording that has a text.

    Args:
        tokens: a finished output of a codec with one codebook.
        folder: to write, which holds no rows yet.
        llm: folder or hub id of the language model to train, which has the speech tokens.
        text_column: the carried column that says what is said.
        length: ids in a row.
        val_every: one row in so many is for validation; None is for none.
        cut: whether what is longer than a row loses its end; else it is left out.
        overwrite: whether to replace rows that the folder holds.

    Raises:
        InputError: where there is no such column, there are several codebooks, or the language model was given the
            tokens of another codec, or none.
        CheckpointError: where the language model's tokenizer cannot be loaded.
    """
    tokens.check_finished()
    prompts, codec_is_known = prompts_of(tokens, llm, text_column)
    maker = maker_of(tokens)
    left_out: Counter[str] = Counter()
    examples: dict[str, str] = {}
    failures: list[Failure] = []
    with TrainingRowsWriter(
        folder, prompts, length=length, val_every=val_every, cut=cut, codec=maker, overwrite=overwrite
    ) as rows:
        for row in tokens.rows(failures=failures):
            text = row.carried[text_column]
            try:
                rows.write("" if text is None else str(text), row.codes)
            except InputError as error:
                left_out[error.problem] += 1
                examples.setdefault(error.problem, row.id)
    return LlasaReport(rows.report, dict(left_out), examples, failures, codec_is_known)


def maker_of(tokens: Tokens) -> CodecIdentity:
    """Tell which codec made the codes."""
    return CodecIdentity(*(tokens.codec[name] for name in ("name", "config_hash", "weights_hash")))


def prompts_of(tokens: Tokens, llm: str, text_column: str) -> tuple[Prompts, bool]:
    """Return the prompts of a language model, and whether it tells whose codes it speaks; these are then of that codec.

    Raises:
        InputError: as `prepare_rows`.
        CheckpointError: likewise.
    """
    if text_column not in tokens.further.names:
        held = ", ".join(tokens.further.names) or "none"
        raise InputError(f"carries no column {text_column!r} (it carries {held})", subject=tokens.plan.store)
    sizes = tokens.codec["codebook_sizes"]
    if len(sizes) > 1:
        raise InputError(f"has {len(sizes)} codebooks; LLaSA's rows hold codes of one", subject=tokens.plan.store)
    maker, spoken = maker_of(tokens), SpokenCodec(llm).identity
    if spoken is not None and not spoken.same_model(maker):
        raise InputError(
            f"holds codes of {maker}, and {llm} has the tokens of {spoken}",
            subject=tokens.plan.store,
            remedy="tokenize with that codec, or begin with `xcodec llasa init` and this one",
        )
    loaded = load_tokenizer(llm)
    return Prompts(loaded, SpeechTokens.of(loaded, sizes[0])), spoken is not None
