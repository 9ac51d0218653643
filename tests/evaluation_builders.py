"""What the tests of evaluation build: tiny models that listen, tell voices apart, and have opinions."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForXVector,
    Wav2Vec2Processor,
)

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


class Loudness(torch.nn.Module):
    """The largest sample of whole windows of 400, as a stand-in for an opinion: loud is good."""

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return waveform.unfold(1, 400, 400).abs().amax().reshape(1)


def save_predictor(path: Path, module: torch.nn.Module | None = None) -> Path:
    """A TorchScript file of a module, or of `Loudness`."""
    torch.jit.save(torch.jit.script(module or Loudness()), path)
    return path
