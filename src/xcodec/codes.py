"""Codes: what a codec makes of a recording, with all that is needed to turn it back; saving and loading."""

import html
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from xcodec.bandwidth import find_bandwidth
from xcodec.errors import CodesError, about, first_line
from xcodec.files import written_whole
from xcodec.notebook import picture

__all__ = ["CodecIdentity", "Codes", "bitrate"]

FORMAT = "xcodec.codes"
FORMAT_VERSION = 2  # 2: in segments; whole recordings are written as version 1, which older readers take

_FRAME_RATES = (1e-3, 1e6)  # in Hz; far beyond any codec, and safe to calculate with
_MAX_RATE = 2**31 - 1  # in Hz
_MAX_LENGTH = 2**53  # samples
_MAX_CODEBOOK = 2**63  # codes that int64 can count

_FIELDS = (
    "frame_rate",
    "num_samples",
    "sampling_rate",
    "source_sampling_rate",
    "codebook_sizes",
    "segment_starts",
    "codec",
)


@dataclass(frozen=True)
class CodecIdentity:
    """Which model made some codes. Two models with equal hashes read and write the same codes, whatever their names.

    Args:
        name: what people call the model, such as a hub id.
        config_hash: SHA-256 of the configuration, in hexadecimal.
        weights_hash: SHA-256 of the weights, in hexadecimal.
    """

    name: str
    config_hash: str
    weights_hash: str

    def __post_init__(self) -> None:
        if not all(isinstance(field, str) for field in (self.name, self.config_hash, self.weights_hash)):
            raise CodesError(f"{vars(self)}: expected a name and two hashes, all strings")

    def same_model(self, other: "CodecIdentity") -> bool:
        """Tell whether configuration and weights are equal; names are not compared."""
        return (self.config_hash, self.weights_hash) == (other.config_hash, other.weights_hash)

    def __str__(self) -> str:
        return f"{self.name} (config {self.config_hash[:12]}, weights {self.weights_hash[:12]})"


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of one recording. `len(codes)` is T, the number of frames; `==` compares contents.

    Args:
        ids: shape (K, T), K codebooks by T frames, or (T,) which becomes (1, T); integers in numpy, torch or lists,
            each from 0 to its codebook's size - 1. Kept as int64.
        frame_rate: frames per second, in Hz.
        num_samples: the recording's true length at `sampling_rate`; what the frames hold beyond it, less than two of
            them, is padding. Less than a frame may be missing, as of a codec that gives no code of the rest.
        sampling_rate: in Hz, of the signal that the encoder read.
        source_sampling_rate: in Hz, of the recording as it came.
        codebook_sizes: the number of different codes in each of the K codebooks.
        codec: which model made them, or None where that is unknown.
        segment_starts: the frames at which segments start that were encoded one by one, and are to be decoded so;
            ascending, from 0. A recording that was encoded whole has the one.

    Raises:
        CodesError: where a field has the wrong type or range, or the fields do not fit together.
    """

    ids: np.ndarray
    frame_rate: float
    num_samples: int
    sampling_rate: int
    source_sampling_rate: int
    codebook_sizes: tuple[int, ...]
    codec: CodecIdentity | None = None
    segment_starts: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        sizes = _checked_sizes(self.codebook_sizes)
        checked: dict[str, Any] = {
            "ids": _checked_ids(self.ids, sizes),
            "frame_rate": _checked_frame_rate(self.frame_rate),
            "num_samples": _positive_integer("num_samples", self.num_samples, _MAX_LENGTH),
            "sampling_rate": _positive_integer("sampling_rate", self.sampling_rate, _MAX_RATE),
            "source_sampling_rate": _positive_integer("source_sampling_rate", self.source_sampling_rate, _MAX_RATE),
            "codebook_sizes": sizes,
        }
        checked["segment_starts"] = _checked_starts(self.segment_starts, checked["ids"].shape[1])
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.codec is not None and not isinstance(self.codec, CodecIdentity):
            raise CodesError("expected a CodecIdentity or None", argument="codec", value=self.codec)
        frame = self.sampling_rate / self.frame_rate  # samples
        most, fewest = math.ceil((len(self) + 1) * frame) - 1, max(1, math.floor((len(self) - 2) * frame) + 1)
        if not fewest <= self.num_samples <= most:
            raise CodesError(
                f"num_samples={self.num_samples} does not fit: {len(self)} frames at {self.frame_rate:g} Hz cover "
                f"{most} samples at {self.sampling_rate} Hz at most, and are needed for {fewest} at least"
            )

    def __repr__(self) -> str:
        made_by = "an unknown model" if self.codec is None else self.codec.name
        codebooks, frames = self.ids.shape
        return f"Codes({codebooks} x {frames} at {self.frame_rate:g} Hz, {self.duration:.2f} s, by {made_by})"

    def __len__(self) -> int:
        return int(self.ids.shape[1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codes):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and all(getattr(self, f) == getattr(other, f) for f in _FIELDS)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a picture of the first codes, and what they are."""
        sizes = sorted(set(self.codebook_sizes))
        facts = f"{len(self):,} frames, {self.frame_rate:g} a second; {self.bitrate / 1000:.3g} kbit/s; "
        facts += f"{len(self.ids)} x {' or '.join(f'{size:,}' for size in sizes)} codes"
        facts += f"; of {self.codec.name}" if self.codec is not None else ""
        return f"{picture(self.ids, self.codebook_sizes)}<br><small>{html.escape(facts)}</small>"

    @property
    def segments(self) -> list[np.ndarray]:
        """The ids of each segment, shape (K, frames)."""
        return np.split(self.ids, self.segment_starts[1:], axis=1)

    @property
    def duration(self) -> float:
        """The recording's true length, in seconds."""
        return self.num_samples / self.sampling_rate

    @property
    def bitrate(self) -> float:
        """The rate in bit/s, with every code spelled out: frame rate times the sum of log2 of the codebooks' sizes."""
        return bitrate(self.frame_rate, self.codebook_sizes)

    def at_bandwidth(self, bandwidth: float | None) -> "Codes":
        """Return the same recording at a lower bitrate: the first codebooks of a residual quantizer's stream.

        Args:
            bandwidth: in kbit/s, such as 2.0: what a whole number of these codebooks takes, counted from the first;
                None keeps all.

        Raises:
            CodesError: where no number of codebooks takes so much; it says which bandwidths there are.
        """
        sizes = self.codebook_sizes
        offered = [bitrate(self.frame_rate, sizes[:k]) / 1000 for k in range(1, len(sizes) + 1)]
        chosen = find_bandwidth(bandwidth, offered)
        if chosen is None:
            raise CodesError(
                f"these codes have {', '.join(f'{each:g}' for each in offered)} kbit/s"
                + (f", by taking the first 1 to {len(sizes)} codebooks" if len(sizes) > 1 else ", and one codebook"),
                argument="bandwidth",
                value=bandwidth,
            )
        k = offered.index(chosen) + 1
        return replace(self, ids=self.ids[:k], codebook_sizes=sizes[:k])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file under any suffix, whole or not at all; a file that is there is replaced.

        The ids take the smallest unsigned type that holds the largest codebook: 2 bytes a code for 65,536 codes.

        Raises:
            CodesError: where the file cannot be written.
        """
        path = Path(path)
        try:
            with written_whole(path) as part:
                part.write_bytes(self.to_bytes())
        except OSError as error:
            raise CodesError(f"cannot be written: {first_line(error)}", subject=path) from error

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        whole = len(self.segment_starts) == 1
        left_out = {"codec"} | ({"segment_starts"} if whole else set())
        metadata = {name: json.dumps(getattr(self, name)) for name in _FIELDS if name not in left_out}
        if self.codec is not None:
            metadata["codec"] = json.dumps(vars(self.codec))
        metadata |= {"format": FORMAT, "format_version": str(1 if whole else FORMAT_VERSION)}
        stored = np.ascontiguousarray(self.ids, dtype=np.min_scalar_type(max(self.codebook_sizes) - 1))
        return _in_fixed_order(save({"ids": stored}, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Codes":
        """Read what `save` wrote, and check all of it.

        Raises:
            CodesError: where there is no such file, it is not a file of codes, is damaged or cut short, was written by
                a newer version, or its contents do not fit together.
        """
        path = Path(path)
        with about(path):
            return cls._of_stored(*_read_safetensors(path))

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Codes":
        """Read what `to_bytes` gave, as `load` reads a file.

        Raises:
            CodesError: as `load`.
        """
        return cls._of_stored(*_read_bytes(stored))

    @classmethod
    def _of_stored(cls, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> "Codes":
        _check_format(metadata, tensors)
        try:
            fields = {name: json.loads(metadata[name]) for name in _FIELDS if name in metadata}
            if "codec" in fields:
                fields["codec"] = CodecIdentity(**fields["codec"])
            return cls(ids=tensors["ids"], **fields)
        except CodesError as error:
            raise CodesError(f"is damaged: {error}") from None
        except (ValueError, TypeError, RecursionError) as error:  # numbers of too many digits, lists within lists
            raise CodesError(f"is damaged: its metadata is incomplete or malformed ({error})") from None


def bitrate(frame_rate: float, codebook_sizes: Sequence[int]) -> float:
    """Return the bit/s of codes, each spelled out: frame rate in Hz times the sum of log2 of the codebooks' sizes."""
    return frame_rate * sum(math.log2(size) for size in codebook_sizes)


