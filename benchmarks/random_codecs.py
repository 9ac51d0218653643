"""Small codecs of random weights whose codebooks are all used: what comparisons and tests take for codecs of others.

What a random encoder gives varies little about one point, and of code vectors that are drawn without a look at it the
same one is nearest to all of it. So a recording is encoded once, and the vectors of each codebook are drawn from the
latents that this codebook is given.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
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

from xcodec import Audio, XcodecConfig, XcodecFeatureExtractor, XcodecModel

__all__ = ["CODECS", "save_random_codec"]

JITTER = 0.1  # of the latents' deviation: where there are fewer of them than code vectors, no two are the same


def encodec() -> tuple[Any, Any]:
    config = EncodecConfig(
        num_filters=8, hidden_size=32, codebook_dim=32, num_lstm_layers=1, target_bandwidths=[1.5, 3.0, 6.0]
    )
    return EncodecModel(config), EncodecFeatureExtractor(sampling_rate=24_000)


def encodec_stereo() -> tuple[Any, Any]:
    """Make an EnCodec as that at 48 kHz is: in chunks of a second, each with a scale."""
    config = EncodecConfig(
        num_filters=4,
        hidden_size=16,
        codebook_dim=16,
        num_lstm_layers=1,
        target_bandwidths=[3.0],
        sampling_rate=48_000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        norm_type="time_group_norm",
        use_causal_conv=False,
    )
    extractor = EncodecFeatureExtractor(sampling_rate=48_000, feature_size=2, chunk_length_s=1.0, overlap=0.01)
    return EncodecModel(config), extractor


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


CODECS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "encodec": encodec,
    "encodec-stereo": encodec_stereo,
    "dac": dac,
    "mimi": mimi,
    "xcodec": xcodec_with_hubert,
}


@torch.no_grad()
def save_random_codec(name: str, folder: Path, recording: Audio) -> None:
    """Save one of `CODECS` as a checkpoint, the same at every call.

    Args:
        name: its key.
        folder: where to.
        recording: mono, of which its codebooks are drawn; the longer, the more code vectors are really apart.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, extractor = CODECS[name]()
        model.eval()
        sampling_rate, channels = extractor.sampling_rate, getattr(extractor, "feature_size", 1)
        samples = recording.resample(sampling_rate).samples.repeat(channels, 0).squeeze()
        inputs = extractor(samples, sampling_rate=sampling_rate, return_tensors="pt")
        with codebooks_drawn(model):
            model.encode(inputs["input_values"], **all_codebooks(model))
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def all_codebooks(model: nn.Module) -> dict[str, Any]:
    """Tell `encode` to use all codebooks, where it would not by itself."""
    return {"bandwidth": max(model.config.target_bandwidths)} if hasattr(model.config, "target_bandwidths") else {}


@contextmanager
def codebooks_drawn(model: nn.Module) -> Iterator[None]:
    """Draw the vectors of each codebook when it is first given latents, before they are quantized."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(vectors := getattr(module, "codebook", None), nn.Embedding):  # DAC's, behind a projection
                draws = drawn_at_first(vectors.weight)
                hook = module.in_proj.register_forward_hook(lambda *call, draws=draws: draws(call[2].transpose(1, 2)))
                stack.callback(hook.remove)
            elif (vectors := dict(module.named_buffers(recurse=False))) and vectors.keys() & {"embed", "embed_sum"}:
                # Mimi's vectors are sums over usage, which is one.
                draws = drawn_at_first(vectors.get("embed", vectors.get("embed_sum")))
                encode = module.encode

                def drawn(latents: Tensor, draws: Any = draws, encode: Any = encode) -> Tensor:
                    draws(latents)
                    return encode(latents)

                module.encode = drawn
                stack.callback(delattr, module, "encode")
        yield


def drawn_at_first(vectors: Tensor) -> Callable[[Tensor], None]:
    """Return what fills code vectors (codes, channels) from the first latents (..., channels) that it gets."""
    fresh = iter([True])

    def draw(latents: Tensor) -> None:
        if next(fresh, False):
            points = latents.detach().flatten(0, -2)
            chosen = points[torch.randint(len(points), (len(vectors),))]
            vectors.copy_(chosen + JITTER * points.std(0) * torch.randn_like(chosen))

    return draw
