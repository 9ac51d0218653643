"""Codes inside a language model: LLaSA and its relatives speak the codes of X-Codec2 as tokens of their vocabulary."""

from xcodec.llasa.answer import AnswerParser, Piece, parse
from xcodec.llasa.prompt import Prompts, Voice
from xcodec.llasa.rows import RowsReport, TrainingRows, TrainingRowsWriter
from xcodec.llasa.sentences import split_text
from xcodec.llasa.tokens import LLASA, NEUTTS, Convention, SpeechTokens

__all__ = [
    "LLASA",
    "NEUTTS",
    "AnswerParser",
    "Convention",
    "Piece",
    "Prompts",
    "RowsReport",
    "SpeechTokens",
    "TrainingRows",
    "TrainingRowsWriter",
    "Voice",
    "parse",
    "split_text",
]
