"""One file of JSON lines."""

import json
from pathlib import Path

from xcodec.files import written_whole
from xcodec.tokenization.exports.report import ExportReport
from xcodec.tokenization.tokens import Tokens

__all__ = ["export_json_lines"]


def export_json_lines(tokens: Tokens, folder: Path) -> ExportReport:
    """Write codes.jsonl: id, codes (a list, or K lists), frames, seconds, source_rate, and the carried columns.

    Codes of a codec that was joined as NAME are codes_NAME and frames_NAME.
    """
    tokens.check_finished()
    folder.mkdir(parents=True, exist_ok=True)
    report = ExportReport()
    with written_whole(folder / "codes.jsonl") as part, part.open("w", encoding="utf-8") as file:
        for row in tokens.rows(failures=report.failures):
            values: dict[str, object] = {}
            for name, codes in {"": row.codes, **row.joined}.items():
                mark = name and f"_{name}"
                values[f"codes{mark}"] = (codes[0] if len(codes) == 1 else codes).tolist()
                values[f"frames{mark}"] = codes.shape[1]
            file.write(json.dumps(row.fields | values, ensure_ascii=False, default=str) + "\n")
            report.rows += 1
    return report
