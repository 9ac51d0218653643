"""A model of transformers as an engine: prompts that are being answered at the same time share its steps."""

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from queue import SimpleQueue
from typing import Any, TypeAlias

import torch
from torch import Tensor

from xcodec.errors import InputError
from xcodec.llasa.answer import Piece
from xcodec.llasa.drawing import OnlySpeech, choose, source_of
from xcodec.llasa.engine import Engine
from xcodec.llasa.running import RunningRows
from xcodec.llasa.sampling import Sampling
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["MOST_ROWS", "TransformersEngine"]

MOST_ROWS = 64
"""Prompts that are answered at the same time; further ones wait until one has ended."""

Event: TypeAlias = tuple[int, int | BaseException | None]
"""The number of a prompt; and an id that follows it, or what went wrong, or None after the last."""


class TransformersEngine(Engine):
    """A causal language model of transformers.

    `stream` and `batch` may be called from many threads: whatever is asked while others are being answered joins them
    between two steps, and leaves when it has ended or is closed. What an answer is does not depend on the others. A
    thread takes the steps while there is something to answer.

    Args:
        model: with attention, and a cache of keys and values; it is put into evaluation mode.
        tokens: the speech tokens of its vocabulary.
        most_rows: prompts that are answered at the same time.

    Raises:
        InputError: where the model has fewer rows than the vocabulary has ids, or keeps another state than a cache.
    """

    def __init__(self, model: Any, tokens: SpeechTokens, most_rows: int = MOST_ROWS) -> None:
        rows = model.get_output_embeddings().weight.shape[0]
        if rows < len(tokens.codes):
            raise InputError(
                f"the model knows {rows} tokens, its speech tokens go up to id {len(tokens.codes) - 1}",
                remedy="give the model that was trained with this tokenizer, or make room with SpeechTokens.fit "
                "and train it",
            )
        if getattr(model, "_is_stateful", False):
            raise InputError(
                f"{type(model).__name__} keeps another state than keys and values; give one with attention"
            )
        self.model, self.tokens, self.most_rows = model.train(False), tokens, most_rows
        self.context: int | None = getattr(model.config, "max_position_embeddings", None)
        """The longest prompt and answer together, in tokens."""
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._thread: threading.Thread | None = None

    def stream(self, prompt: Sequence[int], sampling: Sampling) -> Generator[Piece, None, None]:
        """Yield the ids that follow a prompt, one by one, as soon as each is there."""
        with closing(self.batch([prompt], [sampling])) as pieces:
            for _, piece in pieces:
                yield piece

    def batch(
        self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]
    ) -> Generator[tuple[int, Piece], None, None]:
        """Yield the ids that follow several prompts, each by a sampling of its own.

        Raises:
            InputError: for a prompt that leaves no room to answer.
        """
        events: SimpleQueue[Event] = SimpleQueue()
        pairs = enumerate(zip(prompts, samplings, strict=True))
        requests = [Request(i, prompt, how, self._room(prompt, how), events) for i, (prompt, how) in pairs]
        self._begin(requests)
        open_requests = len(requests)
        try:
            while open_requests:
                number, event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if event is None:
                    open_requests -= 1
                else:
                    yield number, event
        finally:
            self._end(requests)

    def _room(self, prompt: Sequence[int], sampling: Sampling) -> int:
        """Compute how many tokens may follow: the codes and an end marker, as far as the context goes."""
        wanted = sampling.max_codes + 1
        if self.context is None:
            return wanted
        if len(prompt) >= self.context:
            raise InputError(
                f"the prompt of {len(prompt)} tokens fills the model's context of {self.context}",
                remedy="give a shorter text or a shorter voice (50 tokens a second)",
            )
        return min(wanted, self.context - len(prompt))

    def _begin(self, requests: Sequence["Request"]) -> None:
        """Let requests wait for the next step, and see that there is one."""
        with self._lock:
            self._waiting += requests
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="generate", daemon=True)
                self._thread.start()

    def _end(self, requests: Sequence["Request"]) -> None:
        """Let requests leave, and wait until the model works on none of them."""
        with self._lock:
            for request in requests:
                request.is_wanted = False
                if request in self._waiting:
                    self._waiting.remove(request)
                    request.has_left.set()
        for request in requests:
            request.has_left.wait()

    def _next(self, num_running: int) -> list["Request"] | None:
        """Take those that join at this step; None ends the thread, where there is nothing to do."""
        with self._lock:
            joining = self._waiting[: self.most_rows - num_running]
            del self._waiting[: len(joining)]
            if not num_running and not joining:
                self._thread = None
                return None
            return joining

    @torch.inference_mode()
    def _run(self) -> None:
        """Take steps until nothing is left to answer."""
        rows, running = RunningRows(self.model, self.tokens.silent_id), list[Request]()
        only_speech = OnlySpeech(self.tokens, self.model.device)
        scores: Tensor | None = None
        while (joining := self._next(len(running))) is not None:
            try:
                scores = self._joined(rows, running, scores, joining)
                if scores is None:
                    continue
                speech = only_speech(scores, [request.may_end for request in running])
                samplings, sources = zip(*((each.sampling, each.source) for each in running), strict=True)
                chosen = choose(speech, rows.ids, samplings, sources)
                going = [i for i, id_ in enumerate(chosen.tolist()) if running[i].give(id_, self.tokens.end_id)]
                running = [running[i] for i in going]
                rows.keep(going)
                scores = rows.step(chosen[going]) if going else None
            except BaseException as error:  # whatever it is, it belongs to those who wait
                for request in running:
                    request.leave(error)
                rows, running, scores = RunningRows(self.model, self.tokens.silent_id), [], None

    def _joined(
        self, rows: RunningRows, running: list["Request"], scores: Tensor | None, joining: list["Request"]
    ) -> Tensor | None:
        """Read the prompts of those that join, and give the scores of what follows in every row.

        What goes wrong then, such as too little memory for a long prompt, does not concern those who were there before.
        """
        if not joining:
            return scores
        try:
            further = rows.join([request.prompt for request in joining])
        except BaseException as error:
            for request in joining:
                request.leave(error)
            return scores
        running += joining
        return further if scores is None else torch.cat([scores, further])


class Request:
    """A prompt that is being answered.

    Attributes:
        is_wanted: whether somebody still listens.
        has_left: set when the model works on it no more.
        num_given: ids that were given.
    """

    def __init__(
        self, number: int, prompt: Sequence[int], sampling: Sampling, room: int, events: "SimpleQueue[Event]"
    ) -> None:
        self.number, self.prompt, self.sampling, self.room = number, prompt, sampling, room
        self.source = source_of(sampling.seed)
        self.is_wanted, self.has_left, self.num_given = True, threading.Event(), 0
        self._events = events

    @property
    def may_end(self) -> bool:
        """Whether the next id may be the end marker."""
        return self.num_given >= self.sampling.least_codes

    def give(self, id_: int, end_id: int) -> bool:
        """Give an id to whoever listens, and tell whether more are to follow."""
        if self.is_wanted:
            self._events.put((self.number, id_))
            self.num_given += 1
            if id_ != end_id and self.num_given < self.room:
                return True
        self.leave(None)
        return False

    def leave(self, why: BaseException | None) -> None:
        """Say that nothing more comes, and why."""
        self._events.put((self.number, why))
        self.has_left.set()
