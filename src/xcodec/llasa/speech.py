"""From an answer to its sound: codes in pieces, decoded while they come."""

import os
from collections.abc import Generator, Iterable, Iterator

import numpy as np

from xcodec.audio import Audio
from xcodec.codec import Codec
from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import CodesError, InputError
from xcodec.llasa.answer import AnswerParser, Piece
from xcodec.llasa.tokens import SpeechTokens
from xcodec.streaming import StreamDecoder

__all__ = ["check_codec", "check_spoken", "codes_of_ids", "single_codebook", "stream_answer", "stream_codes"]


def stream_answer(
    pieces: Iterable[Piece], tokens: SpeechTokens, codec: Codec, skip_others: bool = False
) -> Generator[Audio, None, None]:
    """Audio of one answer of any language model, while it comes.

    Args:
        pieces: text, cut anywhere, or ids.
        tokens: of that model's vocabulary.
        codec: whose codes it speaks.
        skip_others: whether to leave out what is no speech token.

    Raises:
        InputError: where codec and tokens do not belong together; at once.
        CodesError: for something that is no speech token, or for an answer without any.
    """
    check_codec(codec, tokens)
    return stream_codes(codes_in(pieces, AnswerParser(tokens, skip_others)), codec)


def codes_in(pieces: Iterable[Piece], parser: AnswerParser) -> Iterator[np.ndarray]:
    """Yield the codes of each piece, up to the end marker."""
    for piece in pieces:
        yield parser.push(piece)
        if parser.ended:
            break
    parser.close()
    if not parser.num_codes:
        raise CodesError("the answer holds no speech")


def stream_codes(codes: Iterator[np.ndarray], codec: Codec) -> Generator[Audio, None, None]:
    """Audio of codes, as it becomes final."""
    decoder = StreamDecoder(codec)
    for ids in codes:
        if (audio := decoder.push(ids)) is not None:
            yield audio
    if (audio := decoder.flush()) is not None:
        yield audio


def codes_of_ids(ids: np.ndarray, codec: Codec) -> Codes:
    """Return codes that no recording was encoded to, as long as they last."""
    return Codes(
        ids=ids,
        frame_rate=codec.frame_rate,
        num_samples=round(len(ids) * codec.sampling_rate / codec.frame_rate),
        sampling_rate=codec.sampling_rate,
        source_sampling_rate=codec.sampling_rate,
        codebook_sizes=codec.codebook_sizes,
    )


def single_codebook(codec: Codec) -> int:
    """Return the size of a codec's only codebook.

    Raises:
        InputError: where it has several.
    """
    if len(codec.codebook_sizes) > 1:
        raise InputError(
            f"{codec!r} makes {len(codec.codebook_sizes)} codes at a time; a language model speaks one token after the "
            "other. Use a codec of one codebook, such as X-Codec2"
        )
    return codec.codebook_sizes[0]


def check_codec(codec: Codec, tokens: SpeechTokens) -> None:
    """Refuse a codec whose codes are not those of a vocabulary."""
    if single_codebook(codec) != tokens.codebook_size:
        raise InputError(
            f"the codec has {single_codebook(codec)} codes and the vocabulary {tokens.codebook_size} speech tokens",
            remedy="give the codec that the language model was trained with",
        )


def check_spoken(codec: Codec, spoken: CodecIdentity | None, llm: str | os.PathLike[str]) -> None:
    """Refuse a codec that is another one than a language model says it was given tokens for.

    Args:
        codec: that is to decode.
        spoken: what the language model says; None says nothing, and is not checked.
        llm: the language model.
    """
    if spoken is not None and not codec.takes_codes_of(spoken):
        raise InputError(
            f"speaks the codes of {spoken}, and the codec is {codec.identity}",
            subject=llm,
            remedy="give the codec that it was trained with",
        )
