"""What a language model is asked: a text to say, and the voice to say it in."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["Prompts", "Voice"]

# What Llama 3.2's template says where it is not told the day. Told the true day, as it is by default, the same text and
# seed would be other speech tomorrow.
DATE = "26 Jul 2024"


@dataclass(frozen=True)
class Voice:
    """A reference: somebody's speech as codes, and what is said in it."""

    text: str
    codes: Codes


class Prompts:
    """Prompts through a tokenizer's chat template: a user who asks for a text, an assistant who has begun to speak.

    Args:
        tokenizer: of transformers, with the markers of `tokens`.
        tokens: the speech tokens of its vocabulary.
        spell: what becomes of a text first, such as phones; None leaves it as it is.

    Raises:
        InputError: where the tokenizer has no chat template, or one that does not keep messages as they are.
    """

    def __init__(self, tokenizer: Any, tokens: SpeechTokens, spell: Callable[[str], str] | None = None) -> None:
        self.tokenizer, self.tokens = tokenizer, tokens
        self.spell = spell or (lambda text: text)
        convention = tokens.convention
        template = convention.chat_template or tokenizer.chat_template
        if template is None:
            raise InputError(
                "the tokenizer has no chat template, which says how a prompt is laid out",
                remedy="give that of a model trained to speak, or set tokenizer.chat_template",
            )
        rendered = tokenizer.apply_chat_template(
            [
                {"role": "user", "content": convention.instruction + convention.text_start + convention.text_end},
                {"role": "assistant", "content": convention.speech_start},
            ],
            chat_template=template,
            tokenize=False,
            continue_final_message=True,
            date_string=DATE,
        )
        ids = self._encode(rendered)
        self._ends: list[int] = tokenizer.convert_tokens_to_ids([convention.text_start, convention.text_end])
        if not ids or ids[-1] != tokens.start_id or ids.count(self._ends[0]) != 1:
            raise InputError(
                f"the chat template does not keep the messages: {rendered!r} should hold {convention.text_start} once "
                f"and end with {convention.speech_start}, each as one token"
            )
        self._special = frozenset(tokenizer.added_tokens_decoder)
        at = ids.index(self._ends[0])
        self._before, self._after = ids[:at], ids[at + 2 :]

    def text_ids(self, text: str) -> list[int]:
        """Return the ids of a text between its two markers, white space made single.

        Raises:
            InputError: for a text that is empty, or in which a special token is spelled out.
        """
        if not text.strip():
            raise InputError("the text is empty; there is nothing to say")
        return self._spelled_ids(self.spell(text))

    def _spelled_ids(self, text: str) -> list[int]:
        clean = " ".join(text.split())
        if not clean:
            raise InputError("the text is empty; there is nothing to say")
        convention = self.tokens.convention
        ids = self._encode(convention.text_start + clean + convention.text_end)
        if special := [i for i in ids[1:-1] if i in self._special]:
            token = self.tokenizer.convert_ids_to_tokens(special[0])
            raise InputError(f"the text holds {token!r}, a token with a meaning of its own", remedy="leave it out")
        if [ids[0], ids[-1]] != self._ends:
            raise InputError(f"{convention.text_start} and {convention.text_end} are not tokens of this tokenizer")
        return ids

    def ids(self, text: str, voice: Voice | None = None) -> list[int]:
        """Return the prompt for a text, up to where the model has to speak.

        With a voice, its text goes before the text, and its codes open the answer, so that the model goes on speaking
        as it does.

        Raises:
            InputError: as `text_ids`, and for a voice whose codes are of several codebooks.
        """
        if voice is None:
            return self.of_text_ids(self.text_ids(text))
        text_ids = self._spelled_ids(joined(self.spell(voice.text), self.spell(text)))
        return self.of_text_ids(text_ids) + self.tokens.to_ids(voice.codes).tolist()

    def of_text_ids(self, text_ids: list[int]) -> list[int]:
        """Return the prompt for what `text_ids` gave."""
        return self._before + text_ids + self._after

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids


def joined(first: str, second: str) -> str:
    """Join two texts: with a space between, unless the writing has none there, as Chinese and Japanese."""
    first, second = first.strip(), second.strip()
    wide = first and unicodedata.east_asian_width(first[-1]) in "WF" and not "\uac00" <= first[-1] <= "\ud7a3"
    return first + second if wide else f"{first} {second}"
