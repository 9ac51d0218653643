"""Speech made on this machine: what the recipe `xcodec2-small` trains on.

Three synthesizers speak the sentences of `texts`. espeak-ng comes with a wheel and is always there: a formant
synthesizer with a hundred languages. flite and festival are used where they are installed; their voices are built from
recordings of people. Each looks as it speaks whether it is to stop, and then says no more.
"""

import ctypes
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, require
from xcodec.training.phones import SILENCE, phone_of
from xcodec.training.texts import sentence

__all__ = ["ENGINES", "SAMPLING_RATE", "Utterance", "utterances"]

SAMPLING_RATE = 16_000  # Hz
POLL_SECONDS = 0.1  # from one look at a program that speaks to the next

Stop: TypeAlias = Callable[[], bool]
"""Tells whether to stop."""

_ESPEAK_LANGUAGES = {
    "en-us": "english", "en-gb": "english", "en-gb-scotland": "english", "de": "latin", "nl": "latin", "sv": "latin",
    "da": "latin", "nb": "latin", "is": "latin", "fr": "romance", "es": "romance", "it": "romance", "pt": "romance",
    "pt-br": "romance", "ro": "romance", "ca": "romance", "pl": "slavic", "cs": "slavic", "hr": "slavic",
    "fi": "finnic", "et": "finnic", "hu": "finnic", "tr": "finnic", "ru": "cyrillic", "uk": "cyrillic",
    "bg": "cyrillic", "el": "greek", "ar": "arabic", "fa": "arabic", "ka": "georgian", "hi": "devanagari",
    "mr": "devanagari", "bn": "bengali", "ta": "tamil", "te": "telugu", "ko": "hangul", "ja": "kana", "cmn": "han",
    "vi": "latin", "id": "latin", "sw": "latin", "cy": "latin", "ga": "latin", "sq": "latin",
}  # fmt: skip
_ESPEAK_VARIANTS = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt3",
    "klatt4", "Andy", "Annie", "Gene", "Lee", "Mario", "Michael", "Reed", "adam", "anika", "belinda", "benjamin",
    "boris", "caleb", "david", "ed", "edward", "grandma", "grandpa", "ian", "iven", "john", "kaukovalta", "linda",
    "max", "michel", "miguel", "norbert", "paul", "quincy", "robert", "sandro", "shelby", "steph", "travis", "victor",
    "zac", "whisper",
]  # fmt: skip
_FLITE_VOICES = {"slt": 4, "awb": 3, "rms": 4, "kal16": 2}  # voice: weight
# voice: (script of its texts, encoding that its text module reads, weight)
_FESTIVAL_VOICES = {
    "cmu_us_slt_arctic_hts": ("english", "ascii", 3),
    "kal_diphone": ("english", "ascii", 2),
    "ked_diphone": ("english", "ascii", 3),
    "lp_diphone": ("romance", "ascii", 3),
    "pc_diphone": ("romance", "ascii", 3),
    "czech_dita": ("slavic", "iso-8859-2", 3),
    "czech_machac": ("slavic", "iso-8859-2", 3),
    "czech_krb": ("slavic", "iso-8859-2", 3),
    "hy_fi_mv_diphone": ("finnic", "latin-1", 3),
    "suo_fi_lj_diphone": ("finnic", "latin-1", 3),
    "hindi_NSK_diphone": ("devanagari", "utf-8", 2),
    "marathi_NSK_diphone": ("devanagari", "utf-8", 2),
    "telugu_NSK_diphone": ("telugu", "utf-8", 2),
    "upc_ca_ona_hts": ("romance", "ascii", 3),
}


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence.

    Attributes:
        samples: float32 (samples,) at 16 kHz.
        voice: who said it.
        phones: when each phone begins, in seconds from 0, and its label in `xcodec.training.phones`; None where the
            synthesizer does not tell.
    """

    samples: np.ndarray
    voice: str
    phones: tuple[tuple[float, int], ...] | None = None


def never() -> bool:
    """Do not stop."""
    return False


def _finish(audio: Audio, voice: str, phones: list[tuple[float, int]] | None = None) -> Utterance:
    """Resample to 16 kHz and keep a quarter of a second of silence at most on either side."""
    samples = audio.mono().resample(SAMPLING_RATE).samples[0]
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    margin = SAMPLING_RATE // 4
    first = 0
    if len(loud):
        first = max(0, int(loud[0]) - margin)
        samples = samples[first : loud[-1] + margin]
    if phones is None:
        return Utterance(samples, voice)
    cut = first / SAMPLING_RATE
    before = [label for second, label in phones if second <= cut]
    kept = ((second - cut, label) for second, label in phones if cut < second < cut + len(samples) / SAMPLING_RATE)
    return Utterance(samples, voice, ((0.0, before[-1] if before else SILENCE), *kept))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h; `name` is a union of which phonemes use eight bytes of text."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


class Espeak:
    """libespeak-ng through ctypes.

    The library keeps state from one sentence to the next, so each instance loads a copy of its own: what it says
    depends on what it said before and on nothing else.
    """

    _RETRIEVAL_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, the call returns when done
    _PHONEME_EVENTS_IN_IPA = 1 | 2  # espeakINITIALIZE_PHONEME_EVENTS | espeakINITIALIZE_PHONEME_IPA
    _LIST_TERMINATED, _PHONEME = 0, 7  # types of events
    _UTF8 = 1
    _RATE, _PITCH, _RANGE = 1, 3, 4

    def __init__(self, seed: int = 0, stop: Stop = never) -> None:
        """Start the synthesizer.

        Args:
            seed: of its breath noise and its tremor.
            stop: asked while it speaks.

        Raises:
            MissingExtraError: where the wheel that carries espeak-ng is not installed.
        """
        espeakng_loader = require("espeakng_loader", "train")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._library = ctypes.CDLL(shutil.copy(espeakng_loader.get_library_path(), folder))
        data = str(espeakng_loader.get_data_path())
        self._source_rate = self._library.espeak_Initialize(
            self._RETRIEVAL_SYNCHRONOUS, 0, data.encode(), self._PHONEME_EVENTS_IN_IPA
        )
        if self._source_rate <= 0:
            raise InputError(f"espeak-ng did not start: no usable voice data at {data}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._chance = random.Random(seed)
        self._stop = stop
        self._stopped = False
        self._chunks: list[np.ndarray] = []
        self._phones: list[tuple[float, int]] = []
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
        self._callback = prototype(self._receive)  # held here: C keeps only a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        number = 0
        while events and events[number].type != self._LIST_TERMINATED:
            if events[number].type == self._PHONEME:
                label = phone_of(events[number].name.decode("utf-8", "ignore"))  # eight bytes may end within a letter
                self._phones.append((events[number].sample / self._source_rate, label))
            number += 1
        self._stopped = self._stopped or self._stop()
        return int(self._stopped)  # 1 ends the synthesis

    def speak(
        self, text: str, voice: str, *, rate: int = 175, pitch: int = 50, pitch_range: int = 50
    ) -> Utterance | None:
        """Speak `text`.

        Args:
            text: what to say.
            voice: a language, or a language and a variant, as "de" or "de+f2".
            rate: words per minute.
            pitch: 0 to 100.
            pitch_range: 0 (monotone) to 100.

        Returns:
            the utterance, or None where the voice is unknown or says nothing, or where it was to stop.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in ((self._RATE, rate), (self._PITCH, pitch), (self._RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        self._phones.clear()
        with suppress(AttributeError):  # some voices draw from the C library's rand, which all of the process share
            self._library.srand(ctypes.c_uint(self._chance.randrange(1 << 31)))
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, self._UTF8, None, None)
        self._library.espeak_Synchronize()
        if self._stopped or not self._chunks:
            return None
        return _finish(Audio(np.concatenate(self._chunks), self._source_rate), f"espeak:{voice}", self._phones)


def espeak(rng: random.Random, stop: Stop) -> Iterator[Utterance]:
    """Speak without end: a language, a variant, a pitch and a pace drawn anew for each sentence."""
    engine = Espeak(rng.randrange(1 << 30), stop)
    while not stop():
        language = rng.choice(list(_ESPEAK_LANGUAGES))
        text = sentence(_ESPEAK_LANGUAGES[language], rng, words=rng.randrange(5, 14))
        spoken = engine.speak(
            text,
            f"{language}+{rng.choice(_ESPEAK_VARIANTS)}",
            rate=rng.randrange(120, 240),
            pitch=rng.randrange(15, 90),
            pitch_range=rng.randrange(20, 100),
        )
        if spoken is not None:
            yield spoken


def _run(command: Sequence[str], stop: Stop) -> int | None:
    """Run a program that speaks, and return its exit code; None where it was to stop, which ends it."""
    # In a session of its own: Ctrl-C in a terminal is for us, who then know why it ended.
    none = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=none, stdout=none, stderr=none, start_new_session=True) as program:
        while True:
            try:
                return program.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if stop():
                    program.kill()
                    return None
            except BaseException:
                program.kill()
                raise


