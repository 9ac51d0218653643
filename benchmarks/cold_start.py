"""Cold start: seconds from `python -c` to an import, to a loaded model and to the first codes, each in a new process.

    python benchmarks/cold_start.py [--model FOLDER_OR_ID] [--rounds 5] [--only NAME ...] [--over NAME] [--json FILE]

Seconds are a clock's and the processor's; ratios are of the latter, to `import torch` in the same round or what
`--over` names. Without a model the built-in one is loaded, and transformers, which does not know its kind, loads an
X-Codec2 of the same size with random weights; else it loads the same folder (its feature extractor needs torchaudio, so
it reads random features). Where other work shares the processors, OMP_NUM_THREADS=1: threads that
wait for each other take their time too.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from released import save_small_xcodec2

import xcodec

RECORDING = Path(__file__).parent.parent / "tests" / "audio" / "austen-0880.wav"


def command(*words: object) -> str:
    """The program as it is called in a shell."""
    return f"import sys; sys.argv = {['xcodec', *map(str, words)]}; from xcodec.cli import main; main()"


def programs(model: str | None, folder: Path) -> dict[str, str]:
    """What is run, by name; `folder` holds a file of codes, and a small X-Codec2 where no model is given."""
    theirs = (
        "import torch; from transformers import Xcodec2Model\n"
        f"model = Xcodec2Model.from_pretrained({str(model or folder / 'small')!r}, dtype=torch.float32)\n"
    )
    encode_command = command(
        "encode", RECORDING, "-o", folder / "b.codes", "--overwrite", *(("--model", model) if model else ())
    )
    encode = "with torch.inference_mode(): model.encode(torch.randn(1, 1, 48000), torch.randn(1, 150, 160))"
    return {
        "import torch": "import torch",
        "import xcodec": "import xcodec",
        "xcodec --help": command("--help"),
        "xcodec encode --help": command("encode", "--help"),
        "xcodec info a.codes": command("info", folder / "a.codes"),
        "xcodec encode a.wav": encode_command,
        "the same, nothing known of the model": f"import os; os.environ['XCODEC_CACHE'] = ''; {encode_command}",
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


def seconds(program: str) -> tuple[float, float]:
    """By a clock, and of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    words = [sys.executable, "-W", "ignore", "-c", program]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--over", default="import torch", metavar="NAME")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XCODEC_CACHE"] = temporary  # where the first program leaves the model's hash for the next
        xcodec.Codes([[1, 2, 3]], 50.0, 900, 16000, 16000, (65536,)).save(Path(temporary) / "a.codes")
        if arguments.model is None:
            save_small_xcodec2(Path(temporary) / "small")
        chosen = programs(arguments.model, Path(temporary))
        if arguments.only:
            chosen = {name: chosen[name] for name in dict.fromkeys((arguments.over, *arguments.only))}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
        for _ in range(arguments.rounds):
            for name, program in chosen.items():
                times[name].append(seconds(program))
    versions = {name: version(name) for name in ("xcodec", "torch", "transformers")}
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}; {versions}; {arguments.rounds} rounds\n")
    print(f"| | seconds | of the processor | over {arguments.over} |\n|---|---|---|---|")
    for name, each in times.items():
        ratios = sorted(found[1] / base[1] for found, base in zip(each, times[arguments.over], strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        wall, processor = (statistics.median(measures) for measures in zip(*each, strict=True))
        print(f"| {name} | {wall:.2f} | {processor:.2f} | {spread} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"versions": versions, "seconds": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
