"""How the text of `--help` is laid out."""

__all__ = ["FAILURES_AT_THE_END", "manual"]

FAILURES_AT_THE_END = """\
A file that cannot be read or written, or whose output exists already, is named
at the end with the reason; all others are done."""


def manual(text: str) -> str:
    """Join the lines of each paragraph, for the terminal to break; an indented line stays as it is."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.split("\n")
        paragraphs.append((" " if all(line == line.lstrip() for line in lines) else "\n").join(lines))
    return "\n\n".join(paragraphs)
