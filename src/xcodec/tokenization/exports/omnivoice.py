"""The shards that OmniVoice's trainers read: WebDataset tars of codes, JSON lines of labels, and a list of both."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.tokens import Row, Tokens

__all__ = ["export_omnivoice"]

CODEBOOK_SIZES = [1024] * 8  # of the Higgs tokenizer, and of OmniVoice's vocabulary
LIST = "data.lst"
NO_TEXT = "no text"


def export_omnivoice(tokens: Tokens, folder: Path, text_column: str = "text") -> ExportReport:
    """Write audios/shard-N.tar with KEY.npy (int16, (8, T)), txts/shard-N.jsonl with a label for each, and data.lst.

    A label has the key as `id`, the recording's id as `recording`, `text`, `num_tokens`, `audio_duration` in seconds,
    and what else is carried, such as `language_id` or `instruct`. A key is SHARD-ROW: an id may hold points, at which
    WebDataset would cut it. The list has a line for each shard, TAR JSONL RECORDINGS SECONDS, and is written last: it
    names only what is there. A shard whose codes cannot be read is a failure of the report, and not in the list.

    Args:
        tokens: a finished output of the Higgs tokenizer.
        folder: to write.
        text_column: the carried column that says what is said; recordings without are left out, and counted.

    Raises:
        InputError: for an output of another codec, or without such a column; or a folder whose path has white space,
            at which the list would be cut.
    """
    tokens.check_finished()
    folder = folder.absolute()
    check_export(tokens, folder, text_column)
    for name in ("audios", "txts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    report = ExportReport()
    lines = []
    for number in tokens.plan.done():
        try:
            line = write_shard(folder, tokens, number, text_column, report)
        except InputError as error:
            report.failures.append(tokens.unreadable(number, error))
        else:
            lines += [line] if line else []
    with written_whole(folder / LIST) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return report


def check_export(tokens: Tokens, folder: Path, text_column: str) -> None:
    """Refuse what the trainers could not read."""
    sizes = tokens.codec["codebook_sizes"]
    if sizes != CODEBOOK_SIZES:
        raise InputError(
            f"has codebooks of {', '.join(map(str, sizes))} codes; OmniVoice reads 8 of 1024, of the Higgs tokenizer "
            "at its full bandwidth",
            subject=tokens.plan.store,
        )
    if text_column not in tokens.plan.carried.names:
        held = ", ".join(tokens.plan.carried.names) or "none"
        raise InputError(f"carries no column {text_column!r} (it carries {held})", subject=tokens.plan.store)
    if len(str(folder).split()) != 1:
        raise InputError(
            f"has white space in its path, at which {LIST} would be cut", subject=folder, remedy="give another folder"
        )


def write_shard(folder: Path, tokens: Tokens, number: int, text_column: str, report: ExportReport) -> str:
    """Write one shard's two files and count its rows; return its line of the list, or nothing where it has no rows."""
    rows: list[tuple[str, Row, str]] = []
    for row in tokens.shard(number):
        text = row.carried[text_column]
        if text is None or not str(text).strip():
            report.skipped[NO_TEXT] += 1
        else:
            rows.append((f"{number:07}-{len(rows):05}", row, str(text)))
    if not rows:
        return ""
    tar_path, labels_path = folder / "audios" / f"shard-{number:06}.tar", folder / "txts" / f"shard-{number:06}.jsonl"
    with written_whole(tar_path) as part, tarfile.open(part, "w") as tar:
        for key, row, _ in rows:
            add_array(tar, f"{key}.npy", row.codes.astype(np.int16))
    with written_whole(labels_path) as part, part.open("w", encoding="utf-8") as file:
        for key, row, text in rows:
            file.write(json.dumps(label_of(key, row, text), ensure_ascii=False, default=str) + "\n")
    report.rows += len(rows)
    return f"{tar_path} {labels_path} {len(rows)} {sum(row.seconds for _, row, _ in rows):.3f}"


def add_array(tar: tarfile.TarFile, name: str, array: np.ndarray) -> None:
    """Add an array to a tar as a file."""
    contents = io.BytesIO()
    np.save(contents, array)
    member = tarfile.TarInfo(name)
    member.size = contents.tell()
    contents.seek(0)
    tar.addfile(member, contents)


def label_of(key: str, row: Row, text: str) -> dict[str, object]:
    """Make a recording's label; what is not known of it is left out."""
    known = {name: value for name, value in row.carried.items() if value is not None}
    told = {"id": key, "recording": row.id, "text": text}
    return known | told | {"num_tokens": row.codes.shape[1], "audio_duration": row.seconds}
