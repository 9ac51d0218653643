# ruff: noqa: RUF001  (phonetic letters are meant, and not the Latin ones they look like)
"""The phones that synthesized speech is labelled with: the letters of the International Phonetic Alphabet."""

import unicodedata

__all__ = ["INVENTORY", "SILENCE", "UNKNOWN", "phone_of"]

UNKNOWN = -1
"""The label of speech that nobody has labelled."""

SILENCE = 0
"""The label of a pause."""

_VOWELS = "iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝ"
_CONSONANTS = "pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɭʎʟɫwʍɥɕʑɺɧ"

INVENTORY = ("silence", *_VOWELS, *_CONSONANTS)
"""Names of the labels, in order."""

_LABELS = {name: label for label, name in enumerate(INVENTORY)} | {"g": INVENTORY.index("ɡ"), "ᵻ": INVENTORY.index("ɨ")}


def phone_of(name: str) -> int:
    """Return the label of a phone as espeak-ng spells it in IPA: its first letter, without accent, length or tone.

    An affricate is known by its stop, a diphthong by where it begins. A pause has an empty name; what has no letter of
    the alphabet is `UNKNOWN`.
    """
    if not name:
        return SILENCE
    return next((_LABELS[letter] for letter in unicodedata.normalize("NFD", name) if letter in _LABELS), UNKNOWN)
