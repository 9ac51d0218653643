r"""Make training music and sounds of what some of Debian's packages hold, and of music composed at random.

    for p in 0ad-data asterisk-moh-opsound-g722 brainparty-data caveexpress-data chromium-bsu-data cube2-data \
        endless-sky-data flare-game freeorion-data hex-a-hop-data hyperrogue-music lomiri-sounds marsshooter-data \
        megaglest-data minetest-data naev-data singularity-music sonic-pi-samples sound-theme-freedesktop \
        supertuxkart-data tuxmath-data unknown-horizons widelands-data yaru-theme-sound zaz-data; do
        apt-get download $p && dpkg -x ${p}_*.deb packages/$p; done
    (cd packages/0ad-data/usr/share/games/0ad/mods/public && unzip -q public.zip 'audio/*')
    python scripts/sounds.py recordings packages data/general
    apt-get install fluidsynth fluid-soundfont-gm
    python scripts/sounds.py composed data/general --hours 3

They are 4 GB, most of them games. What is taken is only what a package's usr/share/doc/*/copyright gives under CC0,
CC-BY, CC-BY-SA, MIT or like terms, or into the public domain: data/general/credits.tsv tells of each file whose it is,
and under what terms. "composed" plays pieces that `composition.py` makes up, on the instruments of Fluid's soundfont
(MIT). The G.722 recordings need `pip install av`.

Written are files of 16 kHz mono, 4 to 10 seconds each, and lists for `xcodec train --data`: music.jsonl, sound.jsonl
and composed.jsonl. Long recordings are cut, short ones joined. What is nearly silent, sampled below 16 kHz, or there
twice, is left out. What is of `HELD_OUT` goes to validation/ instead, and into no list.
"""

import argparse
import hashlib
import json
import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from composition import midi_file
from licences import Copyright, Terms

from xcodec import Audio, XcodecError

RATE = 16000  # Hz
SHORTEST, USUAL, LONGEST = 4 * RATE, 8 * RATE, 10 * RATE  # samples, of a file
AUDIO = {".ogg", ".oga", ".wav", ".flac", ".mp3", ".g722"}
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")


@dataclass(frozen=True)
class Package:
    """Where a package's recordings are, and which of them are what.

    Attributes:
        installed: the folder that holds them, within the package.
        source: that folder within the source, which the copyright file speaks of.
        music: what in the rest of a path tells that a recording is music; where it is None, none is.
        sound: what tells that it is another sound; no voices, which there is speech for.
        terms: of all files, as a copyright file says that machines cannot read.
    """

    installed: str
    source: str = ""
    music: str | None = None
    sound: str | None = None
    terms: Terms | None = None


PACKAGES = {
    "0ad-data": Package(
        "usr/share/games/0ad/mods/public/audio",
        music="^music/",
        sound="^(ambient|attack|interface|resource|actor/(fauna|ship|gate|mounted|singlesteps|human/movement))/",
    ),
    "chromium-bsu-data": Package("usr/share/games/chromium-bsu", "data", music="music", sound="."),
    "endless-sky-data": Package("usr/share/games/endless-sky", sound="^sounds/"),
    "flare-game": Package("usr/share/games/flare", music="/music/", sound="/soundfx/(?!npcs|.*male_)"),
    "freeorion-data": Package("usr/share/games/freeorion", music="artificial_intelligence", sound="."),
    "hex-a-hop-data": Package("usr/share/games/hex-a-hop/hex-a-hop", "data", music="music", sound="sound"),
    "hyperrogue-music": Package("usr/share/hyperrogue", music="^music/", sound="^sounds/"),
    "lomiri-sounds": Package("usr/share/sounds/lomiri", "share/sounds/lomiri", music="ringtones/", sound="."),
    "marsshooter-data": Package(
        "usr/share/games/marsshooter", "data", music="audio/(music/|menu|tutorial)", sound="audio/toon/"
    ),
    "megaglest-data": Package(
        "usr/share/games/megaglest", music="/music/", sound="/sounds/(?!.*(select|ack|die|attack|build|commondata))"
    ),
    "naev-data": Package("usr/share/naev/dat", "dat", music="/music/", sound="/sounds/"),
    "singularity-music": Package(
        "usr/share/games/singularity", music=".", terms=Terms("CC-BY-SA-3.0", "2007-2008, 2012 Max McCracken")
    ),
    "sonic-pi-samples": Package("usr/share/sonic-pi/samples", "etc/samples", sound="."),
    "sound-theme-freedesktop": Package("usr/share/sounds/freedesktop", sound="."),
    "supertuxkart-data": Package(
        "usr/share/games/supertuxkart/data",
        "data",
        music="^music/|Gran_Paradiso|Battle_Theme|rabbit_hole",
        sound="^(?!.*(speech|intro2|airport|wee|ugh|Scream))",
    ),
    "unknown-horizons": Package(
        "usr/share/unknown-horizons/content", "content", music="audio/music/", sound="audio/sounds/"
    ),
    "yaru-theme-sound": Package("usr/share/sounds/Yaru", "sounds", sound="."),
    # The rest are `HELD_OUT`.
    "asterisk-moh-opsound-g722": Package(
        "usr/share/asterisk/moh", music=".", terms=Terms("CC-BY-SA-3.0", "Paul Shuler, Manolo Camp, Reno Project")
    ),
    "brainparty-data": Package("usr/share/games/brainparty", "Content", music="electricity"),
    "tuxmath-data": Package("usr/share/tuxmath", "data", music="sounds/0"),
    "widelands-data": Package("usr/share/games/widelands", music="music/"),
    "zaz-data": Package("usr/share/games/zaz", "data", music="mus"),
    "caveexpress-data": Package("usr/share/games/caveexpress", sound="(waterfall|geyser)"),
    "cube2-data": Package("usr/share/games/cube2", sound="sounds/(q009|sfx)/"),
    "minetest-data": Package("usr/share/games/minetest/games/minetest_game", "mtg", sound="/sounds/"),
}
# How many clips of each are written to validation/; the music is of as many pieces.
HELD_OUT = {
    "asterisk-moh-opsound-g722": 3,
    "brainparty-data": 1,
    "tuxmath-data": 1,
    "widelands-data": 1,
    "zaz-data": 2,
    "caveexpress-data": 1,
    "cube2-data": 2,
    "minetest-data": 3,
}


