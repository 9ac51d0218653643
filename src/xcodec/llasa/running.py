"""The rows that a language model goes on with: they join between two steps, and leave when they have ended."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

__all__ = ["RunningRows"]


class RunningRows:
    """Rows of different length that a model goes on with together, padded on the left.

    What a row becomes does not depend on which others there are, but for the rounding of products.

    Args:
        model: a causal language model of transformers with attention, whose cache is one of keys and values.
        pad_id: an id that no count and no penalty sees.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model, self._pad_id = model, pad_id
        self._cache: DynamicCache | None = None
        self.ids = torch.empty(0, 0, dtype=torch.long, device=model.device)
        """All ids so far, int64 of shape (rows, width)."""
        self._mask = torch.empty_like(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def join(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read prompts, which become the last rows.

        Returns:
            The scores of what follows each, of shape (prompts, vocabulary).
        """
        ids, mask = self._padded(prompts)
        cache = DynamicCache()
        scores = self._scores(ids, mask, ids, cache)
        if self._cache is None or not len(self):
            self.ids, self._mask, self._cache = ids, mask, cache
            return scores
        width = max(self.ids.shape[1], ids.shape[1])
        self.ids = torch.cat([widened(self.ids, width, self._pad_id), widened(ids, width, self._pad_id)])
        self._mask = torch.cat([widened(self._mask, width, 0), widened(mask, width, 0)])
        for layer, further in zip(layers_of(self._cache), layers_of(cache), strict=True):
            layer.keys, layer.values = stacked(layer.keys, further.keys), stacked(layer.values, further.values)
        return scores

    def step(self, chosen: Tensor) -> Tensor:
        """Go on with each row by an id.

        Args:
            chosen: the id that each row is given, of shape (rows,).

        Returns:
            The scores of what follows, of shape (rows, vocabulary).
        """
        assert self._cache is not None
        self.ids = torch.cat([self.ids, chosen[:, None]], 1)
        self._mask = torch.cat([self._mask, torch.ones_like(chosen[:, None])], 1)
        return self._scores(chosen[:, None], self._mask, self.ids, self._cache)

    def keep(self, rows: Sequence[int]) -> None:
        """Let all other rows go, and the padding that the rest all have."""
        if len(rows) == len(self):
            return
        chosen = torch.tensor(rows, dtype=torch.long, device=self.ids.device)
        mask = self._mask[chosen]
        begin = int(mask.any(0).int().argmax()) if len(rows) else mask.shape[1]
        self.ids, self._mask = self.ids[chosen, begin:], mask[:, begin:]
        if not len(rows) or self._cache is None:
            self._cache = None
            return
        for layer in layers_of(self._cache):
            layer.keys, layer.values = layer.keys[chosen, :, begin:], layer.values[chosen, :, begin:]

    def _padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self._pad_id)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        return ids.to(self._model.device), mask.to(self._model.device)

    def _scores(self, given: Tensor, mask: Tensor, ids: Tensor, cache: DynamicCache) -> Tensor:
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, ids.shape[1] - given.shape[1] :]
        answer = self._model(
            input_ids=given,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return answer.logits[:, -1].float()


def layers_of(cache: DynamicCache) -> list[Any]:
    """List what a model with attention has filled: layers with `keys` and `values`, (rows, heads, width, size)."""
    return list(cache.layers)


def widened(rows: Tensor, width: int, value: int) -> Tensor:
    """Pad (rows, n) on the left to `width`."""
    return torch.nn.functional.pad(rows, (width - rows.shape[1], 0), value=value)


def stacked(old: Tensor, new: Tensor) -> Tensor:
    """Put keys or values, (rows, heads, n, size), under each other, the shorter padded on the left."""
    width = max(old.shape[2], new.shape[2])
    return torch.cat([torch.nn.functional.pad(x, (0, 0, width - x.shape[2], 0)) for x in (old, new)])
