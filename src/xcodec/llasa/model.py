"""Llasa: text in, speech out, through a language model whose vocabulary holds the codes of a codec."""

import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypedDict, overload

import numpy as np
import torch
from typing_extensions import Unpack

from xcodec.audio import Audio
from xcodec.batching import AudioSource
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import CodesError, InputError, about
from xcodec.llasa.answer import AnswerParser, Piece
from xcodec.llasa.checkpoint import SpokenCodec, load_language_model
from xcodec.llasa.convention import LLASA, Convention
from xcodec.llasa.engine import Engine
from xcodec.llasa.generation import TransformersEngine
from xcodec.llasa.prompt import Prompts, Voice
from xcodec.llasa.sampling import Sampling
from xcodec.llasa.sentences import split_text
from xcodec.llasa.speech import check_codec, check_spoken, codes_of_ids, single_codebook, stream_codes
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["RELEASED_CODEC", "Llasa", "Speaking", "SpeechCutWarning"]

RELEASED_CODEC = "HKUSTAudio/xcodec2-hf"
"""The codec whose codes the published LLaSA models speak."""

PART_SECONDS = 30.0
"""A part of a text, some 15 seconds of speech, that has not ended by then never will."""


class SpeechCutWarning(UserWarning):
    """A text was not said to its end."""


class Speaking(TypedDict, total=False):
    """How something is said: the keyword arguments of `Llasa.say` and `Llasa.stream`."""

    voice: AudioSource | Codes | None
    voice_text: str | None
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    least_codes: int
    seed: int | None
    max_seconds: float | None


@dataclass(frozen=True)
class Request:
    """One part of a text to be said."""

    text: str
    voice: Voice | None
    sampling: Sampling