def flite(rng: random.Random, stop: Stop) -> Iterator[Utterance]:
    """Speak English without end in the four 16 kHz voices that flite carries."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        while not stop():
            (voice,) = rng.choices(list(_FLITE_VOICES), list(_FLITE_VOICES.values()))
            text = " ".join(sentence("english", rng) for _ in range(2))
            stretch = f"{rng.uniform(0.8, 1.25):.2f}"
            options = [
                "--setf",
                f"duration_stretch={stretch}",
                "--setf",
                f"int_f0_target_stddev={rng.randrange(8, 30)}",
            ]
            code = _run(["flite", "-voice", voice, *options, "-t", text, "-o", str(path)], stop)
            if code is None:
                return
            if code:
                raise InputError(f"flite ended with exit code {code}", remedy="mend it, or drop it from the recipe")
            yield _finish(Audio.read(path), f"flite:{voice}")


def festival(rng: random.Random, stop: Stop) -> Iterator[Utterance]:
    """Speak without end in those of the known festival voices that are installed, a batch of sentences at a time."""
    listed = subprocess.run(["festival", "-b", "(print (voice.list))"], capture_output=True, text=True, check=True)
    installed = set(listed.stdout.strip("()\n ").split())
    voices = {name: entry for name, entry in _FESTIVAL_VOICES.items() if name in installed}
    if not voices:
        raise InputError("festival is installed, but none of its known voices is", remedy="install some, or drop it")
    while not stop():
        (voice,) = rng.choices(list(voices), [weight for _, _, weight in voices.values()])
        script, encoding, _ = voices[voice]
        yield from _festival_batch(voice, [_festival_text(script, encoding, rng) for _ in range(20)], encoding, stop)


def _festival_text(script: str, encoding: str, rng: random.Random) -> str:
    text = " ".join(sentence(script, rng, words=8) for _ in range(2 if script == "english" else 1))
    return text.replace('"', "").encode(encoding, "ignore").decode(encoding)


def _festival_batch(voice: str, texts: list[str], encoding: str, stop: Stop) -> Iterator[Utterance]:
    with tempfile.TemporaryDirectory() as folder:
        commands = [f"(voice_{voice})"] + [
            f'(unwind-protect (utt.save.wave (SynthText "{text}") "{folder}/{index}.wav" (quote riff)) nil)'
            for index, text in enumerate(texts)
        ]
        script = Path(folder) / "say.scm"
        script.write_bytes("\n".join(commands).encode(encoding))
        # Some voices crash on some made-up words; what was said before the crash is kept.
        if _run(["festival", "-b", str(script)], stop) is None:
            return
        for index in range(len(texts)):
            path = Path(folder) / f"{index}.wav"
            if path.exists() and path.stat().st_size > 1000:
                yield _finish(Audio.read(path), f"festival:{voice}")


ENGINES = {"espeak": espeak, "flite": flite, "festival": festival}


def utterances(engine: str, seed: int, stretch: int = 0, stop: Stop = never) -> Iterator[Utterance]:
    """Yield utterances of one engine without end; equal seeds give equal speech.

    Args:
        engine: one of `ENGINES`.
        seed: of the texts, the voices and the manners.
        stretch: another one is other speech of the same seed.
        stop: where it says so, no more utterances come.

    Raises:
        InputError: where the engine is unknown, or its program is not installed.
    """
    if engine not in ENGINES:
        raise InputError(f"unknown synthesizer {engine!r}; the known ones are {', '.join(ENGINES)}")
    if engine != "espeak" and shutil.which(engine) is None:
        raise InputError(
            f"the program {engine!r} is not installed: apt-get install {engine}, or drop it from the recipe"
        )
    for spoken in ENGINES[engine](random.Random(f"{engine}/{seed}" + f"/{stretch}" * (stretch > 0)), stop):
        if len(spoken.samples) >= SAMPLING_RATE // 2 and np.abs(spoken.samples).max() > 0.01:
            yield spoken
