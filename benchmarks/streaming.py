"""What a finite window costs a stream, against decoding and encoding the whole, over a grid of windows.

    python benchmarks/streaming.py [RECORDING ...] [--model FOLDER_OR_ID] [--threads 1] [--json FILE]

Codes are pushed one at a time. Decoding: signal-to-noise ratio, distance of log-mel spectra, STOI and PESQ-WB of the
streamed audio, the decode of the whole being the reference; how many codes have to come before the first audio, the
time from the push that completes them to the audio; and the time a chunk takes over the time it lasts. Encoding: the
share of codes that are those of the whole. Without recordings it takes the five in tests/audio.
"""

import argparse
import itertools
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

try:
    from pesq import pesq
    from pystoi import stoi
except ImportError as error:
    raise SystemExit(f"{error}; install what it needs: pip install 'xcodec[eval]' (pesq needs a C compiler)") from None

from xcodec import Audio, Codec
from xcodec.modules.fbank import KaldiFbank
from xcodec.streaming import StreamDecoder, StreamEncoder

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
DECODING = [*itertools.product([25, 50, 100, 200], [2, 5, 10, 20], [10]), (100, 10, 1), (100, 10, 25), (100, 25, 25)]
ENCODING = [*itertools.product([50, 200, 500], [5, 10, 50], [10])]


def streamed(codec: Codec, ids: np.ndarray, window: tuple[int, int, int]) -> tuple[np.ndarray, float, list[float]]:
    """The audio, the seconds that the first piece took, and those of every piece."""
    context, lookahead, chunk = window
    decoder = StreamDecoder(codec, context=context, lookahead=lookahead, chunk=chunk)
    pieces, seconds = [], []
    for i in range(ids.shape[1]):
        start = time.perf_counter()
        piece = decoder.push(ids[:, i : i + 1])
        if piece is not None:
            pieces.append(piece.samples[0])
            seconds.append(time.perf_counter() - start)
    rest = decoder.flush()
    if rest is not None:
        pieces.append(rest.samples[0])
    return np.concatenate(pieces), seconds[0], seconds


def mel_distance(reference: np.ndarray, found: np.ndarray) -> float:
    """Mean distance of log-mel energies in dB."""
    fbank = KaldiFbank(16000, 80)
    a, b = (fbank(torch.from_numpy(each)[None] * 2**15) for each in (reference, found))
    return float((a - b).abs().mean() * 10 / np.log(10))


def decoding_row(
    codec: Codec, codes: list[np.ndarray], whole: list[np.ndarray], window: tuple[int, int, int]
) -> dict[str, Any]:
    runs = [streamed(codec, ids, window) for ids in codes]
    pairs = [(reference, audio) for reference, (audio, _, _) in zip(whole, runs, strict=True)]
    every = [seconds for _, _, each in runs for seconds in each]
    context, lookahead, chunk = window
    return {
        "context": context,
        "lookahead": lookahead,
        "chunk": chunk,
        "snr": float(np.mean([10 * np.log10(np.sum(r**2) / np.sum((r - a) ** 2)) for r, a in pairs])),
        "mel": float(np.mean([mel_distance(r, a) for r, a in pairs])),
        "stoi": float(np.mean([stoi(r, a, codec.sampling_rate) for r, a in pairs])),
        "pesq_wb": float(np.mean([pesq(codec.sampling_rate, r, a, "wb") for r, a in pairs])),
        "first_codes": lookahead + chunk,
        "first_ms": 1000 * float(np.median([first for _, first, _ in runs])),
        "load": float(np.median(every)) / (chunk / codec.frame_rate),
    }


def encoding_row(codec: Codec, recordings: list[Audio], window: tuple[int, int, int]) -> dict[str, Any]:
    context, lookahead, chunk = window
    equal = []
    for recording in recordings:
        encoder = StreamEncoder(codec, context=context, lookahead=lookahead, chunk=chunk)
        samples = recording.samples[0]
        given = [encoder.push(samples[i : i + 1600]) for i in range(0, len(samples), 1600)]
        found = np.concatenate([*given, encoder.flush()], 1)
        equal.append(found == np.asarray(codec.encode(recording).ids))
    return {
        "context": context,
        "lookahead": lookahead,
        "chunk": chunk,
        "equal": float(np.concatenate(equal, 1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codec = Codec.from_pretrained(arguments.model)
    recordings = [Audio.read(path).mono().resample(codec.sampling_rate) for path in arguments.recordings]
    codes = [np.asarray(codec.encode(recording).ids) for recording in recordings]
    whole = [codec.decode_ids([ids])[0] for ids in codes]
    versions = {name: version(name) for name in ("xcodec", "torch", "pystoi", "pesq")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {arguments.threads} threads"
    print(f"{codec!r}\n{machine}; {versions}\n")

    print("| context | lookahead | chunk | SNR, dB | mel, dB | STOI | PESQ-WB | first audio after | and | load |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    decoding = []
    for window in DECODING:
        row = decoding_row(codec, codes, whole, window)
        decoding.append(row)
        print(
            "| {context} | {lookahead} | {chunk} | {snr:.1f} | {mel:.2f} | {stoi:.3f} | {pesq_wb:.2f} "
            "| {first_codes} codes | {first_ms:.0f} ms | {load:.3f} |".format(**row)
        )
    print("\n| context | lookahead | chunk | codes equal to the whole's |\n|---|---|---|---|")
    encoding = []
    for window in ENCODING:
        row = encoding_row(codec, recordings, window)
        encoding.append(row)
        print("| {context} | {lookahead} | {chunk} | {equal:.1%} |".format(**row))
    if arguments.json:
        record = {"model": str(codec.identity), "machine": machine, "versions": versions}
        arguments.json.write_text(json.dumps({**record, "decoding": decoding, "encoding": encoding}, indent=2) + "\n")


if __name__ == "__main__":
    main()
