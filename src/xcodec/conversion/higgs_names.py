"""What the config.json of an original Higgs tokenizer tells: the arguments of Boson's class, `HiggsAudioTokenizer`.

Its tensors have the names of original X-Codec ones, and two linear maps around each codebook.
"""

from collections.abc import Mapping
from typing import Any

from xcodec.errors import CheckpointError

__all__ = ["SEMANTIC_MODELS", "original_fields"]

# What the original class has for a field that its config.json leaves out.
DEFAULTS: dict[str, Any] = {
    "D": 128,
    "target_bandwidths": [1, 1.5, 2, 4, 6],
    "ratios": [8, 5, 4, 2],
    "sample_rate": 16000,
    "bins": 1024,
    "n_q": 8,
    "codebook_dim": None,
    "semantic_techer": "hubert_base_general",
    "semantic_sample_rate": None,
    "downsample_mode": "step_down",
    "vq_scale": 1,
}
# The one value that is known here of fields that other models of this class may have.
KNOWN = {"downsample_mode": "step_down", "vq_scale": 1}
SEMANTIC_RATE = 16000  # Hz, of HuBERT and WavLM
# Where the original class fetches its semantic model, for a checkpoint that was saved without it.
SEMANTIC_MODELS = {
    "hubert_base": "facebook/hubert-base-ls960",
    "hubert_base_general": "bosonai/hubert_base",
    "wavlm_base_plus": "microsoft/wavlm-base-plus",
}


def original_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a config.json as `xcodec.conversion.xcodec_names.infer_config` takes them.

    Raises:
        CheckpointError: where they describe another model than is known here.
    """
    told = {name: config.get(name, default) for name, default in DEFAULTS.items()}
    if not any(name in config for name in ("ratios", "semantic_techer", "codebook_dim")):
        raise CheckpointError(
            "an original Higgs tokenizer needs its config.json beside it, with ratios, sample_rate, codebook_dim, ..."
        )
    for name, known in KNOWN.items():
        if told[name] != known:
            raise CheckpointError(f"its config.json has {name}={told[name]!r}; expected {known!r}")
    if type(told["bins"]) is not int or type(told["n_q"]) is not int:
        raise CheckpointError(
            f"its config.json has bins={told['bins']!r} and n_q={told['n_q']!r}; expected codebooks of a whole number "
            "of vectors, as the released tokenizer has"
        )
    if told["semantic_techer"] not in SEMANTIC_MODELS:
        raise CheckpointError(
            f"its config.json has semantic_techer={told['semantic_techer']!r}; expected one of "
            f"{', '.join(SEMANTIC_MODELS)}"
        )
    named = ("D", "ratios", "target_bandwidths", "sample_rate", "bins", "semantic_techer")
    further = {
        "codebook_dim": told["codebook_dim"],
        "semantic_sample_rate": told["semantic_sample_rate"] or SEMANTIC_RATE,
    }
    return {name: told[name] for name in named} | {"num_quantizers": told["n_q"], "further": further}
