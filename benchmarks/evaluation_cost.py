"""What an evaluation costs: processor seconds of each metric and of the codec, on one thread after the other.

    python benchmarks/evaluation_cost.py RECORDING_OR_FOLDER ... [--model mini]

All that is installed measures, in this process. The first clip bears what a library prepares when it is first used.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xcodec import Codec
from xcodec.audio import media_files
from xcodec.evaluation.clips import clips_of
from xcodec.evaluation.evaluation import evaluate
from xcodec.evaluation.selection import select_metrics
from xcodec.evaluation.systems import Model
from xcodec.evaluation.transcripts import Transcripts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--model", help="a checkpoint folder or a hub id; without it the built-in mini")
    arguments = parser.parse_args()
    started = time.process_time()
    metrics, missing = select_metrics(transcribed=True, device=torch.device("cpu"))
    model = Model(Codec.from_pretrained(arguments.model), arguments.model or "mini")
    spent = defaultdict(float, {"loading": time.process_time() - started})

    def watch(owner: Any, method: str, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        def watched(*given: Any) -> Any:
            before = time.process_time()
            try:
                return original(*given)
            finally:
                spent[name] += time.process_time() - before

        setattr(owner, method, watched)

    for metric in metrics:
        watch(metric, "measure", ", ".join(scale.label for scale in metric.scales))
    watch(model, "reconstruct", "encoding and decoding")
    paths = [path for each in arguments.recordings for path in (sorted(media_files(each)) if each.is_dir() else [each])]
    result = evaluate(clips_of([(Path(path.name), path) for path in paths], Transcripts()), [model], metrics)
    if not result.clips:
        raise SystemExit(f"none of these could be measured: {', '.join(map(str, paths or arguments.recordings))}")
    seconds = sum(result.clips.values())
    print("| | CPU s | for a second of recording |\n|---|---|---|")
    for name, cpu in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {cpu:.1f} | {cpu / seconds:.2f} |")
    print(f"\n{len(result.clips)} clips, {seconds:.1f} s. Not measured: {', '.join(each.what for each in missing)}.")


if __name__ == "__main__":
    main()
