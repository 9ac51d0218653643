"""WebDataset tars, one for each shard."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.tokens import Tokens

__all__ = ["export_webdataset"]


def export_webdataset(tokens: Tokens, folder: Path) -> ExportReport:
    """Write codes-SHARD.tar with KEY.npy (uint16) and KEY.json (id, text and what else is carried).

    Codes of a codec that was joined as NAME are KEY.NAME.npy.

    A key is SHARD-ROW: an id may hold points, at which WebDataset would cut it. A shard whose codes cannot be read is a
    failure of the report, and has no tar.
    """
    tokens.check_finished()
    folder.mkdir(parents=True, exist_ok=True)
    report = ExportReport()
    for number in tokens.plan.done():
        try:
            report.rows += write_tar(folder / f"codes-{number:07}.tar", tokens, number)
        except InputError as error:
            report.failures.append(tokens.unreadable(number, error))
    return report


def write_tar(path: Path, tokens: Tokens, number: int) -> int:
    """Write the tar of one shard, and return how many recordings are in it."""
    count = 0
    with written_whole(path) as part, tarfile.open(part, "w") as tar:
        for row in tokens.shard(number):
            files = {
                f"{name}.npy" if name else "npy": of_array(ids) for name, ids in {"": row.codes, **row.joined}.items()
            }
            files["json"] = json.dumps(row.fields, ensure_ascii=False, default=str).encode()
            for suffix, contents in files.items():
                member = tarfile.TarInfo(f"{number:07}-{count:05}.{suffix}")
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
            count += 1
    return count


def of_array(codes: np.ndarray) -> bytes:
    """Codes of shape (K, T) as an .npy file of shape (T,), or (K, T) for several codebooks."""
    contents = io.BytesIO()
    np.save(contents, codes[0] if len(codes) == 1 else codes)
    return contents.getvalue()
