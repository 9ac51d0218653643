"""What the tests of X-Codec build: tiny and released-size models of each semantic kind, with random weights."""

import re
from typing import Any

import numpy as np
import torch
from torch import nn

from builders import speech
from xcodec import XcodecConfig, XcodecFeatureExtractor, XcodecModel

# The semantic models of the released checkpoints, and the large layout: norms in every convolution and before layers.
KINDS: dict[str, dict[str, Any]] = {
    "hubert": {"model_type": "hubert"},
    "hubert-large": {
        "model_type": "hubert",
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
    "wavlm": {"model_type": "wavlm"},
}
TINY_SEMANTIC: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
TINY_ACOUSTIC: dict[str, Any] = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "hidden_size": 24}


def prepare_xcodec(*clips: np.ndarray, **arguments: Any) -> Any:
    """The model inputs of a batch of clips."""
    arguments = {"sampling_rate": 16000, "return_tensors": "pt"} | arguments
    return XcodecFeatureExtractor()(list(clips), **arguments)


def randomize(model: nn.Module, seed: int) -> None:
    """Give every parameter a value that matters, at scales that neither fade nor blow up."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "gru_rel_pos_const")):
            parameter.copy_(1 + 0.2 * torch.rand_like(parameter))
        elif name.endswith("rel_attn_embed.weight"):
            nn.init.normal_(parameter)
        elif parameter.ndim > 1:  # what a residual unit adds is kept small, or loud inputs turn Snake into a hash
            gain = 0.3 if re.search(r"res_unit\d\.conv2", name) else 1.0
            nn.init.normal_(parameter, std=gain * parameter[0].numel() ** -0.5)
        elif name.endswith("norm.weight"):
            parameter.copy_(1 + 0.2 * torch.randn_like(parameter))
        else:
            nn.init.normal_(parameter, std=0.1)


@torch.no_grad()
def random_xcodec(kind: str, seed: int = 0, **fields: Any) -> XcodecModel:
    """A model of random weights whose codes and audio vary as a trained model's do.

    Each codebook is laid around what the ones before it leave of real speech, and the decoder is brought to a level of
    speech.
    """
    semantic = KINDS[kind] | fields.pop("semantic_model_config", {})
    model = XcodecModel(XcodecConfig(semantic_model_config=semantic, **fields)).eval()
    randomize(model, seed)
    inputs = prepare_xcodec(speech(4.0))
    taken: dict[str, torch.Tensor] = {}
    hook = model.fc.register_forward_hook(lambda *call: taken.update(latents=call[2]))
    model.encode(**inputs)
    hook.remove()
    residual = taken["latents"].flatten(0, 1)
    for codebook in model.quantizer.codebooks:
        chosen = residual[torch.randint(len(residual), (len(codebook.embed),))]
        codebook.embed.copy_(chosen + 0.5 * residual.std(0) * torch.randn_like(chosen))
        codebook.embed_avg.copy_(codebook.embed)
        residual = residual - codebook.decode(codebook.encode(residual))
    level = model(**inputs).audio_values.std()
    model.acoustic_decoder.conv2.weight.mul_(0.1 / level)
    return model


def tiny_xcodec(kind: str = "hubert", seed: int = 0, **fields: Any) -> XcodecModel:
    """A random model of a hundred thousand parameters or so."""
    semantic = TINY_SEMANTIC | fields.pop("semantic_model_config", {})
    acoustic = TINY_ACOUSTIC | fields.pop("acoustic_model_config", {})
    return random_xcodec(kind, seed, semantic_model_config=semantic, acoustic_model_config=acoustic, **fields)
