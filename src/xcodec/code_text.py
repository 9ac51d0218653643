"""Codes as text on standard input: numbers, or speech tokens of a language model, in pieces cut anywhere."""

import codecs
import re
import sys
from collections.abc import Iterator

from xcodec.audio import Audio
from xcodec.code_stream import CodeStream
from xcodec.errors import CodesError

__all__ = ["CodeText", "audio_of_standard_input"]

ITEM = re.compile(
    r"<\|s_(?P<token>\d+)\|>|(?P<number>-?\d+)(?=[\s,<])|(?P<marker><\|SPEECH_GENERATION_(START|END)\|>)|[\s,]+"
)
UNFINISHED = re.compile(r"-?\d*|<(\|([A-Za-z_]*\d*\|?)?)?")  # what may become an item when more comes
SHOWN = 40  # characters of what is no code


class CodeText:
    """Reads codes from text that comes in pieces.

    Codes of a single codebook are numbers, or tokens such as <|s_123|>, with or without space between them; LLaSA's
    markers of the start and the end of speech may stand around them. Codes of several codebooks are numbers, a frame on
    each line.

    Args:
        num_codebooks: most codebooks of the codec.
    """

    def __init__(self, num_codebooks: int) -> None:
        self.single = num_codebooks == 1
        self.num_codebooks = num_codebooks
        self.ended = False
        self._rest = ""

    def push(self, text: str) -> list[list[int]]:
        """Read a piece, and give the codes that are complete with it: the frames of each codebook.

        Raises:
            CodesError: for what is no code; it shows it.
        """
        self._rest += text
        return self._items() if self.single else self._lines()

    def close(self) -> list[list[int]]:
        """Give the last code, which nothing followed."""
        return self.push("\n")

    def _items(self) -> list[list[int]]:
        codes, position = [], 0
        while not self.ended and (item := ITEM.match(self._rest, position)):
            position = item.end()
            self.ended = (item["marker"] or "").endswith("END|>")
            if number := item["token"] or item["number"]:
                codes.append(int(number))
        self._rest = "" if self.ended else self._rest[position:]
        if not UNFINISHED.fullmatch(self._rest):
            raise CodesError(
                f"{self._rest[:SHOWN]!r} is no code; expected numbers, or speech tokens like <|s_123|>",
                subject="standard input",
            )
        return [codes]

    def _lines(self) -> list[list[int]]:
        *lines, self._rest = self._rest.split("\n")
        frames = [line.replace(",", " ").split() for line in lines if line.strip()]
        for frame in frames:
            if len(frame) != len(frames[0]) or len(frame) > self.num_codebooks or not all(map(is_number, frame)):
                raise CodesError(
                    f"{' '.join(frame)[:SHOWN]!r} is no frame; expected a line of up to "
                    f"{self.num_codebooks} numbers, a code of each codebook, as many on every line",
                    subject="standard input",
                )
        return [[int(code) for code in book] for book in zip(*frames, strict=True)]


def audio_of_standard_input(stream: CodeStream) -> Iterator[Audio]:
    """Decode the codes on standard input while they come: audio, as soon as it is final.

    Args:
        stream: what decodes, at its beginning.

    Raises:
        CodesError: for what is no code of its codec, and where none came.
    """
    text, decode = CodeText(len(stream.codec.codebook_sizes)), codecs.getincrementaldecoder("utf-8")("replace").decode
    heard = False
    while not text.ended and (data := sys.stdin.buffer.read1()):  # type: ignore[union-attr]
        if (ids := text.push(decode(data))) and (audio := stream.push(ids)):
            heard = True
            yield audio
    for rest in (stream.push(ids) if (ids := text.close()) else None, stream.flush()):
        if rest:
            heard = True
            yield rest
    if not heard:
        raise CodesError("no codes came", subject="standard input")


def is_number(text: str) -> bool:
    """Whether a text is a whole number."""
    return re.fullmatch(r"-?\d+", text) is not None