def _in_fixed_order(file: bytes) -> bytes:
    """Sort the header of a safetensors file, which comes in any order, so that equal codes are equal files."""
    begin = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:begin]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors stay aligned
    return len(header).to_bytes(8, "little") + header + file[begin:]


def _read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    head = b""
    try:
        if path.is_dir():
            raise CodesError("is a folder", subject=path, remedy="give a file of codes in it")
        with path.open("rb") as file:
            head = file.read(9)
        with safe_open(path, framework="numpy") as stored:
            # Only a file of codes is read: a foreign one may be a checkpoint of gigabytes.
            names = set(stored.keys())
            tensors = {"ids": stored.get_tensor("ids")} if names == {"ids"} else dict.fromkeys(names, np.empty(0))
            return stored.metadata() or {}, tensors
    except FileNotFoundError:
        raise CodesError("no such file", subject=path) from None
    except OSError as error:
        raise CodesError(f"cannot be read: {first_line(error)}", subject=path) from error
    except (SafetensorError, TypeError, ValueError, AttributeError) as error:
        # Eight bytes of length, then a JSON object: what starts so was safetensors once.
        if head[8:] == b"{" or len(head) < 9:
            raise CodesError(f"is damaged or cut short ({error})", subject=path) from None
        raise CodesError(f"is not a file of codes, nor safetensors at all ({error})", subject=path) from None


