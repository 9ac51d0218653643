"""SEED-TTS-eval as codecs are measured on it: its recordings encoded and decoded, and what WER and SIM say of that.

    python benchmarks/seed_tts_eval.py seedtts_testset/en/meta.lst --model HKUSTAudio/xcodec2-hf \
        --asr faster-whisper:whisper-large-v3/ --speaker microsoft/wavlm-base-plus-sv --json seed.json
    python benchmarks/seed_tts_eval.py seedtts_testset/zh/meta.lst --language zh --asr MODEL ...

Reads lines "name|text of the prompt|file of the prompt|text to say|file that says it", the last of which may lack, and
paths from the list's folder: every recording that is named is measured once, with its text. The published figures are
by Whisper-large-v3 in English and Paraformer in Chinese, whose character errors are counted, and by WavLM-large
fine-tuned for speaker verification. Paraformer and that WavLM are not in transformers: figures by others do not compare
with published ones.
"""

import argparse
from pathlib import Path

from protocol import add_options, measured, name_of, report

from xcodec.evaluation.clips import Clip
from xcodec.evaluation.words import WITHOUT_SPACES

COLUMNS = ("speaker_similarity", "stoi", "pesq_wb", "utmos")
LABELS = ("SIM", "STOI", "PESQ-WB", "UTMOS")
DIGITS = (3, 3, 2, 2)


def clips_of(meta: Path) -> list[Clip]:
    """The recordings that a list names, in its order."""
    clips: dict[str, Clip] = {}
    for number, line in enumerate(meta.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.strip().split("|")
        if len(fields) not in (4, 5):
            raise SystemExit(f"{meta}, line {number}: expected 4 or 5 fields with | between; found {len(fields)}")
        for text, file in ((fields[1], fields[2]), *([(fields[3], fields[4])] if len(fields) == 5 else [])):
            clips.setdefault(file, Clip(file, meta.parent / file, text))
    return list(clips.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meta", type=Path)
    parser.add_argument("--language", default="en", help="en, or zh, of which characters are counted")
    add_options(parser)
    arguments = parser.parse_args()
    rate = "CER" if arguments.language in WITHOUT_SPACES else "WER"
    columns, labels, digits = (rate.lower(), *COLUMNS), (rate, *LABELS), (2, *DIGITS)
    result, codec = measured(clips_of(arguments.meta), columns, arguments, arguments.language)
    print(f"| codec @ tokens/s | {' | '.join(labels)} |\n|{'---|' * (1 + len(labels))}")
    for system in result.systems:
        means = [system.mean(key) for key in columns]
        cells = [f"{mean.value:.{places}f}" if mean else "" for mean, places in zip(means, digits, strict=True)]
        print(f"| {name_of(system, codec)} | {' | '.join(cells)} |")
    report(result, labels, arguments.json)


if __name__ == "__main__":
    main()
