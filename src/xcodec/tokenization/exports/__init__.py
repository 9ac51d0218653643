"""A finished output in the forms that other programs read."""

from collections.abc import Callable
from pathlib import Path

from xcodec.tokenization.exports.arrays import export_arrays
from xcodec.tokenization.exports.hub import export_hub
from xcodec.tokenization.exports.json_lines import export_json_lines
from xcodec.tokenization.exports.lhotse import export_lhotse
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.exports.webdataset import export_webdataset
from xcodec.tokenization.tokens import Tokens

__all__ = ["EXPORTS", "ExportReport"]

EXPORTS: dict[str, Callable[[Tokens, Path], ExportReport]] = {
    "npy": export_arrays,
    "webdataset": export_webdataset,
    "jsonl": export_json_lines,
    "hf": export_hub,
    "lhotse": export_lhotse,
}
"""Each takes a finished output and a folder, and says what it wrote."""
