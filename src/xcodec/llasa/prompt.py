"""What a language model is asked: a text to say, and the voice to say it in."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.llasa.convention import SLOT, Pattern, slots_of
from xcodec.llasa.phones import EspeakPhones
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["Prompts", "Voice"]

# What Llama 3.2's template says where it is not told the day. Told the true day, as it is by default, the same text and
# seed would be other speech tomorrow.
DATE = "26 Jul 2024"

VOICE_CODES = "{voice_codes}"
MARKED = re.compile(r"(.*)(<\|[^<>|{}]+\|>)\{(text|phones)\}(<\|[^<>|{}]+\|>)(.*)", re.DOTALL)
"""A prompt that has the text between two tokens."""


@dataclass(frozen=True)
class Voice:
    """A reference: somebody's speech as codes, and what is said in it."""

    text: str
    codes: Codes


class Prompts:
    """Prompts as a convention lays them out, in the ids of a tokenizer.

    Args:
        tokenizer: of transformers, with the markers of `tokens`.
        tokens: the speech tokens of its vocabulary, and their convention.
        spell: what becomes of a text where the convention asks for phones; None is `EspeakPhones`.

    Raises:
        InputError: where the convention asks in a chat, and the tokenizer has no chat template, or one that does not
            keep messages as they are; or where its markers are no tokens.
        MissingExtraError: where phones are asked for, and the program espeak-ng is not there.
    """

    def __init__(self, tokenizer: Any, tokens: SpeechTokens, spell: Callable[[str], str] | None = None) -> None:
        self.tokenizer, self.tokens = tokenizer, tokens
        convention = tokens.convention
        self._spell = spell
        if spell is None and convention.reads_phones:
            self._spell = EspeakPhones(convention.language)
        self._special = frozenset(tokenizer.added_tokens_decoder)
        self._alone, self._voiced = (
            None if pattern is None else self._laid_out(pattern)
            for pattern in (convention.prompt, convention.voice_prompt)
        )
        for token in convention.tokens:
            if len(self._encode(token)) != 1:
                raise InputError(f"{token} is no token of this tokenizer")

    @property
    def takes_voice(self) -> bool:
        """Whether the language model can be asked to go on in a voice."""
        return self._voiced is not None

    @property
    def needs_voice(self) -> bool:
        """Whether it cannot be asked without one."""
        return self._alone is None

    def ids(self, text: str, voice: Voice | None = None) -> list[int]:
        """Return the prompt for a text, up to where the model has to speak, white space made single.

        Raises:
            InputError: for a text that is empty, or in which a special token is spelled out; for a voice whose codes
                are of several codebooks; or where the convention has no prompt without a voice, or none with one.
        """
        frame = self._alone if voice is None else self._voiced
        if frame is None:
            raise InputError(
                "this language model speaks in a given voice only"
                if voice is None
                else "this language model takes no voice",
                remedy="give a voice and its text" if voice is None else "leave it out",
            )
        if voice is None:
            return self._encode(self._filled(frame, text)[0])
        before, after = self._filled(frame, text, voice.text)
        return [*self._encode(before), *self.tokens.to_ids(voice.codes).tolist(), *self._encode(after)]

    def check(self, text: str) -> None:
        """Refuse a text that cannot be said; errors as `ids`."""
        for name in {name for frame in (self._alone, self._voiced) if frame for name in SLOT.findall(frame)}:
            if name in ("text", "phones"):
                self._clean(name, text)

    def text_ids(self, text: str) -> list[int]:
        """Return the ids of a text between its two markers, as rows of training hold it.

        Raises:
            InputError: as `ids`; and where the convention has no such markers, or no prompt without a voice that ends
                with the marker of speech.
        """
        _, opening, name, closing, _ = self._row
        return self._encode(opening + self._clean(name, text) + closing)

    def of_text_ids(self, text_ids: list[int]) -> list[int]:
        """Return the prompt for what `text_ids` gave; errors as there."""
        before, _, _, _, after = self._row
        return self._encode(before) + text_ids + self._encode(after)

    @cached_property
    def _row(self) -> tuple[str, ...]:
        """What comes before a text's marker, that marker, the name of the slot, its other marker, and what follows."""
        convention = self.tokens.convention
        start = convention.speech_start
        parts = None if self._alone is None else MARKED.fullmatch(self._alone)
        if parts is None or start is None or not self._alone or not self._alone.endswith(start):
            raise InputError(
                "rows of training are for conventions whose prompt has the text between two tokens, such as "
                "<|TEXT_UNDERSTANDING_START|>, and ends with the token that opens speech"
            )
        return parts.groups()

    def _laid_out(self, pattern: Pattern) -> str:
        """Return a pattern as a whole prompt, in which something is still to be put."""
        if isinstance(pattern, str):
            return pattern
        if self.tokenizer.chat_template is None:
            raise InputError(
                "the tokenizer has no chat template, which says how a prompt is laid out",
                remedy="give that of a model trained to speak, or set tokenizer.chat_template",
            )
        answered = pattern[-1].role == "assistant"
        rendered: str = self.tokenizer.apply_chat_template(
            [message._asdict() for message in pattern],
            tokenize=False,
            continue_final_message=answered,
            add_generation_prompt=not answered,
            date_string=DATE,
        )
        last = pattern[-1].content.rstrip()
        kept = all(message.content.strip() in rendered for message in pattern)
        once = all(rendered.count(f"{{{name}}}") == 1 for name in slots_of(pattern))
        if not kept or not once or (answered and not rendered.endswith(last)):
            raise InputError(
                f"the chat template does not keep the messages: {rendered!r} should hold each once, as it is"
                + (f", and end with {last}" if answered else "")
            )
        return rendered

    def _filled(self, frame: str, text: str, voice_text: str = "") -> list[str]:
        """Put texts into a prompt, and return what is before and what is after a voice's codes, or all of it."""
        values = {name: self._clean(name, text) for name in ("text", "phones") if f"{{{name}}}" in frame}
        for name in ("voice_text", "voice_phones"):
            if f"{{{name}}}" in frame:
                values[name] = self._clean(name, voice_text)
                if is_unspaced(values[name]):
                    frame = re.sub(rf"\{{{name}\}} (?=\{{(text|phones)\}})", f"{{{name}}}", frame)
        return [SLOT.sub(lambda slot: values.get(slot[1], slot[0]), part) for part in frame.split(VOICE_CODES)]

    def _clean(self, name: str, text: str) -> str:
        """Return what a text becomes in the slot of a name.

        Raises:
            InputError: where it is empty, or a special token is spelled out in it.
        """
        spoken = self._spell(text) if self._spell is not None and name.endswith("phones") and text.strip() else text
        clean = " ".join(spoken.split())
        if not clean:
            raise InputError("the text is empty; there is nothing to say")
        if special := [i for i in self._encode(clean) if i in self._special]:
            token = self.tokenizer.convert_ids_to_tokens(special[0])
            raise InputError(f"the text holds {token!r}, a token with a meaning of its own", remedy="leave it out")
        return clean

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids


def is_unspaced(text: str) -> bool:
    """Whether the writing of a text has no space between two sentences, as Chinese and Japanese."""
    return unicodedata.east_asian_width(text[-1]) in "WF" and not "\uac00" <= text[-1] <= "\ud7a3"
