"""What a stream loses against decoding and encoding the whole, and what it costs, over a grid of windows.

    python benchmarks/streaming.py [RECORDING ...] [--tables quality joined encoding times]
                                   [--model FOLDER_OR_ID_OR_released] [--dtype int8] [--threads 1] [--frames 600]
                                   [--json FILE]

quality: signal-to-noise ratio, distance of log-mel spectra, STOI and PESQ-WB of the streamed audio, the decode of the
whole being the reference; and "lost", what STOI and PESQ-WB against the recording are less than those of the whole. A
harmonic decoder's phase begins anew with each of the windows, and with `all` goes its own way where one decides on
another pitch, which the former count and nobody hears. Three ways to treat the past are compared:

  windows   each window shows the decoder `context` frames of the past again
  norms     the sums of norms over time and the inputs of convolutions are carried on; attention sees the window only
  all       the keys and values of `context` frames too: what `StreamDecoder` does with X-Codec2

joined: the same of the recordings put together to one stream.

encoding: the share of codes of `StreamEncoder` that are those of the whole.

times: how many codes have to come before the first audio, the time from the push that completes them to the audio, and
the load, the time that a chunk takes over the time that it lasts, for one stream and for several that are decoded as
one batch (per stream), of so many frames of random codes each. "released" is X-Codec2's decoder at its released size
with random weights.

Without recordings it takes the five in tests/audio.
"""

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
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

from xcodec import Audio, Codec, Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model
from xcodec.modules.fbank import KaldiFbank
from xcodec.modules.int8 import quantize_weights
from xcodec.streaming import StreamDecoder, StreamEncoder

Ids = np.ndarray  # (codebooks, frames)
Grid = list[tuple[str, int | None, int, int]]  # as QUALITY

RECORDINGS = sorted((Path(__file__).parent.parent / "tests" / "audio").glob("*.wav"))
LOOKAHEADS = [2, 5, 10, 20]
QUALITY: Grid = [  # method, context, lookahead, chunk
    *(("windows", context, lookahead, 10) for context, lookahead in itertools.product([25, 50, 100, 200], LOOKAHEADS)),
    *(("norms", 0, lookahead, 10) for lookahead in LOOKAHEADS),
    *(("all", context, lookahead, 10) for context, lookahead in itertools.product([50, 100, 200, None], LOOKAHEADS)),
    *((method, 200, *rest) for method in ("windows", "all") for rest in [(10, 1), (10, 5), (5, 5), (25, 25)]),
]
JOINED: Grid = [
    *(("windows", context, 10, 10) for context in (200, 500)),
    *(("all", context, 10, 10) for context in (100, 200, 500, None)),
    *(("all", 500, *rest) for rest in [(10, 5), (5, 5)]),
]
ENCODING = [*itertools.product([50, 200, 500], [5, 10, 50], [10])]
TIMES = [  # method, context, lookahead, chunk, streams
    *(("windows", 200, *rest, 1) for rest in [(10, 10), (10, 5)]),
    *(("all", 500, *rest, 1) for rest in [(10, 10), (10, 5), (10, 1), (5, 5), (4, 1), (4, 5), (4, 10), (2, 5)]),
    ("all", 200, 10, 10, 1),
    ("all", 500, 10, 10, 8),
    ("all", 500, 4, 10, 8),
    ("all", 500, 4, 1, 8),
]


