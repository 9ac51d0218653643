"""The answer of a language model, as it arrives in pieces of text or ids, read back to codes."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from xcodec.errors import CodesError
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["AnswerParser", "Piece", "parse"]

Piece: TypeAlias = str | int | Sequence[int] | np.ndarray
"""A piece of an answer: text, cut anywhere, or one id, or several."""


class AnswerParser:
    """Reads one answer, piece by piece.

    What it does with each thing that may come:
      - a speech token is a code;
      - the end marker ends the speech, and whatever comes after it, in this piece or later ones, is not looked at;
      - the start marker before the first code is passed over, since an engine may repeat it;
      - white space between the tokens of a text is passed over, since some detokenizers put it there;
      - a token that a piece of text ends in the middle of is kept until the rest comes;
      - anything else, such as a word, another marker, or a code that the codebook does not have, is a `CodesError` that
        shows it, or is counted in `skipped` and left out where `skip_others` says so.

    Args:
        tokens: of the model that answers.
        skip_others: whether to leave out and count what is no speech token; in text, what stands between two tokens
            counts as one.
    """

    def __init__(self, tokens: SpeechTokens, skip_others: bool = False) -> None:
        self.tokens = tokens
        self.skip_others = skip_others
        self.ended = False
        self.num_codes = 0
        self.skipped = 0
        self._rest = ""

    def push(self, piece: Piece) -> np.ndarray:
        """Read a piece.

        Returns:
            The codes that are complete with it, int64 of shape (n,), maybe none.

        Raises:
            CodesError: for something that is no speech token, unless it is to be skipped.
        """
        if self.ended:
            return np.empty(0, np.int64)
        codes = self._text(self._rest + piece) if isinstance(piece, str) else self._ids(np.atleast_1d(piece))
        self.num_codes += len(codes)
        return codes

    def close(self) -> None:
        """Say that no more pieces come.

        Raises:
            CodesError: where the text ended in the middle of a token, unless that is to be skipped.
        """
        if self._rest and not self.ended:
            rest, self._rest = self._rest, ""
            self._other(f"the answer ends in the middle of a token: {rest!r}")

    def _ids(self, ids: np.ndarray) -> np.ndarray:
        if ids.size == 0:
            return np.empty(0, np.int64)
        if ids.dtype.kind not in "iu":
            raise CodesError(f"a piece of type {ids.dtype}: expected text, an id, or integers of shape (n,)")
        ends = np.flatnonzero(ids == self.tokens.end_id)
        if len(ends):
            self.ended = True
            ids = ids[: ends[0]]
        known = (ids >= 0) & (ids < len(self.tokens.codes))
        codes = np.where(known, self.tokens.codes[np.where(known, ids, 0)], -1)
        others = codes < 0
        if not self.num_codes:
            first = int(np.argmin(others)) if not others.all() else len(ids)
            if self.tokens.start_id is not None:
                others[:first] &= ids[:first] != self.tokens.start_id
        for i in np.flatnonzero(others):
            self._other(f"id {ids[i]} in the answer, after {self.num_codes + int((codes[:i] >= 0).sum())} codes")
        return codes[codes >= 0].astype(np.int64)

    def _text(self, text: str) -> np.ndarray:
        pattern = self.tokens.pattern
        whole = len(text) - self._unfinished(text)
        text, self._rest = text[:whole], text[whole:]
        end = text.find(self.tokens.convention.speech_end)
        if end >= 0:
            self.ended = True
            text = text[:end]
        # Text, code, text, code, ..., text: the pattern's only group is a code's number.
        parts = pattern.split(text)
        codes = np.array(parts[1::2], dtype=np.int64)
        between = parts[0::2]
        if self.num_codes == 0 and self.tokens.convention.speech_start is not None:
            between[0] = between[0].replace(self.tokens.convention.speech_start, "", 1)
        for i, other in enumerate(between):
            if other and (other := other.strip()):
                self._other(f"{other[:60]!r} in the answer, after {self.num_codes + i} codes")
        beyond = codes >= self.tokens.codebook_size
        for code in codes[beyond]:
            self._other(
                f"{self.tokens.convention.code.format(code)} in the answer, of {self.tokens.codebook_size} codes"
            )
        return codes[~beyond]

    def _unfinished(self, text: str) -> int:
        """Compute how many characters at the end of a text may be the beginning of a token."""
        complete = 0
        for match in self._whole.finditer(text):
            complete = match.end()
        begun = self._begun.search(text, max(complete, len(text) - self._longest))
        return len(text) - begun.start() if begun else 0

    @cached_property
    def _markers(self) -> list[str]:
        convention = self.tokens.convention
        return [convention.speech_end, *([] if convention.speech_start is None else [convention.speech_start])]

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        """A token that is complete."""
        return re.compile("|".join([self.tokens.pattern.pattern, *map(re.escape, self._markers)]))

    @cached_property
    def _longest(self) -> int:
        """How many characters the longest token has."""
        return max(len(self.tokens.convention.code) + 9, *map(len, self._markers))

    @cached_property
    def _begun(self) -> re.Pattern[str]:
        """The beginning of a token that is not complete, at the end of a text."""
        before, after = self.tokens.convention.code.split("{}")
        number = f"{re.escape(before)}[0-9]{{1,9}}"
        choices = [re.escape(prefix) for marker in self._markers for prefix in proper_prefixes(marker)]
        choices += [*map(re.escape, [*proper_prefixes(before), before]), number]
        choices += [number + re.escape(prefix) for prefix in proper_prefixes(after)]
        return re.compile(rf"(?:{'|'.join(choices)})\Z")

    def _other(self, what: str) -> None:
        if not self.skip_others:
            raise CodesError(
                "no speech token",
                subject=what,
                remedy="let the model sample speech tokens only, or skip what is none by skip_others=True",
            )
        self.skipped += 1


def proper_prefixes(token: str) -> list[str]:
    """Return the beginnings of a token that are not empty and not all of it."""
    return [token[:i] for i in range(1, len(token))]


def parse(answer: Piece | Iterable[Piece], tokens: SpeechTokens, skip_others: bool = False) -> np.ndarray:
    """Read a whole answer: text, ids, or an iterable of pieces of either.

    Returns:
        Codes, int64 of shape (T,), maybe none.

    Raises:
        CodesError: as `AnswerParser`.
    """
    parser = AnswerParser(tokens, skip_others)
    pieces = [answer] if isinstance(answer, (str, int, np.ndarray)) else answer
    codes = [parser.push(piece) for piece in pieces]
    parser.close()
    return np.concatenate([*codes, np.empty(0, np.int64)])
