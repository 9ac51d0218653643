"""Any program that reads a recording and writes what comes back of it, as a system."""

import re
import shlex
import shutil
import tempfile
from pathlib import Path

from xcodec.audio import Audio
from xcodec.errors import InputError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.systems.programs import run
from xcodec.evaluation.systems.system import Reconstruction, ReconstructionError, System

__all__ = ["Command"]

PLACES = {"in": "in.wav", "out": "out.wav", "bitstream": "bitstream"}
"""What a command may name, and the files that stand for it."""


class Command(System):
    """A command line that reads one WAV file and writes another, and may leave its bitstream.

    It is run without a shell for each clip. The WAV file that it reads is mono, 16-bit, at the recording's rate; the
    one that it writes may be at any.

    Args:
        text: such as "mycodec {in} {out}", or "sh -c 'enc {in} {bitstream} && dec {bitstream} {out}'". Where it names
            {bitstream}, the size of that file is what was kept of the recording.
        timeout: of a clip, in seconds.

    Raises:
        InputError: where it does not name {in} and {out}, names anything else, or its program is not found.
    """

    def __init__(self, text: str, timeout: float) -> None:
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise InputError(f"cannot be split into words: {str(error).lower()}", subject=text) from None
        named = re.findall(r"\{(\w*)\}", " ".join(self.words))
        if unknown := sorted(set(named) - PLACES.keys()):
            raise InputError(f"{{{unknown[0]}}} is not known; expected {{in}}, {{out}} and {{bitstream}}", subject=text)
        if not {"in", "out"} <= set(named):
            raise InputError(
                "expected the places of the file to read and of the file to write",
                subject=text,
                remedy="write them as {in} and {out}",
            )
        if shutil.which(self.words[0]) is None:
            raise InputError(f"there is no program {self.words[0]}", subject=text)
        self.timeout, self.keeps = timeout, "bitstream" in named
        self.name = text
        self.about = f"the command {text}, its start included in the time"

    def reconstruct(self, clip: Clip, recording: Audio) -> Reconstruction:  # noqa: ARG002
        """Run the command."""
        with tempfile.TemporaryDirectory() as folder:
            places = {place: Path(folder) / name for place, name in PLACES.items()}
            recording.mono().save(places["in"])
            run(*(self._filled(word, places) for word in self.words), timeout=self.timeout)
            for place in ("out", *(["bitstream"] if self.keeps else [])):
                if not places[place].is_file():
                    raise ReconstructionError(f"{self.words[0]} ended well, and wrote no {{{place}}}")
            bits = 8.0 * places["bitstream"].stat().st_size if self.keeps else None
            return Reconstruction(Audio.read(places["out"]), bits)

    @staticmethod
    def _filled(word: str, places: dict[str, Path]) -> str:
        return re.sub(r"\{(\w*)\}", lambda found: str(places[found[1]]), word)
