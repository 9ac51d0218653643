"""From what the command line names to a language model that is served."""

import os
from pathlib import Path
from typing import Any

from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.llasa import LLASA, NEUTTS, Llasa, Prompts, SpeechTokens
from xcodec.llasa.checkpoint import load_language_model, load_tokenizer
from xcodec.llasa.generation import TransformersEngine
from xcodec.llasa.phones import EspeakPhones
from xcodec.llasa.speech import single_codebook
from xcodec.serving.speaker import Speaker
from xcodec.serving.upstream import Upstream
from xcodec.serving.voices import BuiltInVoice

__all__ = ["CONVENTIONS", "load_speaker"]

CONVENTIONS = {"llasa": LLASA, "neutts": NEUTTS}
NEUTTS_SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_k": 50}
"""What its authors sample with."""


def load_speaker(
    llm: str,
    codec: Codec,
    *,
    convention: str = "llasa",
    language: str = "en-us",
    device: str | None = None,
    upstream: str | None = None,
    upstream_model: str | None = None,
) -> Speaker:
    """Load a language model, or of one on another server its tokenizer alone.

    Args:
        llm: a folder or a hub id.
        codec: whose codes it speaks.
        convention: how it spells speech, and what it is asked: one of `CONVENTIONS`.
        language: of texts that are turned into phones, for NeuTTS.
        device: of the model.
        upstream: where another server has it, such as http://localhost:8000/v1.
        upstream_model: what that server calls it; None is `llm`.

    Raises:
        CheckpointError: where it is not found.
        InputError: where it does not fit the codec, or has not the tokens of the convention.
        MissingExtraError: where NeuTTS's phones cannot be made.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"expected one of {', '.join(CONVENTIONS)}", argument="convention", value=convention)
    chosen, is_neutts = CONVENTIONS[convention], convention == "neutts"
    size = single_codebook(codec)
    spell = EspeakPhones(language) if is_neutts else None
    if upstream is None:
        model, tokenizer = load_language_model(llm, device, "auto", {})
        tokens = SpeechTokens.of(tokenizer, size, chosen)
        llasa = Llasa(TransformersEngine(model, tokens), Prompts(tokenizer, tokens, spell), codec)
    else:
        tokenizer = load_tokenizer(llm)
        tokens = SpeechTokens.of(tokenizer, size, chosen)
        engine = Upstream(upstream, upstream_model or llm, tokens, os.environ.get("XCODEC_UPSTREAM_API_KEY"))
        llasa = Llasa(engine, Prompts(tokenizer, tokens, spell), codec)
    name = Path(llm).resolve().name if Path(llm).is_dir() else llm
    if is_neutts:
        return Speaker(llasa, name, NEUTTS_SAMPLING, BuiltInVoice(codec))
    return Speaker(llasa, name)
