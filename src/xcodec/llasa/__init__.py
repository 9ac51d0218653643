"""Codes inside a language model: LLaSA and its relatives speak the codes of X-Codec2 as tokens of their vocabulary."""

from xcodec.llasa.answer import AnswerParser, Piece, parse
from xcodec.llasa.convention import CONVENTIONS, LLASA, NEUTTS, Convention, Message, read_convention
from xcodec.llasa.engine import Engine
from xcodec.llasa.generation import TransformersEngine
from xcodec.llasa.model import Llasa, SpeechCutWarning
from xcodec.llasa.prompt import Prompts, Voice
from xcodec.llasa.rows import RowsReport, TrainingRows, TrainingRowsWriter
from xcodec.llasa.sampling import Sampling
from xcodec.llasa.sentences import split_text
from xcodec.llasa.speech import stream_answer
from xcodec.llasa.tokens import SpeechTokens

__all__ = [
    "CONVENTIONS",
    "LLASA",
    "NEUTTS",
    "AnswerParser",
    "Convention",
    "Engine",
    "Llasa",
    "Message",
    "Piece",
    "Prompts",
    "RowsReport",
    "Sampling",
    "SpeechCutWarning",
    "SpeechTokens",
    "TrainingRows",
    "TrainingRowsWriter",
    "TransformersEngine",
    "Voice",
    "parse",
    "read_convention",
    "split_text",
    "stream_answer",
]
