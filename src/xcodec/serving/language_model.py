"""From what the command line names to a language model that is served."""

import os
from pathlib import Path

from xcodec.codec import Codec
from xcodec.llasa import LLASA, Convention, Llasa, Prompts, SpeechTokens
from xcodec.llasa.checkpoint import SpokenCodec, load_language_model, load_tokenizer
from xcodec.llasa.speech import check_spoken, single_codebook
from xcodec.serving.speaker import Speaker
from xcodec.serving.upstream import Upstream
from xcodec.serving.voices import BuiltInVoice

__all__ = ["load_speaker"]


def load_speaker(
    llm: str,
    codec: Codec,
    *,
    convention: Convention = LLASA,
    device: str | None = None,
    upstream: str | None = None,
    upstream_model: str | None = None,
) -> Speaker:
    """Load a language model, or of one on another server its tokenizer alone.

    Args:
        llm: a folder or a hub id.
        codec: whose codes it speaks.
        convention: how it spells speech, and how it is asked.
        device: of the model.
        upstream: where another server has it, such as http://localhost:8000/v1.
        upstream_model: what that server calls it; None is `llm`.

    Raises:
        CheckpointError: where it is not found.
        InputError: where it does not fit the codec, such as one that says it was given tokens for another, or has not
            the tokens of the convention.
        MissingExtraError: where it reads phones, and these cannot be made.
    """
    if upstream is None or has_config(llm):
        check_spoken(codec, SpokenCodec(llm).identity, llm)
    if upstream is None:
        llasa = Llasa.of(*load_language_model(llm, device, "auto", {}), codec, convention)
    else:
        tokenizer = load_tokenizer(llm)
        tokens = SpeechTokens.of(tokenizer, single_codebook(codec), convention)
        engine = Upstream(upstream, upstream_model or llm, tokens, os.environ.get("XCODEC_UPSTREAM_API_KEY"))
        llasa = Llasa(engine, Prompts(tokenizer, tokens), codec)
    name = Path(llm).resolve().name if Path(llm).is_dir() else llm
    return Speaker(llasa, name, own_voice=BuiltInVoice(codec) if llasa.prompts.needs_voice else None)


def has_config(llm: str) -> bool:
    """Whether more is to be had of a language model than a folder with its tokenizer."""
    return not Path(llm).is_dir() or (Path(llm) / "config.json").is_file()
