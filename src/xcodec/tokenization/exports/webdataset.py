"""WebDataset tars, one for each shard."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np

from xcodec.files import written_whole
from xcodec.tokenization.tokens import Tokens

__all__ = ["export_webdataset"]


def export_webdataset(tokens: Tokens, folder: Path) -> int:
    """Write codes-SHARD.tar with KEY.npy (uint16) and KEY.json (id, text and what else is carried).

    A key is SHARD-ROW: an id may hold points, at which WebDataset would cut it.
    """
    tokens.check_finished()
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for number in tokens.plan.done():
        with written_whole(folder / f"codes-{number:07}.tar") as part, tarfile.open(part, "w") as tar:
            for i, row in enumerate(tokens.shard(number)):
                array = io.BytesIO()
                np.save(array, row.codes[0] if len(row.codes) == 1 else row.codes)
                described = json.dumps(row.fields, ensure_ascii=False, default=str).encode()
                for suffix, contents in (("npy", array.getvalue()), ("json", described)):
                    member = tarfile.TarInfo(f"{number:07}-{i:05}.{suffix}")
                    member.size = len(contents)
                    tar.addfile(member, io.BytesIO(contents))
                count += 1
    return count
