"""A tree of .npy files like the input's tree of recordings."""

from pathlib import Path

import numpy as np

from xcodec.errors import InputError
from xcodec.files import written_whole
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.headers import Failure
from xcodec.tokenization.tokens import Places, Tokens

__all__ = ["export_arrays"]


def export_arrays(tokens: Tokens, folder: Path) -> ExportReport:
    """Write ID.npy for each recording: uint16 of shape (T,), or (K, T) for several codebooks.

    Codes of a codec that was joined as NAME are in ID.NAME.npy. An id that is no name of a file below the folder is a
    failure of the report.
    """
    tokens.check_finished()
    report = ExportReport()
    own = Places(folder, ".npy")
    places = {name: own.beside(f".{name}.npy") if name else own for name in tokens.codecs}
    for row in tokens.rows(failures=report.failures):
        try:
            for name, codes in {"": row.codes, **row.joined}.items():
                path = places[name].of(row.id)
                path.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(path) as part, part.open("wb") as file:
                    np.save(file, codes[0] if len(codes) == 1 else codes)
        except (InputError, OSError) as error:
            report.failures.append(Failure.of(row.id, str(folder), "write", error))
        else:
            report.rows += 1
    return report
