"""Codes in the bodies of requests and answers: JSON, npy and safetensors."""

import io
import json
from typing import Any

import numpy as np

from xcodec.codec import Codec
from xcodec.codes import CodecIdentity, Codes
from xcodec.errors import CodesError
from xcodec.serving.faults import Fault

__all__ = ["MEDIA_TYPES", "codes_as", "codes_format", "codes_from", "integers"]

MEDIA_TYPES = {
    "json": "application/json",
    "npy": "application/octet-stream",
    "safetensors": "application/octet-stream",
}
NUMPY = b"\x93NUMPY"
FIELDS = ("frame_rate", "num_samples", "sampling_rate", "source_sampling_rate", "codebook_sizes", "segment_starts")


def codes_as(codes: Codes, form: str) -> bytes:
    """Write codes.

    Args:
        codes: of a recording.
        form: one of `MEDIA_TYPES`; npy has the ids alone.
    """
    if form == "json":
        told: dict[str, Any] = {"object": "codec.codes", **{name: getattr(codes, name) for name in FIELDS}}
        told |= {"codec": None if codes.codec is None else vars(codes.codec), "codes": codes.ids.tolist()}
        return json.dumps(told).encode()
    if form == "npy":
        file = io.BytesIO()
        np.save(file, codes.ids.astype(np.min_scalar_type(max(codes.codebook_sizes) - 1)), allow_pickle=False)
        return file.getvalue()
    return codes.to_bytes()


def codes_format(name: str) -> str:
    """Check the name of a form of codes.

    Raises:
        Fault: where there is none of that name.
    """
    if name not in MEDIA_TYPES:
        raise Fault.not_one_of(MEDIA_TYPES, "response_format", name)
    return name


def codes_from(body: bytes, codec: Codec) -> Codes:
    """Read what `codes_as` writes, or bare ids as JSON: [1, 2, 3], or a list for each codebook.

    Raises:
        CodesError: where it is none of these, or not whole.
    """
    if body.startswith(NUMPY):
        return codec.checked_codes(array_from(body), check_identity=True)
    if body[:1] in b"[{ \t\r\n":
        return codes_from_json(json_from(body), codec)
    return Codes.from_bytes(body)


def codes_from_json(told: Any, codec: Codec) -> Codes:
    """Read codes as `codes_as` lays them out in JSON, or bare ids.

    Raises:
        CodesError: where it is neither.
    """
    ids = integers(told.get("codes") if isinstance(told, dict) else told)
    if not isinstance(told, dict) or not told.keys() & set(FIELDS):
        return codec.checked_codes(ids, check_identity=True)
    fields = {name: told[name] for name in FIELDS if name in told}
    identity = told.get("codec")
    try:
        return Codes(ids=ids, codec=None if identity is None else CodecIdentity(**identity), **fields)
    except TypeError as error:
        raise CodesError(f"the codes are incomplete or malformed: {error}") from None


def integers(value: Any) -> np.ndarray:
    """Give a list of whole numbers, or a list of such lists, as an array.

    Raises:
        CodesError: for anything else.
    """
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        array = np.array(None)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise CodesError('expected "codes": whole numbers, a list of them or one for each codebook, all equally long')
    return array


def json_from(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        CodesError: where it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CodesError(f"is not JSON: {error}") from None


def array_from(body: bytes) -> np.ndarray:
    """Read an npy file, without executing anything, and without room for more than it holds.

    Raises:
        CodesError: where it is damaged, or holds no integers.
    """
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.kind not in "iu" or len(shape) not in (1, 2):
            raise CodesError(f"holds {dtype} of shape {shape}; expected integers (frames,) or (codebooks, frames)")
        if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(body) - file.tell():
            raise CodesError("is damaged or cut short: it does not hold as many numbers as it says")
        file.seek(0)
        array: np.ndarray = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        if isinstance(error, CodesError):
            raise
        raise CodesError(f"is damaged: {error}") from None
    return array
