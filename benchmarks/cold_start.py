"""Cold start: seconds from `python -c` to an import, to a loaded model and to the first codes, each in a new process.

    python benchmarks/cold_start.py [--model FOLDER_OR_ID] [--rounds 5] [--json FILE]

Without a model the built-in one is loaded. transformers loads the same folder (its own feature extractor needs
torchaudio, so it reads random features).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import xcodec

RECORDING = Path(__file__).parent.parent / "tests" / "audio" / "austen-0880.wav"
MINI = Path(xcodec.__file__).parent / "mini"


def programs(model: str | None) -> dict[str, str]:
    theirs = (
        "import torch; from transformers import Xcodec2Model\n"
        f"model = Xcodec2Model.from_pretrained({str(model or MINI)!r}, dtype=torch.float32)\n"
    )
    encode = "with torch.inference_mode(): model.encode(torch.randn(1, 1, 48000), torch.randn(1, 150, 160))"
    return {
        "import torch": "import torch",
        "import xcodec": "import xcodec",
        "from xcodec import Codec": "from xcodec import Codec",
        "from transformers import Xcodec2Model": "from transformers import Xcodec2Model",
        "Codec.from_pretrained": f"from xcodec import Codec; Codec.from_pretrained({model!r})",
        "the same, pack=False": f"from xcodec import Codec; Codec.from_pretrained({model!r}, pack=False)",
        "transformers' from_pretrained": theirs,
        "first codes": f"from xcodec import Codec; Codec.from_pretrained({model!r}).encode({str(RECORDING)!r})",
        "the same, pack=False, encoder_only=True": (
            f"from xcodec import Codec; codec = Codec.from_pretrained({model!r}, pack=False, encoder_only=True)\n"
            f"codec.encode({str(RECORDING)!r})"
        ),
        "transformers' first codes": theirs + encode,
    }


def seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in programs(arguments.model)}
    for _ in range(arguments.rounds):
        for name, program in programs(arguments.model).items():
            times[name].append(seconds(program))
    versions = {name: version(name) for name in ("xcodec", "torch", "transformers")}
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}; {versions}; {arguments.rounds} rounds\n")
    print("| | seconds | over import torch |\n|---|---|---|")
    for name, each in times.items():
        ratios = sorted(found / base for found, base in zip(each, times["import torch"], strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {name} | {statistics.median(each):.2f} | {spread} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "seconds": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
