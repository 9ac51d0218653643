"""What is said in recordings: tables beside them, or one that is given."""

from pathlib import Path

from xcodec.errors import InputError, first_line

__all__ = ["Transcripts"]


class Transcripts:
    """Finds the transcript of a recording.

    Without a table, what lies in a recording's folder is taken: `transcripts.tsv`, or LibriSpeech's
    `SPEAKER-CHAPTER.trans.txt`.

    Args:
        table: a file of lines "name TAB text"; a name is a clip's, or its file's with or without suffix.

    Raises:
        InputError: where the table cannot be read.
    """

    def __init__(self, table: Path | None = None) -> None:
        self._table = None if table is None else read(table)
        self._beside: dict[Path, dict[str, str]] = {}

    def of(self, name: str, path: Path) -> str | None:
        """Return the transcript of the clip `name` at `path`, or None."""
        texts = self._table if self._table is not None else self._in(path.parent)
        return next((texts[key] for key in (name, path.name, path.stem) if key in texts), None)

    def _in(self, folder: Path) -> dict[str, str]:
        if folder not in self._beside:
            tables = [folder / "transcripts.tsv", *sorted(folder.glob("*.trans.txt"))]
            self._beside[folder] = {
                name: text for table in tables if table.is_file() for name, text in read(table).items()
            }
        return self._beside[folder]


def read(table: Path) -> dict[str, str]:
    """Read lines of a name, a tab (in LibriSpeech's .trans.txt a space) and a text.

    Raises:
        InputError: where the file cannot be read, or a line has no tab.
    """
    between = " " if table.name.endswith(".trans.txt") else "\t"
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {first_line(error)}", subject=table) from None
    texts = {}
    for number, line in enumerate(lines, 1):
        name, found, text = line.partition(between)
        if not found and line.strip():
            raise InputError(f"{table}, line {number}: expected a name, a tab and a text; found {line[:40]!r}")
        texts[name.strip()] = text.strip()
    return texts
