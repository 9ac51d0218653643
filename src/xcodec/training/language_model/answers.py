"""Rows in batches, and the loss of what is to be answered: the codes, and the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xcodec.llasa.rows import IGNORED, TrainingRows

__all__ = ["AnswerLoss", "RowBatch", "RowOrder"]


@dataclass(frozen=True)
class RowBatch:
    """Rows that go through the model together, padded on the right.

    Attributes:
        input_ids: int64 of shape (rows, ids).
        attention_mask: the same shape; 0 where a row is padded.
        labels: the same shape; `IGNORED` where nothing is to be learned.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    @classmethod
    def of(cls, examples: Sequence[dict[str, list[int]]], pad_id: int, device: torch.device) -> "RowBatch":
        """Put examples of `TrainingRows` together."""
        shape = len(examples), max(len(each["input_ids"]) for each in examples)
        ids, mask, labels = torch.full(shape, pad_id), torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
        for i, example in enumerate(examples):
            length = len(example["input_ids"])
            ids[i, :length] = torch.tensor(example["input_ids"])
            labels[i, :length] = torch.tensor(example["labels"])
            mask[i, :length] = 1
        return cls(ids.to(device), mask.to(device), labels.to(device))

    @property
    def num_answered(self) -> int:
        """How many ids are to be learned; the first of a row is never."""
        return int((self.labels[:, 1:] != IGNORED).sum())


class RowOrder:
    """Which rows a batch holds: a new order each epoch, which depends on the seed alone.

    Args:
        num_rows: that there are.
        seed: of the order.
    """

    def __init__(self, num_rows: int, seed: int) -> None:
        self._num_rows, self._seed = num_rows, seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def take(self, first: int, count: int) -> list[int]:
        """Return the rows that come `first` to `first` + `count` - 1, counted over all epochs."""
        rows = []
        for place in range(first, first + count):
            epoch, within = divmod(place, self._num_rows)
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng((self._seed, epoch)).permutation(self._num_rows)
            rows.append(int(self._order[within]))
        return rows


class AnswerLoss(nn.Module):
    """The sum of the cross entropies of a batch's answers, and nothing else, so that it can be shared by processes.

    Args:
        model: a causal language model of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: RowBatch) -> Tensor:
        """Return a scalar. Logits are made where some row has an answer, since a vocabulary is wide."""
        targets = batch.labels[:, 1:]
        places = (targets != IGNORED).any(0).nonzero()[:, 0]
        answer = self.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False, logits_to_keep=places
        )
        logits = answer.logits.float().flatten(0, 1)
        return F.cross_entropy(logits, targets[:, places].flatten(), ignore_index=IGNORED, reduction="sum")


def row_batch(rows: TrainingRows, numbers: Sequence[int], pad_id: int, device: torch.device) -> RowBatch:
    """Read rows and put them together."""
    return RowBatch.of([rows[number] for number in numbers], pad_id, device)
