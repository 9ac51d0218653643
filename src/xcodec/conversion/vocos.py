"""An X-Codec gets a Vocos decoder in place of its own, of which YuE has two: for voices and for instruments."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from xcodec.codes import CodecIdentity
from xcodec.conversion.checkpoint import Checkpoint, check_complete
from xcodec.conversion.key_map import KeyMap, Pattern
from xcodec.conversion.report import ConversionReport
from xcodec.errors import CheckpointError, InputError, about, one_line
from xcodec.models.identity import fingerprint_tensors
from xcodec.models.weights import read_tensor_file
from xcodec.models.xcodec import FAMILY as XCODEC
from xcodec.models.xcodec_vocos import FAMILY, XcodecVocosConfig

__all__ = ["DECODERS", "with_vocos_decoder"]

FOLDER = "decoders"  # of the checkpoint's repository
DECODERS = {"vocal": "decoder_131000.pth", "instrumental": "decoder_151000.pth"}  # as YuE calls its stems -> the files
YAML = "config.yaml"  # of the decoders, beside them
OVERLAP = 4  # hops in a frame

LAYER, OUR_LAYER = "backbone.convnext.{i}", "acoustic_decoder.layers.{i}"
# Name in the vocos package -> name here.
RENAMES = KeyMap(
    (
        ("backbone.embed.*", "acoustic_decoder.embed.*"),
        ("backbone.norm.*", "acoustic_decoder.norm1.*"),
        (f"{LAYER}.dwconv.*", f"{OUR_LAYER}.conv.*"),
        (f"{LAYER}.norm.*", f"{OUR_LAYER}.norm.*"),
        (f"{LAYER}.pwconv1.*", f"{OUR_LAYER}.linear1.*"),
        (f"{LAYER}.pwconv2.*", f"{OUR_LAYER}.linear2.*"),
        (f"{LAYER}.gamma", f"{OUR_LAYER}.scale"),
        ("backbone.final_layer_norm.*", "acoustic_decoder.norm2.*"),
        ("head.out.*", "acoustic_decoder.head.linear.*"),
    )
)
WINDOW = "head.istft.window"  # computed here


def with_vocos_decoder(checkpoint: Checkpoint, decoder: str | Path, folder: Path | None, name: str) -> Checkpoint:
    """Put a decoder in place of an X-Codec's own; the result says that it decodes the codes of that one.

    Args:
        checkpoint: of the X-Codec.
        decoder: "vocal" or "instrumental", or the file of one.
        folder: where the X-Codec was found.
        name: of the X-Codec.

    Raises:
        InputError: for a decoder that is not there, or another codec.
        CheckpointError: where its file is damaged, or of another model.
    """
    if checkpoint.family is not XCODEC:
        raise InputError(
            f"only for X-Codec, and this is an {checkpoint.family.name} checkpoint",
            argument="decoder",
            value=str(decoder),
        )
    path = find_decoder(decoder, folder)
    given = read_tensor_file(path)
    with about(path):
        tensors = {RENAMES.rename(key) or key: x.contiguous() for key, x in given.items() if key != WINDOW}
        sizes = decoder_sizes(tensors, read_head(path.parent / YAML))
        if WINDOW in given:
            check_window(given[WINDOW], OVERLAP * sizes["decoder_hop_length"])
    own = checkpoint.config.decodes
    maker = fingerprint_tensors(checkpoint.tensors, checkpoint.config, name) if own is None else CodecIdentity(**own)
    told = {key: value for key, value in checkpoint.config.to_dict().items() if key not in ("model_type", "decodes")}
    config = XcodecVocosConfig.from_fields(told | sizes | {"decodes": vars(maker)}, name)
    replaced = XCODEC.model.decoder_parts
    encoder = {key: x for key, x in checkpoint.tensors.items() if key.partition(".")[0] not in replaced}
    with about(path):
        check_complete(encoder | tensors, FAMILY, config, lambda key: RENAMES.trace(key) or key)
    report = report_of(checkpoint.report, encoder, given, maker)
    return Checkpoint(FAMILY, config, encoder | tensors, replace(report, num_kept=count(encoder | tensors)))


def report_of(
    report: ConversionReport, encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor], maker: CodecIdentity
) -> ConversionReport:
    """Report on the X-Codec's tensors that stay and are replaced, and on those of the decoder by their own names."""
    replaced = [source for name, sources in report.kept.items() if name not in encoder for source in sources]
    kept = {name: sources for name, sources in report.kept.items() if name in encoder}
    constants = {name: tensor for name, tensor in decoder.items() if name == WINDOW}
    return replace(
        report,
        kept=kept | {RENAMES.rename(name) or name: (name,) for name in decoder if name not in constants},
        folded=tuple(name for name in report.folded if name in encoder),
        dropped={
            **report.dropped,
            **dict.fromkeys(replaced, "replaced: of the decoder that X-Codec has itself"),
            **dict.fromkeys(constants, "constant: window of the inverse STFT"),
        },
        num_dropped=report.num_dropped + report.num_kept - count(encoder) + count(constants),
        decodes=str(maker),
    )


