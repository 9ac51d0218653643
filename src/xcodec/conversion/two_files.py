"""The codec of Inworld TTS-1 in its authors' layout: encoder and decoder in a file each, and a JSON file of rates.

The network is X-Codec2's with an upsampler. The names become X-Codec2's original ones, and the rest goes their way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from xcodec.conversion.key_map import KeyMap
from xcodec.errors import CheckpointError, some_of
from xcodec.models.checkpoint import read_json
from xcodec.models.stored import Stored
from xcodec.models.weights import read_tensor_file

__all__ = ["read_two_files"]

RATES = "model_config.json"  # beside the decoder: sample_rate, hop_length, upsample_factors, ...

# Name in the encoder's file -> X-Codec2's original name. Each file has the quantizer; a half reads its own.
ENCODER = KeyMap(
    (
        ("semantic_encoder.*", "SemanticEncoder_module.*"),
        ("acoustic_encoder.*", "CodecEnc.*"),
        ("fusion_layer.*", "fc_prior.*"),
        ("quantizer.project_in.*", "generator.quantizer.project_in.*"),
        ("quantizer.*", "unread.encoder.quantizer.*"),
    )
)
# The same of the decoder's file.
DECODER = KeyMap(
    (
        ("generator.decoder.quantizer.project_in.*", "unread.decoder.quantizer.project_in.*"),
        ("generator.decoder.*", "generator.*"),
        ("generator.upsampler.*", "generator.upsampler.*"),
        ("generator.fc_post_a.*", "fc_post_a.*"),
        ("mpd.*", "discriminator.*"),
        ("msd.*", "spec_discriminator.*"),
    )
)
ENCODER_NAMES, DECODER_NAMES = ("acoustic_encoder.",), ("generator.decoder.",)


def read_two_files(name: str, folder: Path, files: Sequence[Path]) -> Stored | None:
    """Read both files as one checkpoint with X-Codec2's original names; None where they are no such pair.

    Args:
        name: what messages call it.
        folder: that the files are in.
        files: of tensors, all that are there.

    Raises:
        CheckpointError: where a file is damaged, or holds a tensor that this codec does not have.
    """
    rates = [path.parent / RATES for path in files if (path.parent / RATES).is_file()]
    if len(files) != 2 or not rates:
        return None
    first, second = (read_tensor_file(path) for path in files)
    for encoder, decoder in ((first, second), (second, first)):
        if begins(encoder, ENCODER_NAMES) and begins(decoder, DECODER_NAMES):
            tensors = renamed(encoder, ENCODER, name) | renamed(decoder, DECODER, name)
            return Stored(name, folder, {"model_type": "xcodec2"} | read_json(rates[0]), tensors)
    return None


def begins(tensors: Mapping[str, Tensor], beginnings: tuple[str, ...]) -> bool:
    """Whether any name begins in one of these ways."""
    return any(tensor.startswith(beginnings) for tensor in tensors)


def renamed(tensors: Mapping[str, Tensor], table: KeyMap, name: str) -> dict[str, Tensor]:
    """Give tensors by X-Codec2's original names."""
    unknown = [key for key in tensors if table.rename(key) is None]
    if unknown:
        raise CheckpointError(
            f"{len(unknown)} tensors that Inworld's codec does not have: {some_of(sorted(unknown))}", subject=name
        )
    return {table.rename(key) or key: tensor for key, tensor in tensors.items()}
