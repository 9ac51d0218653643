"""Long text in parts that a speech model says in one breath, cut where a speaker would pause."""

# ruff: noqa: RUF001  (quotation marks, dashes and points of many scripts)

import re
from collections.abc import Iterator

__all__ = ["split_text"]

MOST_BYTES = 200
"""Of a part, in UTF-8, which is some 15 seconds of speech in English, and in Chinese too."""

# Where cutting is best, then where it is next best. What matches belongs to what comes before it.
PARAGRAPH = re.compile(r"\n\s*\n\s*")
SENTENCE = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？｡؟।]+[”’」』）]*\s*")
CLAUSE = re.compile(r"[,;:–—]+[\"'”’»)\]]*\s+|\s[–—-]+\s+|[，、；：،؛]+\s*")
WORD = re.compile(r"\s+")

# Words that end in a point in the middle of a sentence. A point that is taken for an abbreviation's costs nothing but a
# longer part, so the list may hold some too many.
POINTED = """
adm al approx apr aug ave bd bzw ca capt cf ch co col corp dec dept dr ed eds esp est etc feb fig figs fr gen gov hon
hr inc jan jr lt ltd maj messrs mlle mme mr mrs ms mt nov nr no nos oct op pp prof pt rev sen sept sgt sr sra st str
univ usw vgl viz vol vols vs
"""
ABBREVIATIONS = frozenset(POINTED.split())


def split_text(text: str, most_bytes: int = MOST_BYTES) -> list[str]:
    """Cut a text into parts.

    A part is as many whole sentences as fit. A sentence that is longer is cut at its commas, dashes and the like, and
    what is still longer between words; a single word is never cut.

    Args:
        text: in any script, paragraphs separated by empty lines.
        most_bytes: what a part may have in UTF-8.

    Returns:
        The parts, in order, with single spaces; none for an empty text.
    """
    parts = [" ".join(part.split()) for part in packed(text, most_bytes, [PARAGRAPH, SENTENCE, CLAUSE, WORD])]
    return [part for part in parts if part]


def packed(text: str, most_bytes: int, places: list[re.Pattern[str]]) -> list[str]:
    """Pieces of a text as long as `most_bytes` allows, cut at the first of `places` that will do."""
    if not places or fits(text, most_bytes):
        return [text]
    parts: list[str] = []
    for piece in pieces(text, places[0]):
        for part in packed(piece, most_bytes, places[1:]):
            if parts and fits(parts[-1] + part, most_bytes):
                parts[-1] += part
            else:
                parts.append(part)
    return parts


def fits(text: str, most_bytes: int) -> bool:
    """Tell whether a text, without the space around it, is short enough."""
    return len(text.strip().encode()) <= most_bytes


def pieces(text: str, place: re.Pattern[str]) -> Iterator[str]:
    """Yield a text cut after each match."""
    begin = 0
    for match in place.finditer(text):
        if place is not SENTENCE or ends_sentence(text, match):
            yield text[begin : match.end()]
            begin = match.end()
    if begin < len(text):
        yield text[begin:]


def ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Tell whether points and white space end a sentence: not after Mr. or J. or e.g., nor before a small letter."""
    if text[match.end() : match.end() + 1].islower():
        return False
    if not re.fullmatch(r"\.[\"'”’»)\]]*\s+", match.group()):
        return True
    word = re.search(r"[^\s(\"'“‘«]*$", text[max(0, match.start() - 20) : match.start()])
    before = word.group().lower() if word else ""
    return not (before in ABBREVIATIONS or "." in before or (len(before) == 1 and before.isalpha()))
