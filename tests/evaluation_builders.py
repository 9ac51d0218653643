"""What the tests of evaluation build: models that listen, judge and tell voices apart; and scripts of benchmarks."""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForXVector,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from xcodec.evaluation.clips import Pair
from xcodec.evaluation.metric import Metric, Score

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TINY_WAV2VEC2: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def benchmark(script: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(script.replace("/", "_").removesuffix(".py"), BENCHMARKS / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def save_recognizer(folder: Path) -> Path:
    """A recogniser of random weights, which hears random letters in anything."""
    torch.manual_seed(0)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    Wav2Vec2ForCTC(Wav2Vec2Config(**TINY_WAV2VEC2, vocab_size=len(letters))).save_pretrained(folder)
    return folder


def save_voices(folder: Path) -> Path:
    """An x-vector model of random weights."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(**TINY_WAV2VEC2, tdnn_dim=(16, 16, 24), xvector_output_dim=16)
    Wav2Vec2ForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """A Whisper of random weights, as CTranslate2 runs it, whose words are bytes."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(0)
    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    named = "endoftext startoftranscript en translate transcribe startoflm startofprev nospeech notimestamps"
    special = [f"<|{name}|>" for name in named.split()]
    end, start = len(letters), len(letters) + 1
    config = WhisperConfig(
        vocab_size=len(letters) + len(special) + 1501, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        eos_token_id=end, bos_token_id=end, pad_token_id=end, decoder_start_token_id=start, suppress_tokens=[],
        begin_suppress_tokens=[],
    )  # fmt: skip
    source = folder.with_name("transformers")
    model = WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = model.generation_config.begin_suppress_tokens = []
    model.save_pretrained(source)
    WhisperFeatureExtractor().save_pretrained(source)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=special[0], additional_special_tokens=special[1:]
    ).save_pretrained(source)
    (source / "normalizer.json").write_text(json.dumps({"colour": "color"}))
    copied = ["tokenizer.json", "preprocessor_config.json", "normalizer.json"]
    TransformersConverter(str(source), copy_files=copied).convert(str(folder))
    return folder


class Loudness(torch.nn.Module):
    """The largest sample of whole windows of 400, as a stand-in for an opinion: loud is good."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return waveform.unfold(1, 400, 400).abs().amax().reshape(1)


def save_predictor(path: Path, module: torch.nn.Module | None = None) -> Path:
    """A TorchScript file of a module, or of `Loudness`."""
    torch.jit.save(torch.jit.script(module or Loudness()), path)
    return path


class Deadly(Metric):
    """Ends the process that measures, as one does that has no memory left."""

    scales = ()

    def measure(self, pair: Pair) -> dict[str, Score]:
        os._exit(3)