class WindowDecoder:
    """What `StreamDecoder` might be: each window shows the decoder `context` frames of the past again."""

    def __init__(self, codec: Codec, context: int, lookahead: int, chunk: int) -> None:
        self.codec, self.context, self.lookahead, self.chunk = codec, context, lookahead, chunk
        self.ids, self.done, self.after = np.zeros((1, 0), np.int64), 0, np.zeros(0, np.float32)

    @staticmethod
    def push_many(streams: list["WindowDecoder"], ids: list[Ids]) -> list[Audio | None]:
        """`StreamDecoder.push_many`, of streams that are equally far."""
        for stream, own in zip(streams, ids, strict=True):
            stream.ids = np.concatenate([stream.ids, own], 1)
        first = streams[0]
        if first.done + first.chunk + first.lookahead > first.ids.shape[1]:
            return [None] * len(streams)
        return WindowDecoder.decode(streams, first.done + first.chunk)

    def flush(self) -> Audio | None:
        """`StreamDecoder.flush`."""
        return self.decode([self], self.ids.shape[1])[0] if self.done < self.ids.shape[1] else None

    @staticmethod
    def decode(streams: list["WindowDecoder"], stop: int) -> list[Audio | None]:
        """The audio from where it has come up to frame `stop`."""
        begin = max(0, streams[0].done - streams[0].context)
        decoded = streams[0].codec.decode_ids([stream.ids[:, begin:] for stream in streams])
        return [stream.cut(samples, begin, stop) for stream, samples in zip(streams, decoded, strict=True)]

    def cut(self, samples: np.ndarray, begin: int, stop: int) -> Audio:
        """The piece up to frame `stop` out of what was decoded from frame `begin` on, faded in."""
        hop = len(samples) // (self.ids.shape[1] - begin)
        piece = samples[(self.done - begin) * hop : (stop - begin) * hop].copy()
        if fade := len(self.after):
            rising = (np.arange(fade, dtype=np.float32) + 0.5) / fade
            piece[:fade] = rising * piece[:fade] + (1 - rising) * self.after
        self.after, self.done = samples[(stop - begin) * hop : (stop - begin + 1) * hop].copy(), stop
        return Audio(piece, round(hop * self.codec.frame_rate))


def decoder_of(codec: Codec, method: str, context: int | None, lookahead: int, chunk: int) -> Any:
    if method == "windows":
        assert context is not None
        return WindowDecoder(codec, context, lookahead, chunk)
    return StreamDecoder(codec, context, lookahead, chunk)


def streamed(decoders: list[Any], ids: list[Ids]) -> Iterator[tuple[list[Audio], float]]:
    """Push codes one at a time; the audio of each stream as it comes, and the seconds that it took."""
    for i in range(ids[0].shape[1]):
        start = time.perf_counter()
        pieces = decoders[0].push_many(decoders, [own[:, i : i + 1] for own in ids])
        if pieces[0] is not None:
            yield pieces, time.perf_counter() - start
    if (rest := [decoder.flush() for decoder in decoders])[0] is not None:
        yield rest, 0.0


def filter_bank_difference(reference: np.ndarray, found: np.ndarray) -> float:
    """Mean absolute difference of Kaldi's 80 log energies, in dB; it is not the mel distance of `xcodec evaluate`."""
    fbank = KaldiFbank(16000, 80)
    a, b = (fbank(torch.from_numpy(each)[None] * 2**15) for each in (reference, found))
    return float((a - b).abs().mean() * 10 / np.log(10))


def scores(rate: int, references: list[np.ndarray], found: list[np.ndarray]) -> tuple[float, float]:
    """Mean STOI and PESQ-WB, each of as much as both last."""
    pairs = [(r[: len(a)], a[: len(r)]) for r, a in zip(references, found, strict=True)]
    return float(np.mean([stoi(*pair, rate) for pair in pairs])), float(np.mean([pesq(rate, *p, "wb") for p in pairs]))


def quality(codec: Codec, recordings: list[Audio], grid: Grid = QUALITY) -> Iterator[dict[str, Any]]:
    codes = [np.asarray(codec.encode(recording).ids) for recording in recordings]
    whole = [codec.decode_ids([ids])[0] for ids in codes]
    rate = codec.output_sampling_rate
    given = [recording.resample(rate).samples[0] for recording in recordings]
    kept = scores(rate, given, whole)
    for method, context, lookahead, chunk in grid:
        made = []
        for ids in codes:
            pieces = streamed([decoder_of(codec, method, context, lookahead, chunk)], [ids])
            made.append(np.concatenate([audio.samples[0] for [audio], _ in pieces]))
        pairs = list(zip(whole, made, strict=True))
        of_whole, of_recording = (scores(rate, each, made) for each in (whole, given))
        yield {
            "past": method,
            "context": "all" if context is None else context,
            "lookahead": lookahead,
            "chunk": chunk,
            "snr": float(np.mean([10 * np.log10(np.sum(r**2) / np.sum((r - a) ** 2)) for r, a in pairs])),
            "mel": float(np.mean([filter_bank_difference(r, a) for r, a in pairs])),
            "stoi": of_whole[0],
            "pesq_wb": of_whole[1],
            "stoi_lost": kept[0] - of_recording[0],
            "pesq_wb_lost": kept[1] - of_recording[1],
        }


def joined(codec: Codec, recordings: list[Audio]) -> Iterator[dict[str, Any]]:
    samples = np.concatenate([recording.samples for recording in recordings], 1)
    return quality(codec, [Audio(samples, codec.sampling_rate)], JOINED)