class Recording(NamedTuple):
    """A file that may be taken."""

    path: Path
    name: str
    kind: str
    terms: Terms


def recordings(folder: Path, package: Package, left_out: Counter[str]) -> Iterator[Recording]:
    """Find what may be taken of an unpacked package, nothing twice."""
    rules = [Copyright(path.read_text(errors="replace")) for path in folder.glob("usr/share/doc/*/copyright")]
    seen = set()
    root = folder / package.installed
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in AUDIO or not path.is_file():
            continue
        if package.music is not None and re.search(package.music, name):
            kind = "music"
        elif package.sound is not None and re.search(package.sound, name):
            kind = "sound"
        else:
            continue
        within = f"{package.source}/{name}".lstrip("/")
        terms = package.terms or next(filter(None, (rule.terms(within) for rule in rules)), None)
        content = hashlib.sha256(path.read_bytes()).digest()
        if terms is None:
            left_out["under other licences"] += 1
        elif content in seen:
            left_out["there twice"] += 1
        else:
            seen.add(content)
            yield Recording(path, name, kind, terms)


def samples_of(path: Path) -> np.ndarray | str:
    """Read a recording, float32 (samples,) at `RATE`; or why it is left out."""
    try:
        audio = _g722(path) if path.suffix == ".g722" else Audio.read(path)
    except XcodecError:
        return "unreadable"
    if audio.sampling_rate < RATE:
        return "sampled too low"
    samples = audio.mono().resample(RATE).samples[0]
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * min(1.0, 0.99 / peak) if peak > 0.01 else "quiet"


def _g722(path: Path) -> Audio:
    """Read what has no header; pip install av."""
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return Audio(np.concatenate(frames)[None].astype(np.float32) / 32768, RATE)


