"""LoRA through peft: small matrices are trained in place of a model's own, and added to them at the end."""

import warnings
from typing import Any

import torch

from xcodec.errors import require
from xcodec.llasa.tokens import SpeechTokens
from xcodec.training.language_model.settings import LanguageSettings

__all__ = ["merged", "with_lora"]


def with_lora(model: Any, tokens: SpeechTokens, settings: LanguageSettings) -> Any:
    """Freeze a model, and give each of its linear layers two small matrices, which are float32 and trained.

    Args:
        model: a causal language model of transformers.
        tokens: whose rows are trained too, whole, where the settings say so.
        settings: rank and scale.

    Raises:
        MissingExtraError: where peft is not installed.
    """
    peft = require("peft", "train")
    trained = None
    if settings.lora_tokens:
        markers = [tokens.end_id] if tokens.start_id is None else [tokens.start_id, tokens.end_id]
        ids = [*markers, *tokens.ids.tolist()]
        layers = [model.get_input_embeddings()]
        if model.get_output_embeddings().weight is not layers[0].weight:
            layers.append(model.get_output_embeddings())
        trained = {name: ids for name, layer in model.named_modules() if any(layer is each for each in layers)}
    assert settings.lora is not None
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora,
        lora_alpha=2 * settings.lora if settings.lora_alpha is None else settings.lora_alpha,
        target_modules="all-linear",
        trainable_token_indices=trained,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for what transformers 5 has renamed
        adapted = peft.get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return adapted


def merged(model: Any) -> Any:
    """Return the language model with what was trained added to it; the one that was given is spent."""
    return model.merge_and_unload()
