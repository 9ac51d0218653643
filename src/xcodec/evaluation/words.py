"""Texts as units that can be counted: Whisper's normalisers, and characters where words have no spaces."""

from collections.abc import Callable, Mapping

__all__ = ["WITHOUT_SPACES", "normalizer", "units"]

WITHOUT_SPACES = ("zh", "yue", "ja", "th", "lo", "my", "km", "bo")
"""The languages, by their codes, that write no spaces between words: there characters are counted."""


def normalizer(language: str, spelling: Mapping[str, str]) -> Callable[[str], str]:
    """Return what brings texts to one form, as Whisper's authors do.

    English loses fillers, and its numbers, contractions and titles are written in one way; of other languages only
    case, punctuation and symbols go.

    Args:
        language: its code, such as "en" or "zh".
        spelling: for English, of words whose spelling varies, the one to bring them to.
    """
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    if language == "en":
        english: Callable[[str], str] = EnglishTextNormalizer(dict(spelling))
        return lambda text: english(text).strip()
    basic: Callable[[str], str] = BasicTextNormalizer()
    if language in WITHOUT_SPACES:
        return lambda text: "".join(basic(text).split())
    return lambda text: basic(text).strip()


def units(text: str, language: str) -> list[str]:
    """Split a normalised text into what is counted: characters, or words."""
    return list(text) if language in WITHOUT_SPACES else text.split()