class Llasa:
    """A language model that speaks.

    Args:
        engine: what goes on with a prompt of ids: a model of transformers, or a server.
        prompts: how its tokenizer lays out what it is asked.
        codec: whose codes it speaks; of one codebook.

    Raises:
        InputError: where the codec's codes are not those of the vocabulary.
    """

    def __init__(self, engine: Engine, prompts: Prompts, codec: Codec) -> None:
        self.engine, self.prompts, self.codec = engine, prompts, codec
        self.tokens = prompts.tokens
        check_codec(codec, self.tokens)

    @classmethod
    def of(cls, model: Any, tokenizer: Any, codec: Codec, convention: Convention = LLASA) -> "Llasa":
        """Put together a causal language model and a tokenizer of transformers, which have the speech tokens."""
        tokens = SpeechTokens.of(tokenizer, single_codebook(codec), convention)
        return cls(TransformersEngine(model, tokens), Prompts(tokenizer, tokens), codec)

    @classmethod
    def from_pretrained(
        cls,
        llm: str | os.PathLike[str],
        codec: Codec | str | os.PathLike[str] | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        convention: Convention = LLASA,
        **hub_arguments: Any,
    ) -> "Llasa":
        """Load a language model and a codec.

        Args:
            llm: a folder, or a hub id such as "HKUSTAudio/Llasa-1B".
            codec: the one that the language model was trained with: a `Codec`, a folder, a hub id, "mini" or another
                built-in model, or None for what the language model's config.json names as `codec`, else
                HKUSTAudio/xcodec2-hf. With another one, what is heard is noise.
            device: of both, as in `Codec.from_pretrained`.
            dtype: of the language model; "auto" is what it is stored in. The codec is in float32.
            convention: how the language model spells speech, and is asked.
            **hub_arguments: `revision`, `cache_dir`, `token`, `local_files_only` and `force_download`, of `llm`.

        Raises:
            CheckpointError: where either is not found, incomplete or of another kind.
            InputError: where they do not belong together, or the tokenizer lacks the speech tokens or a chat template.
        """
        model, tokenizer = load_language_model(llm, device, dtype, hub_arguments)
        spoken = SpokenCodec(llm, hub_arguments)
        if codec is None:
            codec = spoken.name or RELEASED_CODEC
        if not isinstance(codec, Codec):
            codec = Codec.from_pretrained(codec, device=device)
        check_spoken(codec, spoken.identity, llm)
        return cls.of(model, tokenizer, codec, convention)

    @overload
    def say(
        self,
        text: str,
        *,
        batch_size: int = 16,
        on_progress: Callable[[float], object] | None = None,
        on_decoded: Callable[[float], object] | None = None,
        **speaking: Unpack[Speaking],
    ) -> Audio: ...
    @overload
    def say(
        self,
        text: list[str],
        *,
        batch_size: int = 16,
        on_progress: Callable[[float], object] | None = None,
        on_decoded: Callable[[float], object] | None = None,
        **speaking: Unpack[Speaking],
    ) -> list[Audio]: ...
    def say(
        self,
        text: str | list[str],
        *,
        batch_size: int = 16,
        on_progress: Callable[[float], object] | None = None,
        on_decoded: Callable[[float], object] | None = None,
        **speaking: Unpack[Speaking],
    ) -> Audio | list[Audio]:
        """Say a text, or each of a list of texts.

        A text of more than some 200 characters is said in parts, cut between sentences; their codes are decoded as one
        stream, so that nothing is joined in the audio. Without a voice, the first part is the voice of the others.

        Args:
            text: plain text, in whatever language the model was trained on; or a list of such.
            batch_size: how many texts, or parts of them, the language model says at once. What it says does not depend
                on it.
            on_progress: called with the seconds of speech whose codes were just made.
            on_decoded: called with the seconds of speech that were just decoded.
            **speaking: `voice`, somebody's speech to go on with, as `Codec.encode` takes it, or its `Codes`, and
                `voice_text`, what is said in it; `temperature`, `top_p`, `top_k`, `repetition_penalty`, `least_codes`
                and `seed`, as in `Sampling`, else as in the convention's own; `max_seconds`, after which the speech of
                a text is cut.

        Returns:
            Audio at the codec's rate, or for a list the list of each one's.

        Raises:
            InputError: for an empty text, one with special tokens, a voice without its text, a prompt that is too long,
                or a number out of range; of a list, it names which.
            CodesError: where the engine gives something that is no speech, or nothing.
            AudioError: where the voice cannot be read.
        """
        if batch_size < 1:
            raise InputError("expected 1 or above", argument="batch_size", value=batch_size)
        texts = text if isinstance(text, list) else [text]
        sampling, voice, most = self._how(speaking)
        parts = [self._parts(each, f"texts[{i}]" if texts is text else None) for i, each in enumerate(texts)]
        said: dict[tuple[int, int], Answer] = {}
        # Without a voice there are two rounds: the first parts, then the others in their voices.
        for first_round in (True, False):
            asked = [
                (i, k)
                for i in range(len(parts))
                for k in range(len(parts[i]))
                if (k == 0 or voice is not None or not self.prompts.takes_voice) == first_round
            ]
            requests = []
            for i, k in asked:
                heard = voice if first_round else Voice(parts[i][0], self._codes(said[i, 0].codes))
                requests.append(Request(parts[i][k], heard, seeded(sampling, k)))
            for begin in range(0, len(asked), batch_size):
                answers = self._answers(requests[begin : begin + batch_size], on_progress)
                said |= zip(asked[begin : begin + batch_size], answers, strict=True)
        codes = [np.concatenate([said[i, k].codes for k in range(len(parts[i]))]) for i in range(len(parts))]
        for i, whole in enumerate(codes):
            if len(whole) > most or any(said[i, k].cut for k in range(len(parts[i]))):
                warn_cut(texts[i])
        audio = self.codec.decode([self._codes(whole[:most]) for whole in codes], on_progress=on_decoded)
        return audio if texts is text else audio[0]

    def stream(self, text: str, **speaking: Unpack[Speaking]) -> Generator[Audio, None, None]:
        """Say a text, and yield the audio while it is made.

        The same codes as `say` makes of one text, through a `StreamDecoder`. Closing the generator ends the work.

        Args:
            text: as in `say`.
            **speaking: as in `say`.

        Raises:
            InputError: as in `say`, and at once.
            CodesError: as in `say`.
        """
        return stream_codes(self.codes(text, warn_cut, **speaking), self.codec)

    def codes(
        self, text: str, on_cut: Callable[[str], object], **speaking: Unpack[Speaking]
    ) -> Generator[np.ndarray, None, None]:
        """Say a text, and yield the codes while they are made, int64 (frames,): for a decoder of one's own.

        Args:
            text: as in `say`.
            on_cut: called with the text where it was not said to its end.
            **speaking: as in `say`.

        Raises:
            InputError: as in `say`, and at once.
            CodesError: as in `say`.
        """
        sampling, voice, most = self._how(speaking)
        return self._codes_of(self._parts(text, None), voice, sampling, most, on_cut)

    def _codes_of(
        self,
        parts: list[str],
        voice: Voice | None,
        sampling: Sampling,
        most: int,
        on_cut: Callable[[str], object],
    ) -> Generator[np.ndarray, None, None]:
        """Yield the codes of a text's parts, as they come."""
        left, cut = most, False
        for k, part in enumerate(parts):
            request = Request(part, voice, seeded(sampling, k))
            answer = Answer(request, self)
            with closing(self.engine.stream(answer.prompt, request.sampling)) as pieces:
                for piece in pieces:
                    codes = answer.push(piece)
                    yield codes[:left]
                    left -= len(codes)
                    if left < 0 or answer.parser.ended:
                        break
            answer.close()
            more = k + 1 < len(parts)
            cut = cut or answer.cut or left < 0 or (left == 0 and more)
            if left <= 0:
                break
            if more and self.prompts.takes_voice:
                voice = voice or Voice(part, self._codes(answer.codes))
        if cut:
            on_cut(" ".join(parts))

    def _answers(self, requests: Sequence[Request], on_progress: Callable[[float], object] | None) -> list["Answer"]:
        """Return the answers to several requests, which run together."""
        answers = [Answer(request, self) for request in requests]
        prompts, samplings = [answer.prompt for answer in answers], [request.sampling for request in requests]
        with closing(self.engine.batch(prompts, samplings)) as pieces:
            for i, piece in pieces:
                count = len(answers[i].push(piece))
                if on_progress is not None and count:
                    on_progress(count / self.codec.frame_rate)
        for answer in answers:
            answer.close()
        return answers

    def _parts(self, text: str, item: str | None) -> list[str]:
        """A text in parts, each of which makes a prompt."""
        with about(item=item):
            if not isinstance(text, str):
                raise InputError(f"expected a text, or a list of texts, got {type(text).__name__}")
            parts = split_text(text) or [""]
            for part in parts:
                self.prompts.check(part)
            return parts

    def _how(self, speaking: Speaking) -> tuple[Sampling, Voice | None, int]:
        """Read keyword arguments: how tokens are drawn, in which voice, and how many codes a text may have."""
        if unknown := sorted(speaking.keys() - Speaking.__annotations__.keys()):
            raise InputError(f"no argument {', '.join(unknown)}; there are {', '.join(Speaking.__annotations__)}")
        rest: dict[str, Any] = dict(speaking)
        voice, voice_text, seconds = (rest.pop(name, None) for name in ("voice", "voice_text", "max_seconds"))
        if seconds is not None and not 1 <= seconds * self.codec.frame_rate < 2**62:
            raise InputError(
                f"expected {1 / self.codec.frame_rate:g}, one code, or more", argument="max_seconds", value=seconds
            )
        longest = round(PART_SECONDS * self.codec.frame_rate)
        most = 2**62 if seconds is None else int(seconds * self.codec.frame_rate + 1e-6)
        sampling = replace(self.tokens.convention.sampling, max_codes=min(longest, most), **rest)
        return sampling, self._voice(voice, voice_text), most

    def _voice(self, voice: AudioSource | Codes | None, text: str | None) -> Voice | None:
        if voice is None and text is None:
            if self.prompts.needs_voice:
                raise InputError(
                    "this language model speaks in a given voice only", remedy="give both voice and voice_text"
                )
            return None
        if not self.prompts.takes_voice:
            raise InputError("this language model takes no voice", argument="voice")
        if voice is None or text is None or not text.strip():
            raise InputError(
                "a voice is a recording and the text that is said in it",
                remedy="give both voice and voice_text, or neither",
            )
        with about(item="voice"):
            if not isinstance(voice, Codes):
                return Voice(text, self.codec.encode(voice))
            self.codec.check_maker(voice.codec, "encode the recording again")
            return Voice(text, voice)

    def _codes(self, ids: np.ndarray) -> Codes:
        return codes_of_ids(ids, self.codec)


