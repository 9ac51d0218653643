"""From scores to the next token of each row: only speech, drawn from the row's own source of chance."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from xcodec.llasa.sampling import Sampling
from xcodec.llasa.tokens import SpeechTokens

__all__ = ["OnlySpeech", "choose", "draw", "source_of"]


def source_of(seed: int | None) -> torch.Generator:
    """Make a source of chance; torch's global one is not touched. It is on the CPU, wherever the scores are."""
    source = torch.Generator()
    if seed is None:
        source.seed()
    else:
        source.manual_seed(seed)
    return source


class OnlySpeech:
    """Leaves a chance to codes, and to the end marker where a row may end.

    Args:
        tokens: of the vocabulary.
        device: of the scores.
    """

    def __init__(self, tokens: SpeechTokens, device: torch.device) -> None:
        self._codes, self._end_id = torch.tensor(tokens.ids, device=device), tokens.end_id

    def __call__(self, scores: Tensor, may_end: Sequence[bool]) -> Tensor:
        """Return scores, (rows, vocabulary), with minus infinity for all else; `may_end` is told of each row."""
        only = torch.full_like(scores, -torch.inf)
        only[:, self._codes] = scores[:, self._codes]
        ending = torch.tensor(may_end, device=scores.device)
        only[:, self._end_id] = torch.where(ending, scores[:, self._end_id], -torch.inf)
        return only


def choose(scores: Tensor, ids: Tensor, samplings: Sequence[Sampling], sources: Sequence[torch.Generator]) -> Tensor:
    """Choose the next id of each row, each in its own way.

    What a row becomes depends on its own sampling and source, and not on the rows beside it.

    Args:
        scores: of shape (rows, vocabulary).
        ids: all that each row holds so far, of shape (rows, width).
        samplings: of each row.
        sources: of each row.

    Returns:
        Ids, int64 of shape (rows,).
    """
    chosen = torch.empty(len(samplings), dtype=torch.long, device=scores.device)
    ways = [replace(sampling, seed=None, max_codes=1, least_codes=1) for sampling in samplings]
    for way in set(ways):
        rows = [i for i, each in enumerate(ways) if each == way]
        weighed = chain_of(way)(cast(torch.LongTensor, ids[rows]), cast(torch.FloatTensor, scores[rows]))
        chosen[rows] = weighed.argmax(-1) if way.temperature == 0 else draw(weighed, [sources[i] for i in rows])
    return chosen


def chain_of(sampling: Sampling) -> LogitsProcessorList:
    """List what is done to scores before one is drawn, in transformers' order."""
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature == 0:
        return chain
    chain.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(TopPLogitsWarper(float(sampling.top_p)))
    return chain


def draw(scores: Tensor, sources: Sequence[torch.Generator]) -> Tensor:
    """Draw an id for each row of scores, (rows, vocabulary), from that row's own source of chance."""
    reached = scores.float().softmax(-1).cumsum(-1)
    chance = torch.stack([torch.rand(1, generator=source) for source in sources]).to(scores.device)
    total = reached[:, -1:]
    # Below the total, so that the first sum above it is that of a token with a chance.
    target = torch.minimum(chance * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(reached, target, right=True)[:, 0]
