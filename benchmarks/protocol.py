"""What protocols of others have in common: clips of their layout through a codec and the metrics that they report."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from xcodec import Codec, XcodecError
from xcodec.device import choose_device
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.evaluation import Evaluation, SystemResult, evaluate
from xcodec.evaluation.record import record
from xcodec.evaluation.selection import NO_RECOGNIZER, select_metrics
from xcodec.evaluation.systems import Model, Reference
from xcodec.files import written_whole

__all__ = ["add_options", "measured", "name_of", "report"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what all protocols are asked for."""
    parser.add_argument("--model", help="a checkpoint folder or a hub id; without it the built-in mini")
    parser.add_argument("--bandwidth", type=float, help="in kbit/s, for X-Codec")
    parser.add_argument("--asr", help="a transformers id or folder, faster-whisper:FOLDER, or pocketsphinx")
    parser.add_argument("--speaker", help="a transformers id or folder with x-vectors")
    parser.add_argument("--utmos", type=Path, help="a TorchScript file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes that measure beside the codec")
    parser.add_argument("--json", type=Path)


def measured(
    clips: Sequence[Clip], columns: Sequence[str], arguments: argparse.Namespace, language: str = "en"
) -> tuple[Evaluation, Codec]:
    """Take clips through the model, and through the metrics of the columns that can be taken."""
    device = choose_device(arguments.device)
    try:
        metrics, missing = select_metrics(
            transcribed=True,
            recognizers=[arguments.asr or NO_RECOGNIZER],
            language=language,
            speaker=arguments.speaker,
            utmos=arguments.utmos,
            device=device,
        )
        metrics = [metric for metric in metrics if any(scale.key in columns for scale in metric.scales)]
        codec = Codec.from_pretrained(arguments.model, device=device)
        model = Model(codec, arguments.model or "mini", arguments.bandwidth)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("Measured", total=len(clips))

            def advance(more: float) -> None:
                bar.advance(task, more)

            return evaluate(clips, [model], metrics, missing, on_progress=advance, workers=arguments.workers), codec
    except XcodecError as error:
        raise SystemExit(str(error)) from None


def name_of(system: SystemResult, codec: Codec) -> str:
    """Name a row of the table as published ones are: by tokens a second."""
    if system.name == Reference.name:
        return "ground truth"
    return f"{system.name} @ {len(system.codebooks) * codec.frame_rate:g}"


def report(result: Evaluation, labels: Sequence[str], file: Path | None) -> None:
    """Say below a table what it is of and what it lacks, write the JSON, and fail where anything did."""
    print(f"\nMeasured on {len(result.clips):,} clips, {sum(result.clips.values()) / 3600:.2f} h.")
    for missing in result.missing:
        if missing.what in labels:
            print(f"{missing.what} was not measured: {missing.how_to_get}")
    if file:
        with written_whole(file) as part:
            part.write_text(json.dumps(record(result), indent=2) + "\n", encoding="utf-8")
    for failure in result.failures:
        print(f"error: {failure}", file=sys.stderr)
    if result.failures:
        raise SystemExit(1)
