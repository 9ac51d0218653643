"""Recordings together with their codes, as `xcodec tokenize` stores them: what a decoder alone is trained on."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xcodec.audio import Audio
from xcodec.codes import CodecIdentity
from xcodec.errors import InputError, first_line
from xcodec.location import as_path
from xcodec.tokenization.headers import read_header
from xcodec.training.data.dataset import ClipExcerpt

__all__ = ["StoredCodes"]

COLUMNS = ("id", "codes", "seconds")
CODES_PER_SECOND = 50  # of every X-Codec2


class StoredCodes:
    """Parquet files of codes, and the recordings they were made of.

    Args:
        folder: of the Parquet files, or the output of `xcodec tokenize` that they are in.
        audio: folder of the recordings: the `id` of a row is the path of its recording in it.

    Attributes:
        makers: which models made the codes, as far as the files tell.

    Raises:
        InputError: where a file is no table of codes of one codebook at 50 Hz, or a recording is missing.
    """

    def __init__(self, folder: Path, audio: Path) -> None:
        codes = folder / "codes" if (folder / "plan.json").is_file() else folder  # beside them lies what was planned
        paths = sorted(codes.rglob("*.parquet"))
        table = pa.concat_tables([_table(path) for path in paths])
        self.makers = {maker for path in paths if (maker := _maker(path)) is not None}
        self._paths = [Path(as_path(str(audio / name))) for name in table["id"].to_pylist()]
        absent = [path for path in self._paths if not path.is_file()]
        if absent:
            raise InputError(
                f"{len(absent)} of the {len(self._paths)} recordings whose codes {folder} holds are missing, as "
                f"{absent[0]}; data.audio names the folder that their ids are relative to"
            )
        self._codes: pa.ChunkedArray = table["codes"]
        self.seconds = table["seconds"].to_numpy().astype(np.float64)
        frames = np.array([len(codes) for codes in self._codes])
        if len(frames) and np.abs(frames - self.seconds * CODES_PER_SECOND).max() > 2:
            raise InputError(f"{folder} holds codes that are not {CODES_PER_SECOND} a second, as X-Codec2's are")
        self.sources = [folder.name]
        self.source_ids = np.zeros(len(frames), dtype=np.int64)

    def excerpt(self, clip: int, start: float, seconds: float) -> ClipExcerpt:
        """Read a piece of a recording from a whole code on, and its codes; it is shorter where the recording ends."""
        first = round(start * CODES_PER_SECOND)
        codes = np.asarray(self._codes[clip].values)[first : first + round(seconds * CODES_PER_SECOND)]
        begin = first / CODES_PER_SECOND
        duration = max(min(seconds, float(self.seconds[clip]) - begin), 1e-3)
        audio = Audio.read(self._paths[clip], start=begin, duration=duration).mono()
        return ClipExcerpt(audio.samples[0], audio.sampling_rate, codes=codes.astype(np.int64))


def _maker(path: Path) -> CodecIdentity | None:
    """Tell which model made the codes of a file; None where it does not say."""
    try:
        codec = read_header(path).codec
        return CodecIdentity(codec["name"], codec["config_hash"], codec["weights_hash"])
    except (InputError, KeyError):
        return None


def _table(path: Path) -> pa.Table:
    """Read the columns that are needed of a file."""
    try:
        table = pq.read_table(path, columns=list(COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is no table of codes with the columns {', '.join(COLUMNS)}: {first_line(error)}"
        ) from None
    codes = table.schema.field("codes").type
    if (
        set(table.column_names) != set(COLUMNS)
        or not pa.types.is_list(codes)
        or not pa.types.is_integer(codes.value_type)
    ):
        raise InputError(
            f"{path} is no table of codes of one codebook: expected the columns {', '.join(COLUMNS)}, codes being "
            f"lists of whole numbers; got {table.schema.field('codes').type} and {', '.join(table.column_names)}"
        )
    return table
