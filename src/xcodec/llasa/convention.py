"""How a family of language models spells speech, and how it is asked: LLaSA's way, NeuTTS', or what a file says."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from xcodec.errors import InputError, first_line
from xcodec.llasa.sampling import Sampling

__all__ = ["CONVENTIONS", "LLASA", "NEUTTS", "SLOT", "Convention", "Message", "Pattern", "read_convention", "slots_of"]

SLOT = re.compile(r"\{(\w+)\}")
"""Where something is put into a pattern; the only group is its name."""

ASKED, VOICE_TEXT, VOICE_CODES = ("text", "phones"), ("voice_text", "voice_phones"), "voice_codes"
TOKEN = re.compile(r"<\|[^<>|{}]+\|>")
"""What looks like a token of its own in a pattern, and so has to be one."""

SAMPLED = ("temperature", "top_p", "top_k", "repetition_penalty", "least_codes")
"""What a file may say of sampling."""


class Message(NamedTuple):
    """A message of a chat: who says it (system, user or assistant), and what."""

    role: str
    content: str


Pattern: TypeAlias = str | tuple[Message, ...]
"""What a language model is asked: the whole prompt, or messages that its tokenizer's chat template lays out."""


@dataclass(frozen=True)
class Convention:
    """How a family of language models spells speech, and how it is asked to speak.

    Patterns hold {text} or {phones}, what is to be said, in writing or as espeak-ng's phones; where they are of a
    voice, also {voice_codes}, and {voice_text} or {voice_phones}, what is said in it. A whole prompt is taken as it
    stands, the token that opens a text included; in a chat, an assistant's message at the end is gone on with. What
    looks like <|a token|> has to be one of the vocabulary.

    Args:
        code: how a code is spelled, with {} in place of its number.
        speech_end: the token that ends speech.
        prompt: how it is asked without a voice; None for a language model that speaks in a given voice only.
        voice_prompt: how it is asked to go on in a voice; None for one that takes none.
        speech_start: the token that opens speech, which an answer may repeat; None where there is none.
        language: of phones, as espeak-ng calls it.
        markers: the tokens that are added to a vocabulary before the codes, in order; empty for those of the patterns.
        sampling: how tokens are drawn where nobody says otherwise.

    Raises:
        InputError: for what cannot be; the argument is named.
    """

    code: str
    speech_end: str
    prompt: Pattern | None = None
    voice_prompt: Pattern | None = None
    speech_start: str | None = None
    language: str = "en-us"
    markers: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        before, slot, after = self.code.partition("{}")
        if not (before and slot and after and not before[-1].isdigit() and not after[0].isdigit()) or (
            {"{", "}"} & {*before, *after}
        ):
            raise InputError(
                "expected {} in place of the number, once, and something else than digits on both sides of it, such "
                "as <|speech_{}|>",
                argument="code",
                value=self.code,
            )
        if self.prompt is None and self.voice_prompt is None:
            raise InputError("give it, or voice_prompt, or both", argument="prompt", value=None)
        for name, of_voice in (("prompt", False), ("voice_prompt", True)):
            if (pattern := getattr(self, name)) is not None:
                check_slots(name, pattern, of_voice)
        for name in ("speech_end", "speech_start", "language"):
            if getattr(self, name) == "":
                raise InputError("is empty", argument=name, value="")

    @property
    def reads_phones(self) -> bool:
        """Whether texts become phones first."""
        patterns = [pattern for pattern in (self.prompt, self.voice_prompt) if pattern is not None]
        return any(name.endswith("phones") for pattern in patterns for name in slots_of(pattern))

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The tokens, beside those of codes, that a vocabulary has to have."""
        patterns = [pattern for pattern in (self.prompt, self.voice_prompt) if pattern is not None]
        in_patterns = [token for pattern in patterns for text in texts_of(pattern) for token in TOKEN.findall(text)]
        start = [] if self.speech_start is None else [self.speech_start]
        return tuple(dict.fromkeys([*in_patterns, *start, self.speech_end]))


def texts_of(pattern: Pattern) -> Iterator[str]:
    """Yield a whole prompt, or the contents of messages."""
    yield from [pattern] if isinstance(pattern, str) else (message.content for message in pattern)


def slots_of(pattern: Pattern) -> list[str]:
    """List the names of what is put into a pattern."""
    return [name for text in texts_of(pattern) for name in SLOT.findall(text)]


def check_slots(argument: str, pattern: Pattern, of_voice: bool) -> None:
    """Refuse a pattern into which something else is put than what there is, or something twice.

    Raises:
        InputError: which names the argument.
    """
    names = slots_of(pattern)
    known = [*ASKED, *((*VOICE_TEXT, VOICE_CODES) if of_voice else ())]
    listed = ", ".join(f"{{{name}}}" for name in known)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"holds {{{unknown[0]}}}; there are {listed}", argument=argument)
    if sum(name in ASKED for name in names) != 1:
        raise InputError("expected what is to be said, {text} or {phones}, once", argument=argument)
    if of_voice and (names.count(VOICE_CODES) != 1 or sum(name in VOICE_TEXT for name in names) > 1):
        raise InputError(
            "expected {voice_codes} once, and {voice_text} or {voice_phones} once at most", argument=argument
        )


LLASA_QUESTION = "Convert the text to speech:<|TEXT_UNDERSTANDING_START|>{}<|TEXT_UNDERSTANDING_END|>"

LLASA = Convention(
    code="<|s_{}|>",
    speech_end="<|SPEECH_GENERATION_END|>",
    prompt=(
        Message("user", LLASA_QUESTION.format("{text}")),
        Message("assistant", "<|SPEECH_GENERATION_START|>"),
    ),
    voice_prompt=(
        Message("user", LLASA_QUESTION.format("{voice_text} {text}")),
        Message("assistant", "<|SPEECH_GENERATION_START|>{voice_codes}"),
    ),
    speech_start="<|SPEECH_GENERATION_START|>",
    markers=(
        "<|TEXT_GENERATION_START|>",
        "<|TEXT_GENERATION_END|>",
        "<|TEXT_UNDERSTANDING_START|>",
        "<|TEXT_UNDERSTANDING_END|>",
        "<|SPEECH_GENERATION_START|>",
        "<|SPEECH_GENERATION_END|>",
        "<|SPEECH_UNDERSTANDING_START|>",
        "<|SPEECH_UNDERSTANDING_END|>",
    ),
)
"""The published LLaSA models: a Llama 3 vocabulary (128,256), these 8 markers, then `<|s_0|>` at id 128,264."""

NEUTTS = Convention(
    code="<|speech_{}|>",
    speech_end="<|SPEECH_GENERATION_END|>",
    voice_prompt=(
        "user: Convert the text to speech:<|TEXT_PROMPT_START|>{voice_phones} {phones}<|TEXT_PROMPT_END|>\n"
        "assistant:<|SPEECH_GENERATION_START|>{voice_codes}"
    ),
    speech_start="<|SPEECH_GENERATION_START|>",
    markers=(
        "<|TEXT_PROMPT_START|>",
        "<|TEXT_PROMPT_END|>",
        "<|SPEECH_GENERATION_START|>",
        "<|SPEECH_GENERATION_END|>",
    ),
    sampling=Sampling(temperature=1.0, top_k=50, least_codes=50),
)
"""The NeuTTS models, which read phones, and always speak in a given voice."""

CONVENTIONS = {"llasa": LLASA, "neutts": NEUTTS}
"""By what they are called."""


def read_convention(name_or_file: str | Path) -> Convention:
    """Give a convention by its name, or read one from a JSON file whose keys are the arguments of `Convention`.

    In the file a chat is a list of {"role": ..., "content": ...}.

    Raises:
        InputError: where there is no such name or file, or the file says something else; names the file and the key.
    """
    if str(name_or_file) in CONVENTIONS:
        return CONVENTIONS[str(name_or_file)]
    path = Path(name_or_file).expanduser()
    if not path.is_file():
        raise InputError(
            f"expected {', '.join(CONVENTIONS)}, or a file of JSON; there is no such file",
            argument="convention",
            value=str(name_or_file),
        )
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({first_line(error)})", subject=path) from None
    try:
        return Convention(**arguments_of(told))
    except InputError as error:
        key = "" if error.argument is None else f"the key {error.argument}: "
        raise InputError(f"{key}{error.problem}", subject=path, remedy=error.remedy) from None


def arguments_of(told: Any) -> dict[str, Any]:
    """Turn what a file says into arguments of `Convention`.

    Raises:
        InputError: for what is of another type, is unknown, or is not there; the argument is the key.
    """
    if not isinstance(told, dict):
        raise InputError(f"holds a {type(told).__name__}; expected a JSON object")
    known = [each.name for each in fields(Convention)]
    check_keys(told, known, None)
    for key in ("code", "speech_end"):
        if key not in told:
            raise InputError("is not there", argument=key)
    read: dict[str, Any] = {}
    for key, value in told.items():
        if key in ("prompt", "voice_prompt"):
            read[key] = pattern_of(key, value)
        elif key == "sampling":
            read[key] = sampling_of(value)
        elif key == "markers":
            if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
                raise InputError("expected a list of tokens", argument=key)
            read[key] = tuple(value)
        elif not isinstance(value, str):
            raise InputError(f"expected a text, got {json.dumps(value)[:60]}", argument=key)
        else:
            read[key] = value
    return read


def pattern_of(key: str, value: Any) -> Pattern:
    """Read a whole prompt, or messages.

    Raises:
        InputError: which names the key.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise InputError('expected a text, or a list of {"role": ..., "content": ...}', argument=key)
    for i, message in enumerate(value):
        where = f"{key}[{i}]"
        if not isinstance(message, dict) or not all(isinstance(each, str) for each in message.values()):
            raise InputError('expected {"role": ..., "content": ...}', argument=where)
        if message.keys() != {"role", "content"} or message["role"] not in ("system", "user", "assistant"):
            raise InputError("expected a role, which is system, user or assistant, and a content", argument=where)
    return tuple(Message(**message) for message in value)


def sampling_of(value: Any) -> Sampling:
    """Read how tokens are drawn.

    Raises:
        InputError: which names the key.
    """
    if not isinstance(value, dict):
        raise InputError(f"expected an object of {', '.join(SAMPLED)}", argument="sampling")
    check_keys(value, SAMPLED, "sampling")
    for key, number in value.items():
        whole = isinstance(getattr(Sampling(), key), int)
        if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
            raise InputError(f"expected a {'whole ' * whole}number", argument=f"sampling.{key}")
    try:
        return Sampling(**value)
    except InputError as error:
        raise InputError(error.problem, argument=f"sampling.{error.argument}") from None


def check_keys(told: dict[str, Any], known: list[str] | tuple[str, ...], within: str | None) -> None:
    """Refuse keys that mean nothing.

    Raises:
        InputError: which names the first of them.
    """
    if unknown := [key for key in told if key not in known]:
        name = unknown[0] if within is None else f"{within}.{unknown[0]}"
        raise InputError(f"there is no such key; there are {', '.join(known)}", argument=name)