class Answer:
    """One request and what has come of it."""

    def __init__(self, request: Request, llasa: Llasa) -> None:
        self.request = request
        self.prompt = llasa.prompts.ids(request.text, request.voice)
        self.parser = AnswerParser(llasa.tokens, llasa.engine.skip_others)
        self._codes: list[np.ndarray] = []

    def push(self, piece: Piece) -> np.ndarray:
        """Take a piece, and give the codes in it, as far as there may be more."""
        room = self.request.sampling.max_codes - self.parser.num_codes
        codes = self.parser.push(piece)[: max(0, room)]
        self._codes.append(codes)
        return codes

    def close(self) -> None:
        """Say that no more comes.

        Raises:
            CodesError: where nothing has come, or half a token.
        """
        self.parser.close()
        if not self.parser.num_codes:
            raise CodesError(f"the language model said nothing for {shown(self.request.text)}; is it trained to speak?")

    @property
    def codes(self) -> np.ndarray:
        """All that have come, int64 of shape (T,)."""
        return np.concatenate(self._codes)

    @property
    def cut(self) -> bool:
        """Whether it stopped without having come to its end."""
        return not self.parser.ended


def seeded(sampling: Sampling, part: int) -> Sampling:
    """Return the sampling of a part: seeds follow one another."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + part) % 2**63)


def warn_cut(text: str) -> None:
    """Tell that a text was not said to its end."""
    warnings.warn(
        f"the speech of {shown(text)} was cut before its end; the language model would have gone on",
        SpeechCutWarning,
        stacklevel=3,
    )


def shown(text: str) -> str:
    """Return a text in a message."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
