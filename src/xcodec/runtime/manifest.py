"""What an exported codec is: the JSON file beside its graphs."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xcodec.bandwidth import choose_bandwidth
from xcodec.codes import CodecIdentity
from xcodec.errors import CheckpointError, first_line

__all__ = [
    "DECODER",
    "DECODER_PROGRAM",
    "DECODER_STEP",
    "ENCODER",
    "ENCODER_PROGRAM",
    "LEFT_OUT",
    "MANIFEST",
    "Manifest",
]

MANIFEST = "codec.json"
ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"
DECODER_STEP = "decoder_step.onnx"
ENCODER_PROGRAM = "encoder.pt2"
DECODER_PROGRAM = "decoder.pt2"
FORMAT = "xcodec.onnx"
FORMAT_OF_PROGRAMS = "xcodec.torch"
FORMAT_VERSION = 1
LEFT_OUT = -1  # in place of the codes of a codebook that a stream does without


@dataclass(frozen=True)
class Manifest:
    """What an exported codec reads and writes, and which model it was.

    Attributes:
        name: what the model was called.
        identity: which model it was.
        decodes: the model whose codes it reads and writes, where these are not its own.
        config: the model's configuration.
        sampling_rate: in Hz, of the audio that is encoded.
        output_sampling_rate: in Hz, of the audio that is decoded.
        hop_length: samples of the audio that is encoded in a code.
        frame_rate: frames of codes per second, in Hz.
        codebook_sizes: the number of different codes in each codebook.
        bandwidths: in kbit/s, ascending: what `encode` can be asked for.
        codebooks: how many codebooks, the first so many, each bandwidth uses.
        shortest_clip: the fewest samples that make a code.
        spare_samples: of whole hops, samples at the end that the last code can do without.
        dtype: of the weights.
        opset: of ONNX's operators; None where the halves are programs of torch.
        versions: of what made it, by name.
        lookahead: how many codes after its own a code's audio depends on; None where on all that come.
        looks_ahead_once: whether a stream makes no more of codes that it looks ahead at than of those to come.
    """

    name: str
    identity: CodecIdentity
    decodes: CodecIdentity | None
    config: dict[str, Any]
    sampling_rate: int
    output_sampling_rate: int
    hop_length: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]
    bandwidths: tuple[float, ...]
    codebooks: tuple[int, ...]
    shortest_clip: int
    spare_samples: int
    dtype: str
    opset: int | None
    versions: dict[str, str]
    lookahead: int | None = None
    looks_ahead_once: bool = False

    def samples_of(self, num_codes: int) -> int:
        """Tell of how many samples so many codes are made, where more audio follows them."""
        return num_codes * self.hop_length - self.spare_samples

    def codebooks_at(self, bandwidth: float | None) -> int:
        """Tell how many codebooks, the first so many, a bandwidth in kbit/s uses; None means the highest.

        Raises:
            InputError: where the model does not have that bandwidth.
        """
        chosen = choose_bandwidth(bandwidth, self.bandwidths, self.name)
        return self.codebooks[self.bandwidths.index(chosen)]

    def to_json(self) -> str:
        """Return the text of the file."""
        form = FORMAT_OF_PROGRAMS if self.opset is None else FORMAT
        return json.dumps({"format": form, "format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Manifest":
        """Read the file of an exported codec.

        Raises:
            CheckpointError: where the folder holds no exported codec, or one of a newer version.
        """
        path = Path(folder) / MANIFEST
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            form = fields.pop("format")
            if form == FORMAT_OF_PROGRAMS:
                raise CheckpointError(
                    "holds programs of torch, and ONNX is read here",
                    subject=folder,
                    remedy="read them with torch.export.load, or export the model again, without --format torch",
                )
            if form != FORMAT:
                raise ValueError(f'its format is not "{FORMAT}"')
            version = fields.pop("format_version")
            if version != FORMAT_VERSION:
                raise CheckpointError(
                    f"is of version {version}, and version {FORMAT_VERSION} is read here",
                    subject=path,
                    remedy="update xcodec, or export the model again",
                )
            identity, decodes = fields.pop("identity"), fields.pop("decodes")
            for name in ("codebook_sizes", "bandwidths", "codebooks"):
                fields[name] = tuple(fields[name])
            return cls(
                identity=CodecIdentity(**identity),
                decodes=None if decodes is None else CodecIdentity(**decodes),
                **fields,
            )
        except FileNotFoundError:
            raise CheckpointError(
                f"holds no exported codec: there is no {MANIFEST}",
                subject=folder,
                remedy="`xcodec export MODEL FOLDER` writes one",
            ) from None
        except OSError as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"cannot be read: {first_line(error)}", subject=path) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"is damaged ({first_line(error)})", subject=path) from None
