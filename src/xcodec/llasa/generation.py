"""transformers' `generate` as an engine: only speech can be sampled, and ids come out while it runs."""

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation import (
    BaseStreamer,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from xcodec.errors import InputError
from xcodec.llasa.answer import Piece
from xcodec.llasa.engine import Engine, Sampling
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["TransformersEngine"]


class TransformersEngine(Engine):
    """A causal language model of transformers.

    Args:
        model: any that has `generate`; it is put into evaluation mode.
        tokens: the speech tokens of its vocabulary.

    Raises:
        InputError: where the model has fewer rows than the vocabulary has ids.
    """

    def __init__(self, model: Any, tokens: SpeechTokens) -> None:
        rows = model.get_output_embeddings().weight.shape[0]
        if rows < len(tokens.codes):
            raise InputError(
                f"the model knows {rows} tokens, its speech tokens go up to id {len(tokens.codes) - 1}",
                remedy="give the model that was trained with this tokenizer, or make room with SpeechTokens.fit "
                "and train it",
            )
        self.model, self.tokens = model.train(False), tokens
        self.context: int | None = getattr(model.config, "max_position_embeddings", None)
        """The longest prompt and answer together, in tokens."""

    def stream(self, prompt: Sequence[int], sampling: Sampling) -> Generator[Piece, None, None]:
        """Yield the ids that follow a prompt, one by one, while `generate` runs in a thread."""
        with closing(self.batch([prompt], [sampling])) as pieces:
            for _, piece in pieces:
                yield piece

    def batch(
        self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]
    ) -> Generator[tuple[int, Piece], None, None]:
        """Yield the ids that follow several prompts, which are padded on the left and run together.

        Raises:
            InputError: for a prompt that leaves no room to answer.
        """
        room = [self._room(prompt, sampling) for prompt, sampling in zip(prompts, samplings, strict=True)]
        run = GenerationThread(self.model, self._inputs(prompts, samplings, max(room)))
        try:
            going = dict(enumerate(room))  # which rows have not ended, and how many tokens they may still give
            for step in run:
                for i in list(going):
                    yield i, int(step[i])
                    going[i] -= 1
                    if int(step[i]) == self.tokens.end_id or not going[i]:
                        del going[i]
        finally:
            run.stop()

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

    def _inputs(self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling], room: int) -> dict[str, Any]:
        width = max(map(len, prompts))
        # A token that is neither code nor end marker, so that no penalty and no count sees the padding.
        ids = torch.full((len(prompts), width), self.tokens.start_id)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        device = self.model.device
        choose = choosers(samplings, OnlySpeech(self.tokens, width, device))
        return {
            "input_ids": ids.to(device),
            "attention_mask": mask.to(device),
            "logits_processor": choose,
            # Whatever the model's own generation_config says, the processors above choose.
            "generation_config": GenerationConfig(
                do_sample=False,
                num_beams=1,
                max_new_tokens=room,
                eos_token_id=self.tokens.end_id,
                pad_token_id=self.tokens.start_id,
                repetition_penalty=1.0,
                use_cache=True,
            ),
        }


class GenerationThread(BaseStreamer):
    """One call of `generate`, in a thread. Iterating gives the ids of each step, shape (batch,), or what it raised."""

    def __init__(self, model: Any, inputs: dict[str, Any]) -> None:
        self._steps: SimpleQueue[Tensor | BaseException | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._prompt_seen = False
        self._thread = threading.Thread(target=self._generate, args=(model, inputs), name="generate", daemon=True)
        self._thread.start()

    def __iter__(self) -> Generator[Tensor, None, None]:
        while (step := self._steps.get()) is not None:
            if isinstance(step, BaseException):
                raise step
            yield step

    def stop(self) -> None:
        """End it at its next step, and wait for that."""
        self._stopped.set()
        self._thread.join()

    def _generate(self, model: Any, inputs: dict[str, Any]) -> None:
        stop = WhenStopped(self._stopped)
        try:
            model.generate(**inputs, streamer=self, stopping_criteria=StoppingCriteriaList([stop]))
        except BaseException as error:  # whatever it is, it belongs to the one who waits
            self._steps.put(error)
        else:
            self._steps.put(None)

    def put(self, value: Tensor) -> None:
        """Take what `generate` gives: the prompt first, then the ids of each step."""
        if self._prompt_seen:
            self._steps.put(value)
        self._prompt_seen = True

    def end(self) -> None:
        """Take notice of the end, which `generate` tells by returning too."""


class WhenStopped(StoppingCriteria):
    """Ends `generate` when somebody says so."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        del scores
        return torch.full((len(input_ids),), self.stopped.is_set(), device=input_ids.device)


def choosers(samplings: Sequence[Sampling], only_speech: "OnlySpeech") -> LogitsProcessorList:
    """List what is done to the scores of each step, in transformers' order; the last leaves one token with a chance."""
    sampling = samplings[0]
    chain = LogitsProcessorList([only_speech])
    if sampling.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature == 0:
        return chain
    chain.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(float(sampling.top_p)))
    chain.append(Draw([each.seed for each in samplings]))
    return chain


class OnlySpeech(LogitsProcessor):
    """Leaves a chance to codes, and to the end marker once there is a code."""

    def __init__(self, tokens: SpeechTokens, prompt_length: int, device: torch.device) -> None:
        self.codes = torch.tensor(tokens.ids, device=device)
        self.end_id, self.prompt_length = tokens.end_id, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        only = torch.full_like(scores, -torch.inf)
        only[:, self.codes] = scores[:, self.codes]
        if input_ids.shape[1] > self.prompt_length:
            only[:, self.end_id] = scores[:, self.end_id]
        return only


class Draw(LogitsProcessor):
    """Draws a token for each row, from that row's own source of chance; torch's global one is not touched.

    So what a row becomes depends on its seed, and not on the rows beside it. The chance comes from the CPU, wherever
    the scores are.
    """

    def __init__(self, seeds: Sequence[int | None]) -> None:
        self.sources = [torch.Generator() for _ in seeds]
        for source, seed in zip(self.sources, seeds, strict=True):
            if seed is None:
                source.seed()
            else:
                source.manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        del input_ids
        reached = scores.float().softmax(-1).cumsum(-1)
        chance = torch.stack([torch.rand(1, generator=source) for source in self.sources]).to(scores.device)
        total = reached[:, -1:]
        # Below the total, so that the first sum above it is that of a token with a chance.
        target = torch.minimum(chance * total, torch.nextafter(total, torch.zeros_like(total)))
        drawn = torch.searchsorted(reached, target, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
