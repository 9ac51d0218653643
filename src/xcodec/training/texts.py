# ruff: noqa: RUF001  (letters of other scripts are meant, and not the Latin ones they look like)
"""Sentences to be spoken: made up from small tables, so that a seed gives as many as wanted, in many scripts.

What a codec learns from speech is sound, not sense. Made-up words that follow a language's alphabet are read by that
language's own rules and so bring its sounds and its melody; numbers bring true words, since synthesizers read them out.
"""

import random
from collections.abc import Callable

from xcodec.errors import InputError

__all__ = ["SCRIPTS", "sentence"]


def _words(text: str, separator: str | None = None) -> list[str]:
    return text.split(separator)


_ENGLISH_WORDS = {
    "noun": _words(
        "river garden thought window judge orange village church machine shadow teacher bridge winter cousin pleasure "
        "journey kitchen feather horse measure evening letter thunder island father boat voice squirrel youth question "
        "world thing valley chair yesterday fire mountain beach zoo purpose sky money treasure girl boy edge fish"
    ),
    "adjective": _words(
        "quiet yellow thick strange royal loud gentle clever huge vague wooden fresh empty bright foreign southern "
        "easy wild rare smooth fearless young poor sharp heavy casual pure blue worthy just joyful cheap"
    ),
    "verb": _words(
        "carries watches follows measures paints leaves breaks throws catches joins chooses loves forgets hears "
        "remembers finds answers changes keeps pushes wraps visits enjoys thanks reaches avoids judges sews"
    ),
    "adverb": _words(
        "slowly again never gladly perhaps outside usually twice quietly already together rather badly once "
        "northward always enough hardly somewhere just"
    ),
    "name": _words(
        "Oliver Ruth Jonathan Zoe Theo Charlotte George Beth Vivian Hugh Joyce Sean Margaret Leah Arthur Phoebe "
        "Geoffrey Ursula Keith Audrey"
    ),
    "time": _words(
        "in the morning; before long; at the end of May; on Thursday; after the show; for an hour; every other year; "
        "when it rains; under the old oak; by the sea; without a word; near the station; as far as I know",
        "; ",
    ),
}
_ENGLISH_FRAMES = (
    "The {adjective} {noun} {verb} a {noun} {time}.",
    "{name} {verb} the {adjective} {noun} and the {noun}, {adverb}.",
    "Why {adverb}? Because {name} {verb} every {noun} {time}.",
    "{number} {noun}s were {adjective}, but {name} had {number}.",
    "Did you see how {adverb} the {noun} {verb} her {adjective} {noun}?",
    "{noun}, {noun}, {adjective} {noun}; {number}, {number}.",
    "It was {adjective} and {adjective}, and nobody who {verb} a {noun} would say so {time}.",
    "Oh! {name}, your {noun} {verb} the {noun} {adverb}!",
    "If {name} {verb} this {noun}, then {adverb} the {adjective} one {verb} that {noun}.",
)

_Syllable = Callable[[random.Random], str]


def _alphabetic(onsets: str, vowels: str, codas: str) -> _Syllable:
    onset_list, vowel_list, coda_list = (["", *table.split()] for table in (onsets, vowels, codas))

    def syllable(rng: random.Random) -> str:
        coda = rng.choice(coda_list) if rng.random() < 0.4 else ""
        return rng.choice(onset_list) + rng.choice(vowel_list[1:]) + coda

    return syllable


def _indic(first: int) -> _Syllable:
    """Syllables of an Indic script: the Unicode blocks are laid out alike, so the first code point is all it takes."""
    consonants = [first + offset for offset in (*range(0x15, 0x29), *range(0x2A, 0x31), 0x32, 0x35, 0x38, 0x39)]
    vowel_signs = [first + offset for offset in (0x3E, 0x3F, 0x40, 0x41, 0x42, 0x47, 0x48, 0x4B)]

    def syllable(rng: random.Random) -> str:
        return chr(rng.choice(consonants)) + (chr(rng.choice(vowel_signs)) if rng.random() < 0.75 else "")

    return syllable


