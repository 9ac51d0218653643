"""A small language model that needs nothing from elsewhere: a tokenizer of bytes, and a Llama drawn anew."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xcodec.errors import InputError, one_line

__all__ = ["byte_llama", "byte_tokenizer"]

BEGIN, TURN_BEGIN, TURN_END, PAD = "<|begin|>", "<|turn|>", "<|end_of_turn|>", "<|pad|>"

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|turn|>' + message['role'] + '\n' + message['content'] | trim + '<|end_of_turn|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|turn|>assistant\n' }}
{%- endif %}"""

SIZES: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}
"""With the 65,536 codes of X-Codec2, 67 million parameters, half of them the tokens'."""


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer of the 256 bytes of UTF-8, so of any language, with a chat template: 260 ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([BEGIN, TURN_BEGIN, TURN_END, PAD])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BEGIN,
        eos_token=TURN_END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def byte_llama(tokenizer: PreTrainedTokenizerFast, fields: Mapping[str, Any]) -> LlamaForCausalLM:
    """Draw a Llama for a tokenizer, from torch's own source of chance.

    Args:
        tokenizer: whose ids it gets rows for.
        fields: of `LlamaConfig`, in place of those in `SIZES`.

    Raises:
        InputError: for a field that there is not, or values that do not fit together.
    """
    known = LlamaConfig()
    if unknown := sorted(name for name in fields if not hasattr(known, name) or name == "vocab_size"):
        raise InputError(f"a Llama's configuration has no {', '.join(unknown)} to set; there are {', '.join(SIZES)}")
    sizes = SIZES | dict(fields)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    try:
        return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **ends, **sizes))
    except (StrictDataclassError, ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise InputError(f"no Llama can be made of this configuration: {one_line(error)}") from None