def _read_bytes(stored: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    try:
        tensors = load(stored)
        header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
        return header.get("__metadata__", {}), tensors
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise CodesError(f"is no file of codes, or damaged or cut short ({error})") from None


def _check_format(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> None:
    if metadata.get("format") != FORMAT:
        raise CodesError(
            "is a safetensors file, but not of codes (its metadata says format "
            f"{metadata.get('format')!r}, expected {FORMAT!r})",
            remedy="give a file that Codes.save or `xcodec encode` wrote",
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or len(version) > 9 or int(version) < 1:
        raise CodesError(f"is damaged: format_version {version[:40]!r} is not a version number")
    if int(version) > FORMAT_VERSION:
        raise CodesError(
            f"has format version {version}, this xcodec reads up to {FORMAT_VERSION}",
            remedy="update it: pip install --upgrade xcodec",
        )
    if set(tensors) != {"ids"}:
        raise CodesError(f"is damaged: it holds the tensors {sorted(tensors)}, expected only 'ids'")


def _checked_frame_rate(value: Any) -> float:
    low, high = _FRAME_RATES
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and low <= value <= high
    ):
        return float(value)
    raise CodesError(
        f"expected a number of Hz from {low:g} to {high:g}, such as 50.0", argument="frame_rate", value=value
    )


def _positive_integer(name: str, value: Any, most: int) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 < value <= most:
        return int(value)
    raise CodesError(f"expected a whole number above 0, and {most} at most", argument=name, value=value)


def _checked_starts(value: Any, num_frames: int) -> tuple[int, ...]:
    starts = tuple(value) if hasattr(value, "__iter__") and not isinstance(value, str) else ()
    if starts and all(isinstance(start, (int, np.integer)) and not isinstance(start, bool) for start in starts):
        ascend = all(before < after for before, after in zip(starts, (*starts[1:], num_frames), strict=True))
        if starts[0] == 0 and ascend:
            return tuple(int(start) for start in starts)
    raise CodesError(
        f"expected ascending frame numbers from 0 to at most {num_frames - 1}",
        argument="segment_starts",
        value=value,
    )


def _checked_sizes(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise CodesError(
            "expected one whole number per codebook, such as (65536,)", argument="codebook_sizes", value=sizes
        )
    checked = tuple(_positive_integer("codebook_sizes", size, _MAX_CODEBOOK) for size in sizes)
    if not checked:
        raise CodesError("codebook_sizes is empty: expected one whole number per codebook, such as (65536,)")
    return checked


def _checked_ids(given: Any, sizes: tuple[int, ...]) -> np.ndarray:
    if hasattr(given, "detach"):  # a torch tensor, on whatever device
        given = given.detach().cpu()
    try:
        ids = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise CodesError(f"ids are not an array of shape (codebooks, frames): {error}") from None
    if ids.ndim == 1:
        ids = ids[None]
    if ids.ndim != 2 or ids.size == 0:
        raise CodesError(f"ids of shape {ids.shape}: expected (codebooks, frames), at least one of each")
    if ids.dtype.kind not in "iu":
        raise CodesError(f"ids of type {ids.dtype}: expected integers")
    if len(ids) != len(sizes):
        raise CodesError(
            f"ids of {len(ids)} codebooks, but {len(sizes)} codebook_sizes={sizes}", remedy="give one size each"
        )
    for k, (row, size) in enumerate(zip(ids, sizes, strict=True)):
        low, high = int(row.min()), int(row.max())
        if low < 0 or high >= size:
            raise CodesError(f"ids of codebook {k} go from {low} to {high}: expected 0 to {size - 1}")
    kept = ids.astype(np.int64)  # a copy, so that nothing that the caller does later changes it
    kept.flags.writeable = False
    return kept