def _hangul(rng: random.Random) -> str:
    coda = rng.choice((0, 0, 0, 1, 4, 8, 16, 17, 21))
    return chr(0xAC00 + (rng.randrange(19) * 21 + rng.randrange(21)) * 28 + coda)


def _kana(rng: random.Random) -> str:
    return rng.choice(
        "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわがぎぐげござじぜぞだでどばびぶべぼん"
    )


SCRIPTS: dict[str, _Syllable] = {
    "latin": _alphabetic(
        "b d f g h j k l m n p r s t v z bl br dr fl fr gl gr kl kr pl pr sk sl sm sn sp st str tr ch sh",
        "a e i o u a e i o ai au ei ie ou",
        "n r s l t m k d p nt st rk",
    ),
    "romance": _alphabetic(
        "b c d f g l m n p r s t v z br cr dr fr gr pl pr tr gl", "a e i o u a e o ia io", "n r s l"
    ),
    "slavic": _alphabetic(
        "b c č d f h j k l m n p r s š t v z ž př str kr hl sv", "a e i o u á é í ou y", "n r s l t k ch"
    ),
    "finnic": _alphabetic("h j k l m n p r s t v", "a e i o u ä ö y aa ee ii oo uu ää ai ei ie uo yö", "n s l r t"),
    "cyrillic": _alphabetic(
        "б в г д ж з к л м н п р с т ф х ц ч ш щ ст пр кр", "а е и о у ы ю я", "н р с л т й к м ть"
    ),
    "greek": _alphabetic("β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ μπ ντ στρ", "α ε η ι ο υ ω ου αι ει", "ν ς ρ"),
    "arabic": _alphabetic("ب ت ث ج ح خ د ذ ر ز س ش ص ض ط ظ ع غ ف ق ك ل م ن ه و ي", "ا و ي", "ن م ر ل ت"),
    "georgian": _alphabetic("ბ გ დ ვ ზ თ კ ლ მ ნ პ ჟ რ ს ტ ფ ქ ღ ყ შ ჩ ც ძ წ ჭ ხ ჯ ჰ", "ა ე ი ო უ", "ნ ს ლ რ მ"),
    "devanagari": _indic(0x900),
    "bengali": _indic(0x980),
    "tamil": lambda rng: rng.choice("கசடதபறஞஙணநமனயரலவழள") + rng.choice(("", "ா", "ி", "ீ", "ு", "ெ", "ே", "ொ")),
    "telugu": _indic(0xC00),
    "hangul": _hangul,
    "kana": _kana,
    "han": lambda rng: rng.choice(
        "我你他是在有人大小中上下来去天地水火山日月年好学生国说看听走花家门手心长高风雨海书车"
    ),
}


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.randrange(1, 5)))


def _english(rng: random.Random) -> str:
    text = rng.choice(_ENGLISH_FRAMES)
    while "{number}" in text:
        text = text.replace("{number}", _number(rng), 1)
    for kind, choices in _ENGLISH_WORDS.items():
        while "{" + kind + "}" in text:
            text = text.replace("{" + kind + "}", rng.choice(choices), 1)
    return text


def sentence(script: str, rng: random.Random, words: int = 10) -> str:
    """Return one sentence of about `words` words in a script (a key of `SCRIPTS`) or in "english"."""
    if script == "english":
        return _english(rng)
    if script not in SCRIPTS:
        known = ", ".join(["english", *SCRIPTS])
        raise InputError(f"no text can be made in the script {script!r}; the scripts are {known}")
    syllable = SCRIPTS[script]
    parts = []
    for position in range(words):
        if rng.random() < 0.15:
            parts.append(_number(rng))
        else:
            parts.append("".join(syllable(rng) for _ in range(rng.choice((1, 2, 2, 3)))))
        if position + 1 < words and rng.random() < 0.15:
            parts[-1] += ","
    return " ".join(parts) + rng.choice(".?!")
