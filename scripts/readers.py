r"""Make training speech of the recordings of many readers that some of Debian's packages hold.

    for p in tuxpaint-stamps-default fillets-ng-data-cs fillets-ng-data-nl festvox-ru klettres-data ktuberling-data \
        gcin-voice; do apt-get download $p && dpkg -x ${p}_*.deb packages/$p; done
    python scripts/readers.py packages data/readers

People, most of them volunteers, say letters, words and sentences in some 35 languages there: games for children, two
dialogues of fish, a keyboard that speaks. Clips of one reader are joined to files of 4 to 8 seconds, which a training
crop fits; a reader gives at most an hour. What is clipped, sampled below 16 kHz, nearly silent, or there twice, is left
out. Each package's licence is in usr/share/doc/*/copyright.
"""

import argparse
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xcodec import Audio, XcodecError

RATE = 16000  # Hz
GAP = np.zeros(round(0.15 * RATE), dtype=np.float32)
FRAME = 320  # samples, of the measure of loudness
SHORTEST, LONGEST, MOST = 4 * RATE, 8 * RATE, 3600 * RATE  # samples, of a file and of a reader
# Which files of a package are speech, and what in their path tells the reader.
PACKAGES = {
    "tuxpaint-stamps-default": r"_desc(?:_(?!umlaut|eszett)(\w+))?\.ogg$",
    "fillets-ng-data-cs": r"/cs/.*-([mv])-[^/]*\.ogg$",
    "fillets-ng-data-nl": r"/nl/.*-([mv])-[^/]*\.ogg$",
    "festvox-ru": r"/(wav)/[^/]*\.wav$",
    "klettres-data": r"/klettres/([^/]+)/[^/]+/[^/]*\.ogg$",
    "ktuberling-data": r"/sounds/((?!sr@)[^/]+)/[^/]*\.(?:ogg|wav)$",
    "gcin-voice": r"/(\d+)\.ogg$",
}


def readers(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """The files of each reader of an unpacked package, none twice."""
    found: dict[str, list[Path]] = defaultdict(list)
    seen = set()
    for path in sorted(folder.rglob("*")):
        match = re.search(pattern, path.as_posix())
        if match is None or not path.is_file():
            continue
        content = hashlib.sha256(path.read_bytes()).digest()
        if content not in seen:
            seen.add(content)
            found[match[1] or "en"].append(path)
    return found


def speech(path: Path) -> np.ndarray | str:
    """A recording without the silence around it, float32 (samples,) at `RATE`; or why it is left out."""
    try:
        audio = Audio.read(path)
    except XcodecError:
        return "unreadable"
    if audio.sampling_rate < RATE:
        return "sampled too low"
    if (np.abs(audio.samples) >= 0.999).mean() > 2e-3:
        return "clipped"
    samples = audio.mono().resample(RATE).samples[0]
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    loudness = np.sqrt(np.square(frames).mean(1))
    loud = np.flatnonzero(loudness > max(0.012 * float(loudness.max(initial=0.0)), 4e-4))
    if not len(loud) or np.abs(samples).max() < 0.015:
        return "quiet"
    kept = samples[max(0, loud[0] - 4) * FRAME : (loud[-1] + 5) * FRAME]
    return kept * min(1.0, 0.99 / float(np.abs(kept).max()))


def joined(clips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Clips end to end with a gap between, in files of `SHORTEST` to `LONGEST` samples; the last may be shorter."""
    parts: list[np.ndarray] = []
    length = 0
    for clip in clips:
        if parts and length + len(clip) > LONGEST:
            yield np.concatenate(parts[:-1])
            parts, length = [], 0
        parts += [clip, GAP]
        length += len(clip) + len(GAP)
        if length >= SHORTEST:
            yield np.concatenate(parts[:-1])
            parts, length = [], 0
    if length > RATE:
        yield np.concatenate(parts[:-1])


def main() -> None:
    """Write the files, and say what came of each package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="a folder that holds each unpacked package under its name")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    for package, pattern in PACKAGES.items():
        if not (arguments.packages / package).is_dir():
            print(f"{package}: not in {arguments.packages}")
            continue
        left_out: Counter[str] = Counter()
        samples = 0
        by_reader = readers(arguments.packages / package, pattern)
        for reader, paths in by_reader.items():

            def clips(paths: list[Path] = paths) -> Iterator[np.ndarray]:
                for path in paths:
                    clip = speech(path)
                    if isinstance(clip, str):
                        left_out[clip] += 1  # noqa: B023
                    else:
                        yield clip

            taken = 0
            for number, whole in enumerate(joined(clips())):
                if taken >= MOST:
                    break
                folder = arguments.output / package
                folder.mkdir(parents=True, exist_ok=True)
                Audio(whole[None], RATE).save(folder / f"{reader}-{number:04}.wav")
                taken += len(whole)
            samples += taken
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.items()) or "nothing"
        print(f"{package}: {samples / RATE / 3600:.2f} h of {len(by_reader)} readers; left out: {reasons}", flush=True)


if __name__ == "__main__":
    main()
