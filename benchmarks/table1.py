"""The published table of X-Codec2 (Ye et al., 2025, table 1), measured anew: a model on LibriSpeech's test-clean.

    python benchmarks/table1.py LIBRISPEECH/test-clean --model HKUSTAudio/xcodec2-hf \
        --asr facebook/hubert-large-ls960-ft --speaker microsoft/wavlm-base-plus-sv --utmos utmos.jit --json table1.json

Takes any folder of LibriSpeech's layout: SPEAKER/CHAPTER/*.flac with SPEAKER-CHAPTER.trans.txt beside them. What is
not given is not measured. The published similarity is by WavLM-large fine-tuned for speaker verification, which
transformers has not; another model's similarities are not comparable with it.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from xcodec import Codec, XcodecError
from xcodec.device import choose_device
from xcodec.evaluation.clips import clips_of
from xcodec.evaluation.evaluation import Evaluation, SystemResult, evaluate
from xcodec.evaluation.record import record
from xcodec.evaluation.selection import NO_RECOGNIZER, select_metrics
from xcodec.evaluation.systems import Model, Reference
from xcodec.evaluation.transcripts import Transcripts
from xcodec.files import written_whole

COLUMNS = ("wer", "stoi", "pesq_wb", "pesq_nb", "speaker_similarity", "utmos")
LABELS = ("WER", "STOI", "PESQ-WB", "PESQ-NB", "SIM", "UTMOS")
PUBLISHED = {  # 2,620 utterances, WER by HuBERT-large
    "X-Codec2 @ 50": ("2.47", ".92", "2.43", "3.04", ".82", "4.13"),
    "X-Codec @ 50": ("3.42", ".83", "1.84", "2.38", ".52", "4.05"),
    "X-Codec @ 100": ("2.49", ".86", "2.33", "2.88", ".72", "4.21"),
    "Mimi @ 50": ("4.89", ".85", "1.64", "2.09", ".50", "3.03"),
    "Mimi @ 100": ("2.96", ".91", "2.25", "2.80", ".73", "3.56"),
    "DAC @ 50": ("74.55", ".62", "1.06", "1.20", ".08", "1.25"),
    "DAC @ 600": ("2.00", ".95", "4.01", "4.15", ".95", "4.00"),
    "EnCodec @ 600": ("2.15", ".94", "2.77", "3.18", ".89", "3.09"),
    "ground truth": ("1.96", "", "", "", "", "4.09"),
}
DIGITS = (2, 3, 2, 2, 2, 2)


def measured(arguments: argparse.Namespace) -> tuple[Evaluation, Codec]:
    files = sorted(arguments.librispeech.rglob("*.flac"))
    clips = clips_of([(path.relative_to(arguments.librispeech), path) for path in files], Transcripts())
    untold = [clip.name for clip in clips if clip.transcript is None]
    if not clips or untold:
        what = f"no transcript of {untold[0]} and {len(untold) - 1} others" if untold else "no .flac files"
        raise SystemExit(
            f"{arguments.librispeech}: {what}; expected LibriSpeech's layout, SPEAKER/CHAPTER/SPEAKER-CHAPTER-*.flac "
            "with SPEAKER-CHAPTER.trans.txt"
        )
    device = choose_device(arguments.device)
    metrics, missing = select_metrics(
        transcribed=True,
        recognizers=[arguments.asr or NO_RECOGNIZER],
        speaker=arguments.speaker,
        utmos=arguments.utmos,
        device=device,
    )
    metrics = [metric for metric in metrics if any(scale.key in COLUMNS for scale in metric.scales)]
    codec = Codec.from_pretrained(arguments.model, device=device)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Measured", total=len(clips))
        model = Model(codec, arguments.model or "mini", arguments.bandwidth)
        return evaluate(clips, [model], metrics, missing, on_progress=lambda clips: bar.advance(task, clips)), codec


def cells(system: SystemResult) -> list[str]:
    means = [system.mean(key) for key in COLUMNS]
    return [f"{mean.value:.{digits}f}" if mean else "" for mean, digits in zip(means, DIGITS, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("librispeech", type=Path)
    parser.add_argument("--model", help="a checkpoint folder or a hub id; without it the built-in mini")
    parser.add_argument("--bandwidth", type=float, help="in kbit/s, for X-Codec")
    parser.add_argument("--asr", help="a transformers id or folder, or pocketsphinx")
    parser.add_argument("--speaker", help="a transformers id or folder with x-vectors")
    parser.add_argument("--utmos", type=Path, help="a TorchScript file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    try:
        result, codec = measured(arguments)
    except XcodecError as error:
        raise SystemExit(str(error)) from None

    print(f"| codec @ tokens/s | {' | '.join(LABELS)} |\n|{'---|' * (1 + len(LABELS))}")
    for name, row in PUBLISHED.items():
        print(f"| {name}, published | {' | '.join(row)} |")
    for system in result.systems:
        books = len(system.codebooks)
        name = "ground truth" if system.name == Reference.name else f"{system.name} @ {books * codec.frame_rate:g}"
        print(f"| **{name}, measured** | {' | '.join(cells(system))} |")
    print(f"\nMeasured on {len(result.clips):,} clips, {sum(result.clips.values()) / 3600:.2f} h.")
    for missing in result.missing:
        if missing.what in LABELS:
            print(f"{missing.what} was not measured: {missing.how_to_get}")
    if arguments.json:
        with written_whole(arguments.json) as part:
            part.write_text(json.dumps(record(result), indent=2) + "\n", encoding="utf-8")
    for failure in result.failures:
        print(f"error: {failure}", file=sys.stderr)
    if result.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
