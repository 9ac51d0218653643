"""A run from its parts: a language model, rows, and the language model that comes of them."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from xcodec.errors import InputError
from xcodec.files import folder_written_whole
from xcodec.llasa.checkpoint import SpokenCodec, load_language_model
from xcodec.llasa.prompt import Prompts
from xcodec.llasa.rows import TrainingRows, codebook_size_of, names
from xcodec.llasa.tokens import SpeechTokens
from xcodec.models.auto import no_progress_bars
from xcodec.models.identity import hash_tensors
from xcodec.training.distributed import Processes
from xcodec.training.language_model.adapters import merged, with_lora
from xcodec.training.language_model.settings import LanguageSettings
from xcodec.training.language_model.trainer import LanguageTrainer
from xcodec.training.limit import Limit
from xcodec.training.monitor import OnStep

__all__ = ["MODEL", "train_language_model"]

MODEL = "model"
"""The folder of a run that holds the language model."""

logger = logging.getLogger(__name__)


def train_language_model(
    llm: str,
    rows: Path,
    output: Path,
    settings: LanguageSettings,
    processes: Processes,
    *,
    limit: Limit | None = None,
    on_step: OnStep | None = None,
    hub_arguments: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Teach a language model to say rows, or go on with it, and write what has come of it to OUTPUT/model.

    Args:
        llm: a folder or a hub id of a language model that has the speech tokens.
        rows: folder of rows, as `xcodec llasa prepare` writes it.
        output: folder of the run; a run that lies there is taken up.
        settings: how.
        processes: this one among those that train.
        limit: when to end before the last step; None is never.
        on_step: called after each step, in the first process alone.
        hub_arguments: for a hub id.

    Returns:
        Whether the last step was done.

    Raises:
        XcodecError: where something is missing or wrong, or the loss leaves the numbers.
    """
    dtype = torch.bfloat16 if settings.dtype == "bfloat16" else torch.float32
    held = dtype if settings.lora is not None else torch.float32
    model, tokenizer = load_language_model(llm, str(processes.device), held, hub_arguments)
    tokens = SpeechTokens.of(tokenizer, codebook_size_of(rows))
    prompts = Prompts(tokenizer, tokens)
    if model.get_input_embeddings().num_embeddings < len(tokens.codes):
        raise InputError("has fewer rows than its tokenizer has tokens", subject=llm, remedy="use xcodec llasa init")
    learned = TrainingRows(rows, prompts)
    validation = TrainingRows(rows, prompts, "val") if (rows.expanduser() / names("val")[0]).is_file() else None
    check(llm, model, learned, prompts, SpokenCodec(llm, hub_arguments).identity)
    identity = hashlib.sha256((hash_tensors(model.state_dict().items()) + learned.fingerprint()).encode()).hexdigest()
    torch.manual_seed(settings.seed)  # of LoRA's matrices
    trained = model if settings.lora is None else with_lora(model, tokens, settings)
    trainer = LanguageTrainer(trained, prompts, learned, validation, settings, output, identity, processes, on_step)
    if processes.is_first:
        millions = [sum(x.numel() for x in trained.parameters() if x.requires_grad or every) for every in (0, 1)]
        logger.info(
            "%.2fM of %.2fM parameters to train; %d rows, %d steps",
            millions[0] / 1e6,
            millions[1] / 1e6,
            len(learned),
            trainer.steps,
        )
    trainer.run(limit or Limit())
    if processes.is_first:
        write(merged(trained) if settings.lora is not None else model, tokenizer, output / MODEL, dtype)
        logger.info("written to %s", output / MODEL)
    processes.wait()
    return trainer.step >= trainer.steps


def check(llm: str, model: Any, rows: TrainingRows, prompts: Prompts, spoken: Any) -> None:
    """Refuse rows that a language model cannot learn.

    Raises:
        InputError: for rows of another codec, or longer than the model's context.
    """
    if spoken is not None and rows.codec is not None and not spoken.same_model(rows.codec):
        raise InputError(
            f"hold codes of {rows.codec}, and {llm} has the tokens of {spoken}",
            subject=rows.path.parent,
            remedy="prepare rows of that codec",
        )
    context = getattr(model.config, "max_position_embeddings", None)
    longest = rows.rows.shape[1] + len(prompts.of_text_ids([])) - 1
    if context is not None and longest > context:
        raise InputError(
            f"are up to {longest} ids long with their prompt, and {llm} sees {context}",
            subject=rows.path.parent,
            remedy="prepare them with a smaller length",
        )


def write(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write a language model, whole or not at all, over the one that the run wrote before."""
    model.to(dtype)
    with folder_written_whole(folder) as part, no_progress_bars():
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
