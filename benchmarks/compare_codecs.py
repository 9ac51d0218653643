"""Codecs of several kinds on the same recordings, by one command: `xcodec evaluate`, with checkpoints made for it.

    python benchmarks/compare_codecs.py RECORDINGS OUT [-m MODEL ...] [further options of xcodec evaluate]

Compares the built-in `mini`, small EnCodec, DAC and Mimi of transformers and a small X-Codec of this package, all four
of random weights, Opus at 6 kbit/s and Codec 2 at 1300 bit/s, and writes OUT/report.html and OUT/report.json. What a
random codec gives back is noise: it stands there for what noise scores, and to show that the codecs of others run. Of
trained codecs give their names by -m; they are compared as well.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DacConfig,
    DacFeatureExtractor,
    DacModel,
    EncodecConfig,
    EncodecFeatureExtractor,
    EncodecModel,
    MimiConfig,
    MimiModel,
)

from xcodec import XcodecConfig, XcodecFeatureExtractor, XcodecModel

BASELINES = ("opus:6", "codec2:1300")


def encodec() -> tuple[Any, Any]:
    config = EncodecConfig(num_filters=8, hidden_size=32, codebook_dim=32, num_lstm_layers=1)
    return EncodecModel(config), EncodecFeatureExtractor(sampling_rate=24_000)


def dac() -> tuple[Any, Any]:
    config = DacConfig(
        encoder_hidden_size=8,
        decoder_hidden_size=64,
        downsampling_ratios=[2, 4, 5, 8],
        n_codebooks=12,
        sampling_rate=16_000,
    )
    return DacModel(config), DacFeatureExtractor(sampling_rate=16_000, hop_length=320)


def mimi() -> tuple[Any, Any]:
    config = MimiConfig(
        hidden_size=64,
        num_filters=8,
        codebook_dim=32,
        vector_quantization_hidden_dimension=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        intermediate_size=128,
        num_quantizers=8,
        upsample_groups=64,
    )
    return MimiModel(config), EncodecFeatureExtractor(sampling_rate=24_000)


def xcodec_with_hubert() -> tuple[Any, Any]:
    config = XcodecConfig(
        semantic_model_config={
            "model_type": "hubert",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "conv_dim": [32] * 7,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
        },
        acoustic_model_config={"encoder_hidden_size": 8, "decoder_hidden_size": 64, "hidden_size": 64},
    )
    return XcodecModel(config), XcodecFeatureExtractor()


MADE = {"encodec": encodec, "dac": dac, "mimi": mimi, "xcodec": xcodec_with_hubert}


@torch.no_grad()
def made(folder: Path) -> list[Path]:
    """Save the random checkpoints, the same at every call: one folder for each."""
    folders = []
    for name, build in MADE.items():
        torch.manual_seed(0)
        model, extractor = build()
        for key, tensor in model.state_dict().items():
            if key.endswith((".embed", ".embed_sum")):  # codebooks, which are zero before training
                tensor.normal_()
        model.save_pretrained(folder / f"random-{name}")
        extractor.save_pretrained(folder / f"random-{name}")
        folders.append(folder / f"random-{name}")
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    arguments, others = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    models = ["mini", *map(str, made(arguments.out))]
    evaluate = [
        *(sys.executable, "-m", "xcodec", "evaluate", arguments.recordings),
        *(word for model in models for word in ("-m", model)),
        *(word for baseline in BASELINES for word in ("--baseline", baseline)),
        *("--html", arguments.out / "report.html", "--json", arguments.out / "report.json"),
        *others,
    ]
    raise SystemExit(subprocess.run(list(map(str, evaluate)), check=False).returncode)


if __name__ == "__main__":
    main()
