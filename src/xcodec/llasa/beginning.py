"""A language model that is about to learn to speak: a codec's tokens in its vocabulary, and rows for them."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.files import folder_written_whole
from xcodec.llasa.byte_llama import byte_llama, byte_tokenizer
from xcodec.llasa.checkpoint import load_language_model
from xcodec.llasa.prompt import Prompts
from xcodec.llasa.speech import single_codebook
from xcodec.llasa.tokens import SpeechTokens
from xcodec.models.auto import no_progress_bars

__all__ = ["NEW", "BeginningReport", "begin"]

NEW = "new"
"""What the small Llama that is drawn anew is called."""


@dataclass(frozen=True)
class BeginningReport:
    """What was written.

    Attributes:
        parameters: how many the model has.
        tokens: ids in its vocabulary now.
        added: of these, how many it did not have.
        codec: whose codes they are.
    """

    parameters: int
    tokens: int
    added: int
    codec: str

    def __str__(self) -> str:
        """Return the report in one line."""
        return (
            f"{self.parameters / 1e6:,.1f}M parameters, {self.tokens:,} tokens, of which {self.added:,} are new: "
            f"the codes of {self.codec}"
        )


def begin(
    base: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    codec: Codec,
    codec_name: str,
    *,
    fields: Mapping[str, Any] | None = None,
    seed: int = 0,
    **hub_arguments: Any,
) -> BeginningReport:
    """Give a language model the tokens of LLaSA's vocabulary, in the published order, and write it.

    Args:
        base: a folder or a hub id of a causal language model with a chat template; or "new", a small Llama that reads
            bytes, drawn anew.
        folder: to write, whole or not at all; it must not exist.
        codec: whose codes it is to speak.
        codec_name: a folder, a hub id or a built-in model, which its config.json will name as `codec`.
        fields: for "new", of `LlamaConfig`.
        seed: of what is drawn: the rows of new tokens, and all of "new".
        **hub_arguments: as in `Llasa.from_pretrained`.

    Raises:
        InputError: where the folder exists, a field is unknown, the codec has several codebooks, or the tokenizer lays
            out no prompt.
        CheckpointError: where `base` is not found, or is no language model.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists():
        raise InputError("exists already", subject=folder, remedy="give a folder that does not")
    size = single_codebook(codec)
    if fields and os.fspath(base) != NEW:
        raise InputError(f"{base} has a configuration of its own; only that of {NEW!r} can be set")
    model, tokenizer = (
        (None, byte_tokenizer()) if os.fspath(base) == NEW else load_language_model(base, "cpu", "auto", hub_arguments)
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # as LLaSA does
    before = len(tokenizer)
    tokens = SpeechTokens.add(tokenizer, size)
    Prompts(tokenizer, tokens)  # which raises where the chat template does not lay out a prompt
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model is None:
            model = byte_llama(tokenizer, fields or {})
        tokens.fit(model)
    codec_folder = Path(codec_name).expanduser()
    model.config.codec = str(codec_folder.absolute()) if codec_folder.is_dir() else codec_name
    model.config.codec_identity = asdict(codec.identity)
    model.generation_config.eos_token_id = tokens.end_id  # where other engines stop
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(folder) as part, no_progress_bars():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return BeginningReport(parameters, len(tokenizer), len(tokenizer) - before, str(codec.identity))
