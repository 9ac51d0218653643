"""Text as phones, which models of NeuTTS are asked in: espeak-ng's IPA with stress, punctuation kept."""

import re
import shutil
import subprocess

from xcodec.errors import InputError, MissingExtraError

__all__ = ["EspeakPhones"]

MARKS = re.compile(r"""(\s*[.,;:!?¡¿—…"«»“”(){}\[\]]+\s*)""")
SECONDS = 30.0


class EspeakPhones:
    """Turns text into phones through the program espeak-ng.

    Args:
        language: as espeak-ng calls it, such as en-us, de, fr-fr or es.

    Raises:
        MissingExtraError: where the program is not there.
        InputError: where it does not know the language.
    """

    def __init__(self, language: str = "en-us") -> None:
        program = shutil.which("espeak-ng")
        if program is None:
            raise MissingExtraError(
                "the program espeak-ng is needed for phones, and is not there", remedy="apt-get install espeak-ng"
            )
        if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]+)*", language):
            raise InputError("expected a language such as en-us or de", argument="language", value=language)
        self.language = language
        self._command = [program, "-q", "--ipa", "--stdin", "-v", language]
        self("a")

    def __call__(self, text: str) -> str:
        """Give the phones of a text; what stands between its marks of punctuation is said apart."""
        parts = MARKS.split(" ".join(text.split()))
        spoken = [self._run(part) if part.strip() else "" for part in parts[::2]]
        marks = [*(re.sub(r"\s+", " ", mark) for mark in parts[1::2]), ""]
        return "".join(phones + mark for phones, mark in zip(spoken, marks, strict=True)).strip()

    def _run(self, text: str) -> str:
        try:
            result = subprocess.run(
                self._command, input=text, capture_output=True, text=True, timeout=SECONDS, encoding="utf-8"
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"espeak-ng has not finished {text[:60]!r} within {SECONDS:g} s") from None
        if result.returncode:
            said = " ".join(result.stderr.split())
            raise InputError(f"espeak-ng cannot say this in {self.language}: {said}")
        without_switches = re.sub(r"\([a-z-]+\)", "", result.stdout)  # of a word that it takes for another language
        return " ".join(without_switches.split())
