"""Voices: a folder in which each is a recording, the text that is said in it, and the codes that became of it."""

import re
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from threading import Lock

from xcodec.audio import Audio, is_media
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.errors import InputError, about
from xcodec.files import written_whole
from xcodec.llasa.prompt import Voice

__all__ = ["DEFAULT", "BuiltInVoice", "Voices"]

DEFAULT = "default"
"""The voice that the language model itself chooses, or the built-in one where it needs one."""

BUILT_IN = "export/speech.flac"  # read for LibriVox, in the public domain
BUILT_IN_TEXT = "he was not an ill disposed young man"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LONGEST = 30.0  # seconds; a prompt holds 50 tokens of each
LONGEST_TEXT = 2000  # characters


class BuiltInVoice:
    """A voice for language models that cannot speak without one: three seconds, encoded when they are first needed.

    Args:
        codec: whose codes it is made of.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec, self._lock = codec, Lock()

    def get(self) -> Voice:
        """Give it; from any thread."""
        with self._lock:
            return self._voice

    @cached_property
    def _voice(self) -> Voice:
        recording = (files("xcodec") / BUILT_IN).read_bytes()
        return Voice(BUILT_IN_TEXT, self._codec.encode(Audio.read(recording)))


class Voices:
    """Voices by name: of `ann`, `ann.txt` and `ann.codes`, which is safetensors as `Codes.save` writes it.

    Recordings that lie there with a text, such as `ann.wav` and `ann.txt`, become codes at the beginning; codes of
    another model are made anew where the recording is there.

    Args:
        folder: where they are; None is nowhere, and there are none.
        codec: whose codes they are.

    Raises:
        AudioError: where a recording cannot be read.
        CodesError: where codes are damaged.
    """

    def __init__(self, folder: Path | None, codec: Codec) -> None:
        self._folder, self._codec = folder, codec
        self._known: dict[str, Voice] = {}
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            text = path.with_suffix(".txt")
            if is_media(path) and text.is_file() and not self._is_current(path.stem):
                with about(path):
                    self.add(path.stem, path.read_bytes(), text.read_text("utf-8"), replace=True)
        for path in sorted(folder.glob("*.codes")):
            text = path.with_suffix(".txt")
            if NAME.fullmatch(path.stem) and text.is_file() and self._is_current(path.stem):
                self._known[path.stem] = Voice(text.read_text("utf-8").strip(), Codes.load(path))

    @property
    def names(self) -> list[str]:
        """What there is."""
        return sorted(self._known)

    def find(self, name: str) -> Voice | None:
        """Give a voice, or None for the one that the language model chooses.

        Raises:
            InputError: where there is none of that name.
        """
        if name == DEFAULT:
            return None
        if name not in self._known:
            known = ", ".join([DEFAULT, *self.names])
            raise InputError(f"there is no such voice; there are {known}", argument="voice", value=name)
        return self._known[name]

    def add(self, name: str, recording: bytes, text: str, replace: bool = False) -> None:
        """Make a voice.

        Args:
            name: letters, digits, - and _, at most 64.
            recording: a file of audio, in any format.
            text: what is said in it.
            replace: whether one of that name may be there.

        Raises:
            InputError: for a name that is none or is taken, an empty text, or where no folder is given.
            AudioError: where the recording cannot be read, or is too long.
        """
        if self._folder is None:
            raise InputError("this server keeps no voices", remedy="start it with --voices DIR")
        if not NAME.fullmatch(name) or name == DEFAULT:
            raise InputError(
                "expected letters, digits, - and _, at most 64, and not the word default", argument="name", value=name
            )
        if name in self._known and not replace:
            raise InputError("there is a voice of that name", argument="name", value=name)
        if not text.strip() or len(text) > LONGEST_TEXT:
            raise InputError(f"expected what is said in the recording, 1 to {LONGEST_TEXT} characters", argument="text")
        codes = self._codec.encode(Audio.read(recording, longest=LONGEST))
        with written_whole(self._folder / f"{name}.txt") as part:
            part.write_text(text.strip() + "\n", "utf-8")
        codes.save(self._folder / f"{name}.codes")
        self._known[name] = Voice(text.strip(), codes)

    def _is_current(self, name: str) -> bool:
        """Whether the codes of a voice are there, and this model's."""
        assert self._folder is not None
        path = self._folder / f"{name}.codes"
        if not path.is_file():
            return False
        made_by = Codes.load(path).codec
        return made_by is None or made_by.same_model(self._codec.identity)
