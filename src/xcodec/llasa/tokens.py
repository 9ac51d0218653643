"""Codes as a language model's tokens: code 7 <-> `<|s_7|>` <-> that token's id in a given tokenizer."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from xcodec.codes import Codes
from xcodec.errors import InputError
from xcodec.llasa.convention import LLASA, Convention

__all__ = ["CodesLike", "SpeechTokens"]

CodesLike: TypeAlias = Codes | np.ndarray | Sequence[int]
"""`Codes` of one codebook, or their ids: shape (T,) or (1, T)."""


class SpeechTokens:
    """The speech tokens of one vocabulary, looked up in tables: no loop over codes.

    Make one with `of` (a tokenizer that has the tokens), `add` (one that lacks them) or `at_offset` (codes that have
    ids but no spelling).

    Args:
        ids: shape (codebook size,): the id of each code's token.
        start_id: of the marker that opens speech; None where there is none.
        end_id: of the marker that closes it.
        convention: how things are spelled.
        spelled: whether the codes have a spelling in the vocabulary, or only ids.
    """

    def __init__(
        self,
        ids: np.ndarray,
        start_id: int | None,
        end_id: int,
        convention: Convention = LLASA,
        spelled: bool = True,
    ) -> None:
        self.ids = np.asarray(ids, dtype=np.int64)
        self.ids.flags.writeable = False
        self.start_id, self.end_id = None if start_id is None else int(start_id), int(end_id)
        self.convention, self.spelled = convention, spelled

    @classmethod
    def of(cls, tokenizer: Any, codebook_size: int = 65536, convention: Convention = LLASA) -> "SpeechTokens":
        """Look the tokens up in a tokenizer that has them.

        Args:
            tokenizer: of transformers.
            codebook_size: of the codec.
            convention: how they are spelled.

        Raises:
            InputError: where it lacks some of them.
        """
        vocabulary = tokenizer.get_vocab()
        codes = spell_all(convention, codebook_size)
        used = [*convention.tokens, *codes]
        if missing := [token for token in used if token not in vocabulary]:
            raise InputError(
                f"the tokenizer lacks {len(missing)} of the {len(used)} tokens of speech, the first {missing[0]}",
                remedy="give that of a model trained to speak, or put them in with `xcodec llasa init` or "
                "SpeechTokens.add",
            )
        ids = np.array([vocabulary[code] for code in codes])
        start_id = None if convention.speech_start is None else vocabulary[convention.speech_start]
        return cls(ids, start_id, vocabulary[convention.speech_end], convention)

    @classmethod
    def add(cls, tokenizer: Any, codebook_size: int = 65536, convention: Convention = LLASA) -> "SpeechTokens":
        """Add those tokens that a tokenizer lacks, the markers and then the codes in ascending order.

        A Llama 3 tokenizer becomes so what the published LLaSA models have, id for id. `fit` then makes room for them
        in a model.
        """
        # Not as `special_tokens`, which decoding with skip_special_tokens=True would leave out.
        tokenizer.add_tokens([*(convention.markers or convention.tokens), *spell_all(convention, codebook_size)])
        return cls.of(tokenizer, codebook_size, convention)

    @classmethod
    def at_offset(
        cls, offset: int, codebook_size: int = 65536, *, start_id: int, end_id: int, convention: Convention = LLASA
    ) -> "SpeechTokens":
        """Make tokens whose ids are `offset` + code, with no spelling: ids of such a model can be read, text cannot."""
        if offset < 0:
            raise InputError("expected the id of code 0, such as 128264", argument="offset", value=offset)
        return cls(offset + np.arange(codebook_size), start_id, end_id, convention, spelled=False)

    @property
    def codebook_size(self) -> int:
        """How many codes there are."""
        return len(self.ids)

    @cached_property
    def codes(self) -> np.ndarray:
        """Shape (largest id + 1,): the code of each id, and -1 where it is no speech token."""
        table = np.full(max(int(self.ids.max()), self.start_id or 0, self.end_id) + 1, -1)
        table[self.ids] = np.arange(self.codebook_size)
        return table

    @cached_property
    def silent_id(self) -> int:
        """An id that is no code and no end, and so in no answer: the start marker, or else the smallest such id."""
        others = np.append(self.codes, -1) < 0
        others[self.end_id] = False
        return int(others.argmax()) if self.start_id is None else self.start_id

    @cached_property
    def spellings(self) -> np.ndarray:
        """Shape (codebook size,): the text of each code's token.

        Raises:
            InputError: where there is none.
        """
        self._need_spelling()
        return np.array(spell_all(self.convention, self.codebook_size), dtype=object)

    def to_ids(self, codes: CodesLike) -> np.ndarray:
        """Token ids, int64 of shape (T,), of codes.

        Raises:
            InputError: for several codebooks, or a code that the vocabulary does not have.
        """
        return self.ids[self._checked(codes)]

    def to_text(self, codes: CodesLike) -> str:
        """Return the tokens of codes as text, `<|s_1|><|s_2|>`; errors as `to_ids`."""
        return "".join(self.spellings[self._checked(codes)])

    def fit(self, model: Any) -> None:
        """Give a transformers model rows for all these ids where it has fewer; what it has stays as it is."""
        needed = max(len(self.codes), int(self.ids.max()) + 1)
        if model.get_input_embeddings().num_embeddings < needed:
            model.resize_token_embeddings(needed)

    def _checked(self, codes: CodesLike) -> np.ndarray:
        if isinstance(codes, Codes) and codes.codebook_sizes != (self.codebook_size,):
            raise InputError(
                f"codes of {len(codes.codebook_sizes)} codebook(s) of {codes.codebook_sizes}: these speech tokens are "
                f"of one codebook of {self.codebook_size}, as X-Codec2 has"
            )
        ids = np.asarray(codes.ids if isinstance(codes, Codes) else codes)
        ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise InputError(
                f"codes of shape {ids.shape} and type {ids.dtype}: expected integers of shape (T,) or (1, T)"
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < self.codebook_size:
            raise InputError(f"codes from {ids.min()} to {ids.max()}: expected 0 to {self.codebook_size - 1}")
        return ids.astype(np.int64)

    def _need_spelling(self) -> None:
        if not self.spelled:
            raise InputError(
                "these speech tokens are ids without a spelling", remedy="give and take ids instead of text"
            )

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of one code in text, with its number as the only group; raises as `spellings`."""
        self._need_spelling()
        before, after = (re.escape(part) for part in self.convention.code.split("{}"))
        return re.compile(f"{before}(0|[1-9][0-9]{{0,8}}){after}")


def spell_all(convention: Convention, codebook_size: int) -> list[str]:
    """Compute how codes 0 to `codebook_size` - 1 are spelled."""
    return [convention.code.format(code) for code in range(codebook_size)]
