"""A small language model that speaks: a tokenizer of bytes, a chat template like Llama 3's, a small Llama."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xcodec.codec import Codec
from xcodec.llasa import Llasa, SpeechTokens, TrainingRows, TrainingRowsWriter

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\nToday Date: " + date_string + "\n\n<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""

SPECIAL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def text_tokenizer() -> PreTrainedTokenizerFast:
    """Of the 256 bytes and Llama 3's own special tokens: 260 ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=SPECIAL[0], eos_token=SPECIAL[3], clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def small_llama(vocabulary: int, seed: int = 0, **fields: Any) -> LlamaForCausalLM:
    """A Llama of two layers of width 64, with random weights large enough that it has preferences."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "tie_word_embeddings": True}
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=vocabulary, initializer_range=0.2, **(sizes | fields))
    return LlamaForCausalLM(config).eval()


def small_llasa(codec: Codec, seed: int = 0, **fields: Any) -> Llasa:
    """A language model with random weights that speaks a codec's codes."""
    tokenizer = text_tokenizer()
    SpeechTokens.add(tokenizer, codec.codebook_sizes[0])
    return Llasa.of(small_llama(len(tokenizer), seed, **fields), tokenizer, codec)


@torch.inference_mode(False)
def write_learned(folder: Path, codec: Codec, recordings: dict[str, Path], loss_below: float = 0.1) -> None:
    """Write the checkpoint of a language model that was trained, from rows on the disk, to say some texts.

    Args:
        folder: is made.
        codec: whose codes it speaks.
        recordings: of each text.
        loss_below: at which it ends.
    """
    llasa = small_llasa(codec)
    model, tokenizer = llasa.engine.model, llasa.prompts.tokenizer  # type: ignore[attr-defined]
    tokenizer.pad_token = tokenizer.eos_token
    with TrainingRowsWriter(folder / "rows", llasa.prompts, length=256) as rows:
        for text, recording in recordings.items():
            rows.write(text, codec.encode(recording))
    batch = DataCollatorForSeq2Seq(tokenizer)(list(TrainingRows(folder / "rows", llasa.prompts)))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)
    labels = batch.pop("labels")
    labels = labels[:, int((labels != -100).any(0).int().argmax()) :]  # from the first answer on
    model.train()
    for _ in range(150):
        logits = model(**batch, logits_to_keep=labels.shape[1] + 1).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < loss_below:
            break
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