def count(tensors: Mapping[str, Tensor]) -> int:
    """Count the numbers in tensors."""
    return sum(tensor.numel() for tensor in tensors.values())


def find_decoder(decoder: str | Path, folder: Path | None) -> Path:
    """Find the file of a decoder."""
    path = Path(decoder).expanduser()
    if path.is_file():
        return path
    beside = [place / FOLDER for place in (folder, folder.parent)] if folder is not None else []
    found = next((place for place in beside if place.is_dir()), None)
    names = {name: file for name, file in DECODERS.items() if found is not None and (found / file).is_file()}
    if found is None or decoder not in names:
        offered = ", ".join(names) or "none beside the checkpoint"
        raise InputError(
            f"no such decoder; there are: {offered}",
            argument="decoder",
            value=str(decoder),
            remedy="give one of these, or the file of a Vocos decoder",
        )
    return found / names[str(decoder)]


def read_head(path: Path) -> Mapping[str, Any]:
    """Read what the YAML file beside a decoder says of its head; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        head = yaml.safe_load(path.read_text(encoding="utf-8"))["head"]["init_args"]
        return dict(head)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} does not describe a Vocos decoder ({one_line(error)})") from None


def decoder_sizes(tensors: Mapping[str, Tensor], head: Mapping[str, Any]) -> dict[str, int]:
    """Read the sizes of a decoder off its tensors.

    Args:
        tensors: by the names used here.
        head: what the YAML file says of its head.
    """

    def rows(name: str) -> int:
        if name not in tensors or tensors[name].ndim == 0:
            raise CheckpointError(f"{RENAMES.trace(name)} is missing, which tells a size of the decoder")
        return tensors[name].shape[0]

    n_fft = rows("acoustic_decoder.head.linear.weight") - 2
    hop_length = head.get("hop_length", n_fft // OVERLAP)
    if hop_length * OVERLAP != n_fft or head.get("padding", "same") != "same":
        raise CheckpointError(
            f"the head makes frames of {n_fft} samples, every {hop_length} of them, with padding "
            f"{head.get('padding', 'same')!r}; expected {OVERLAP} times as many in a frame, and 'same'"
        )
    numbers = [int(found["i"]) for name in tensors if (found := Pattern(f"{OUR_LAYER}.scale").match(name)) is not None]
    return {
        "decoder_hidden_size": rows("acoustic_decoder.norm1.weight"),
        "decoder_intermediate_size": rows("acoustic_decoder.layers.0.linear1.weight"),
        "decoder_num_layers": 1 + max(numbers, default=-1),
        "decoder_hop_length": hop_length,
    }


def check_window(window: Tensor, length: int) -> None:
    """Refuse another window than the one that is computed."""
    if window.shape != (length,) or not torch.allclose(window.float(), torch.hann_window(length), atol=1e-5):
        raise CheckpointError(f"{WINDOW} {tuple(window.shape)} is not the Hann window of {length} samples")
