"""The published table of X-Codec2 (Ye et al., 2025, table 1), measured anew: a model on LibriSpeech's test-clean.

    python benchmarks/table1.py LIBRISPEECH/test-clean --model HKUSTAudio/xcodec2-hf \
        --asr facebook/hubert-large-ls960-ft --speaker microsoft/wavlm-base-plus-sv --utmos utmos.jit --json table1.json

Takes any folder of LibriSpeech's layout: SPEAKER/CHAPTER/*.flac with SPEAKER-CHAPTER.trans.txt beside them. What is
not given is not measured. The published similarity is by WavLM-large fine-tuned for speaker verification, which
transformers has not; another model's similarities are not comparable with it.
"""

import argparse
from pathlib import Path

from protocol import add_options, measured, name_of, report

from xcodec.evaluation.clips import Clip, clips_of
from xcodec.evaluation.evaluation import SystemResult
from xcodec.evaluation.transcripts import Transcripts

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


def clips_in(folder: Path) -> list[Clip]:
    clips = clips_of([(path.relative_to(folder), path) for path in sorted(folder.rglob("*.flac"))], Transcripts())
    untold = [clip.name for clip in clips if clip.transcript is None]
    if not clips or untold:
        what = f"no transcript of {untold[0]} and {len(untold) - 1} others" if untold else "no .flac files"
        raise SystemExit(
            f"{folder}: {what}; expected LibriSpeech's layout, SPEAKER/CHAPTER/SPEAKER-CHAPTER-*.flac "
            "with SPEAKER-CHAPTER.trans.txt"
        )
    return clips


def cells(system: SystemResult) -> list[str]:
    means = [system.mean(key) for key in COLUMNS]
    return [f"{mean.value:.{digits}f}" if mean else "" for mean, digits in zip(means, DIGITS, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("librispeech", type=Path)
    add_options(parser)
    arguments = parser.parse_args()
    result, codec = measured(clips_in(arguments.librispeech), COLUMNS, arguments)
    print(f"| codec @ tokens/s | {' | '.join(LABELS)} |\n|{'---|' * (1 + len(LABELS))}")
    for name, row in PUBLISHED.items():
        print(f"| {name}, published | {' | '.join(row)} |")
    for system in result.systems:
        print(f"| **{name_of(system, codec)}, measured** | {' | '.join(cells(system))} |")
    report(result, LABELS, arguments.json)


if __name__ == "__main__":
    main()