def cut(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a long recording into pieces of one length, near `USUAL`; those that are nearly silent are left out."""
    count = max(round(len(samples) / USUAL), -(-len(samples) // LONGEST), 1)
    for piece in np.array_split(samples, count):
        if np.sqrt(np.square(piece).mean()) > 2e-3:
            yield piece


def joined(sounds: Iterator[np.ndarray], chance: np.random.Generator) -> Iterator[np.ndarray]:
    """Put short sounds one after the other, with gaps of chance between, into files of `SHORTEST` to `LONGEST`.

    What would make a file too long begins the next one; where the one before is then too short, the rest of it is
    silence, as after the last sound.
    """
    parts: list[np.ndarray] = []
    length = 0
    for sound in sounds:
        if parts and length + len(sound) > LONGEST:
            yield _at_least_shortest(parts)
            parts, length = [], 0
        gap = np.zeros(int(chance.uniform(0.02, 0.5) * RATE), dtype=np.float32)
        parts += [sound, gap]
        length += len(sound) + len(gap)
        if length >= chance.uniform(SHORTEST, USUAL):
            yield np.concatenate(parts)[:LONGEST]
            parts, length = [], 0
    if parts:
        yield _at_least_shortest(parts)


def _at_least_shortest(parts: list[np.ndarray]) -> np.ndarray:
    samples = np.concatenate(parts)
    return np.pad(samples, (0, max(0, SHORTEST - len(samples))))


class Output:
    """The folder that is written: files by kind and package, a list of each kind, and the credits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples: Counter[str] = Counter()
        self._lines: dict[str, list[str]] = defaultdict(list)
        self._credits: list[str] = []

    def add(self, samples: np.ndarray, kind: str, source: str, name: str) -> None:
        """Write a file to train on."""
        path = Path(kind) / source / f"{name}.flac"
        self._save(samples, path)
        entry = {"path": path.as_posix(), "duration": len(samples) / RATE, "source": source}
        self._lines[kind].append(json.dumps(entry))
        self.samples[kind] += len(samples)

    def hold_out(self, samples: np.ndarray, kind: str, name: str) -> None:
        """Write a file to validate with, of the six seconds in the middle."""
        start = max(0, (len(samples) - 6 * RATE) // 2)
        self._save(samples[start : start + 6 * RATE], Path("validation") / kind / f"{name}.flac")

    def credit(self, recording: Recording, package: str) -> None:
        """Note whose a recording is."""
        self._credits.append("\t".join((package, recording.name, recording.terms.licence, recording.terms.holders)))

    def finish(self) -> None:
        """Write the lists, and the credits where there are any."""
        for kind, lines in self._lines.items():
            (self.folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
        if self._credits:
            header = "package\tfile\tlicence\tholders\n"
            (self.folder / "credits.tsv").write_text(header + "\n".join(self._credits) + "\n")

    def _save(self, samples: np.ndarray, path: Path) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        Audio(samples[None], RATE).save(self.folder / path)


def take(name: str, folder: Path, output: Output) -> str:
    """Write what a package gives, and say what came of it."""
    left_out: Counter[str] = Counter()
    before = output.samples.copy()
    held_out = HELD_OUT.get(name)
    short: list[np.ndarray] = []
    taken = 0
    chance = np.random.default_rng(list(name.encode()))
    found = list(recordings(folder, PACKAGES[name], left_out))
    if held_out is not None and (pieces := [recording for recording in found if recording.kind == "music"]):
        found = [pieces[round(index)] for index in np.linspace(0, len(pieces) - 1, held_out)]
    for recording in found:
        samples = samples_of(recording.path)
        if isinstance(samples, str):
            left_out[samples] += 1
            continue
        output.credit(recording, name)
        if recording.kind == "sound" and len(samples) < USUAL:
            short.append(samples)
            continue
        stem = f"{taken:03}-" + re.sub(r"\W+", "_", Path(recording.name).stem)
        taken += 1
        if held_out is not None:
            if taken <= held_out:
                output.hold_out(samples, recording.kind, f"{name}-{stem}")
            continue
        for number, piece in enumerate(cut(samples)):
            if len(piece) >= SHORTEST:
                output.add(piece, recording.kind, name, f"{stem}-{number:03}")
            else:
                left_out["too short"] += 1
    order = (short[index] for index in chance.permutation(len(short)))
    for number, piece in enumerate(joined(order, chance)):
        if held_out is None:
            output.add(piece, "sound", name, f"joined-{number:03}")
        elif number + taken < held_out:
            output.hold_out(piece, "sound", f"{name}-joined-{number:03}")
    minutes = {
        kind: f"{(output.samples[kind] - before[kind]) / RATE / 60:.1f} min of {kind}" for kind in output.samples
    }
    reasons = ", ".join(f"{count} {why}" for why, count in left_out.items()) or "nothing"
    told = "held out" if held_out is not None else ", ".join(minutes.values())
    return f"{name}: {told}; left out: {reasons}"


def compose(output: Output, hours: float, soundfont: Path, seed: int) -> None:
    """Compose pieces, have them played, and write them."""
    piece = 0
    while output.samples["composed"] < hours * 3600 * RATE:
        with tempfile.TemporaryDirectory() as folder:
            midi, played = Path(folder, "piece.mid"), Path(folder, "piece.wav")
            midi.write_bytes(midi_file(np.random.default_rng([seed, piece])))
            command: list[str | Path] = [
                "fluidsynth",
                "-ni",
                "-q",
                "-g",
                "0.5",
                "-r",
                "32000",
                "-F",
                played,
                soundfont,
                midi,
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            samples = samples_of(played)
        if not isinstance(samples, str):
            for number, part in enumerate(cut(samples)):
                if len(part) >= SHORTEST:
                    output.add(part, "composed", "composed", f"{seed}-{piece:04}-{number}")
        piece += 1


def main() -> None:
    """Write the files and the lists, and say what came of each package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_packages = commands.add_parser("recordings", help="music and sounds of packages")
    of_packages.add_argument("packages", type=Path, help="a folder that holds each unpacked package under its name")
    of_packages.add_argument("output", type=Path)
    composed = commands.add_parser("composed", help="music composed at random")
    composed.add_argument("output", type=Path)
    composed.add_argument("--hours", type=float, default=3.0)
    composed.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    composed.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    output = Output(arguments.output)
    if arguments.command == "composed":
        compose(output, arguments.hours, arguments.soundfont, arguments.seed)
    else:
        for name in PACKAGES:
            folder = arguments.packages / name
            print(take(name, folder, output) if folder.is_dir() else f"{name}: not in {arguments.packages}", flush=True)
    output.finish()
    for kind, samples in output.samples.items():
        print(f"{kind}: {samples / RATE / 3600:.2f} h")


if __name__ == "__main__":
    main()