def encoding(codec: Codec, recordings: list[Audio]) -> Iterator[dict[str, Any]]:
    for context, lookahead, chunk in ENCODING:
        equal = []
        for recording in recordings:
            encoder = StreamEncoder(codec, context=context, lookahead=lookahead, chunk=chunk)
            samples = recording.samples[0]
            given = [encoder.push(samples[i : i + 1600]) for i in range(0, len(samples), 1600)]
            found = np.concatenate([*given, encoder.flush()], 1)
            equal.append(found == np.asarray(codec.encode(recording).ids))
        share = float(np.concatenate(equal, 1).mean())
        yield {"context": context, "lookahead": lookahead, "chunk": chunk, "equal": share}


def times(codec: Codec, num_frames: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for method, context, lookahead, chunk, streams in TIMES:
        ids = [rng.integers(codec.codebook_sizes[0], size=(1, num_frames)) for _ in range(streams)]
        firsts, seconds = [], []
        for frames in [lookahead + chunk] * 5 + [num_frames]:  # of the first audio, several times
            decoders = [decoder_of(codec, method, context, lookahead, chunk) for _ in range(streams)]
            pushed = streamed(decoders, [own[:, :frames] for own in ids])
            firsts.append(next(pushed)[1])
            if frames == num_frames:
                seconds = [took for _, took in pushed if took][-20:]  # once there is as much past as is ever seen
        yield {
            "past": method,
            "context": "all" if context is None else context,
            "lookahead": lookahead,
            "chunk": chunk,
            "streams": streams,
            "first_codes": lookahead + chunk,
            "first_ms": 1000 * float(np.median(firsts)),
            "load": float(np.median(seconds)) / (chunk / codec.frame_rate) / streams,
        }


WINDOW = "| {past} | {context} | {lookahead} | {chunk} "
SCORES = (
    "| past | context | lookahead | chunk | SNR, dB | mel, dB | STOI | PESQ-WB | STOI lost | PESQ-WB lost |",
    WINDOW + "| {snr:.1f} | {mel:.2f} | {stoi:.3f} | {pesq_wb:.2f} | {stoi_lost:.3f} | {pesq_wb_lost:.2f} |",
)
TABLES: dict[str, tuple[Callable[[Codec, Any], Iterator[dict[str, Any]]], str, str]] = {
    "quality": (quality, *SCORES),
    "joined": (joined, *SCORES),
    "encoding": (
        encoding,
        "| context | lookahead | chunk | codes equal to the whole's |",
        "| {context} | {lookahead} | {chunk} | {equal:.1%} |",
    ),
    "times": (
        times,
        "| past | context | lookahead | chunk | streams | first audio after | and | load of each |",
        WINDOW + "| {streams} | {first_codes} codes | {first_ms:.0f} ms | {load:.3f} |",
    ),
}


def load(name: str | None, dtype: str) -> Codec:
    if name != "released":
        return Codec.from_pretrained(name, dtype=dtype)
    torch.manual_seed(0)
    model = Xcodec2Model(Xcodec2Config(), decoder_only=True)
    if dtype == "int8":
        quantize_weights(model)
    model.pack_weights()  # as Codec.from_pretrained does
    return Codec(model, Xcodec2FeatureExtractor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, default=RECORDINGS)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--model", help="a folder, a hub id, or released (times only); mini if not given")
    parser.add_argument("--dtype", choices=["float32", "int8"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=600, help="of each stream that is timed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.model == "released" and arguments.tables != ["times"]:
        parser.error("released has random weights, which say nothing of quality; give --tables times")
    torch.set_num_threads(arguments.threads)
    codec = load(arguments.model, arguments.dtype)
    recordings = [Audio.read(path).mono().resample(codec.sampling_rate) for path in arguments.recordings]
    versions = {name: version(name) for name in ("xcodec", "torch", "pystoi", "pesq")}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, {arguments.threads} threads"
    print(f"{codec!r}\n{machine}; {versions}")
    record: dict[str, Any] = {"model": repr(codec), "machine": machine, "versions": versions}
    for name in arguments.tables:
        measure, header, line = TABLES[name]
        print(f"\n{header}\n{'|---' * (header.count('|') - 1)}|")
        record[name] = []
        for row in measure(codec, arguments.frames if name == "times" else recordings):
            record[name].append(row)
            print(line.format(**row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
