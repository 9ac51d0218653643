"""What cutting a recording costs: agreement of its codes with those of the whole, for several lengths of segments.

    python benchmarks/segments.py [RECORDING ...] [--model FOLDER_OR_ID] [--repeat 1] [--seconds 10 30 60] [--json FILE]

The recordings are laid end to end, by default the five in tests/audio; --repeat lays them so many times, each time at
another level. The codes of the whole are also decoded in segments, as `xcodec decode --segment-seconds` does: in which
share of the processor time of decoding them at once, and how far from it.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from xcodec import Audio, Codec
from xcodec.streaming import decode_in_segments

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
VERSIONS = {name: version(name) for name in ("xcodec", "torch")}
LEVELS = (1.0, 0.5, 0.8, 0.6, 0.9)


def laid_end_to_end(codec: Codec, paths: list[Path], repeat: int) -> Audio:
    clips = [Audio.read(path).mono().resample(codec.sampling_rate).samples[0] for path in paths]
    once = np.concatenate(clips)
    return Audio(np.concatenate([once * LEVELS[i % len(LEVELS)] for i in range(repeat)]), codec.sampling_rate)


def distance(signal: np.ndarray, error: np.ndarray) -> float:
    """In dB."""
    return 10 * float(np.log10(np.square(signal).mean() / max(np.square(error).mean(), 1e-20)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--model")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 30.0, 60.0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    codec = Codec.from_pretrained(arguments.model)
    audio = laid_end_to_end(codec, arguments.recordings, arguments.repeat)
    started = time.perf_counter()
    whole = codec.encode(audio)
    whole_seconds = time.perf_counter() - started
    worked = time.process_time()
    decoded = codec.decode(whole).samples[0]
    decode_whole_seconds = time.process_time() - worked

    rows = []
    for seconds in arguments.seconds:
        started = time.perf_counter()
        codes = codec.encode(audio, segment_seconds=seconds)
        elapsed = time.perf_counter() - started
        error = codec.decode(codes).samples[0] - decoded
        worked = time.process_time()
        stream_error = decode_in_segments(codec, whole, seconds).samples[0] - decoded
        worked = time.process_time() - worked
        rows.append(
            {
                "segment_seconds": seconds,
                "segments": len(codes.segment_starts),
                "equal_codes": float((codes.ids == whole.ids).mean()),
                "snr_db": distance(decoded, error),
                "decode_snr_db": distance(decoded, stream_error),
                "decode_time_over_whole": worked / decode_whole_seconds,
                "time_over_whole": elapsed / whole_seconds,
            }
        )
    print(f"{codec!r}\n{platform.machine()}, {platform.system()}, {VERSIONS}; {audio.duration:.1f} seconds\n")
    print(
        "| segments of | segments | codes equal to the whole's | decoded, over the difference to the whole's |", end=""
    )
    print(" the whole's codes, decoded in segments | processor time of it over at once |\n|---|---|---|---|---|---|")
    for row in rows:
        decoded_alike = "the same" if row["segments"] == 1 else f"{row['snr_db']:.1f} dB"
        print("| {segment_seconds:g} s | {segments} | {equal_codes:.1%} |".format(**row), decoded_alike, end=" ")
        print("| {decode_snr_db:.1f} dB | {decode_time_over_whole:.2f} |".format(**row))
    if arguments.json:
        record = {"model": str(codec.identity), "versions": VERSIONS, "seconds": audio.duration, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
