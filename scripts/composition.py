"""Compose a piece of music at random, for General MIDI's instruments, as the bytes of a MIDI file.

A piece has a key, a tempo, a round of chords, and some of: a melody, chords or broken chords, a bass, drums. Each part
is played by an instrument of chance: all but the sound effects are heard, alone and together.
"""

import struct

import numpy as np

__all__ = ["midi_file"]

Event = tuple[int, bytes]  # the tick, and the message
TICKS = 480  # of a quarter
BAR = 4 * TICKS
DRUMS = 9  # the channel
SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
)
# Degrees of the scale that chords stand on.
ROUNDS = (
    (0, 3, 4, 0),
    (0, 5, 3, 4),
    (0, 4, 5, 3),
    (5, 3, 0, 4),
    (1, 4, 0, 0),
    (0, 6, 5, 4),
    (0, 2, 3, 4),
    (0, 0, 3, 4),
)
RHYTHMS = ((4,), (2, 2), (2, 1, 1), (1, 1, 1, 1), (1.5, 0.5, 2), (0.5,) * 8, (1, 0.5, 0.5, 1, 1), (3, 1), (1.5, 1.5, 1))
BASSES = ((4,), (2, 2), (1, 1, 1, 1), (1.5, 0.5, 1.5, 0.5), (0.5,) * 8)
KITS = (0, 8, 16, 24, 25, 32, 40, 48)
# Eighths of a bar: bass drum, snare, hi-hat.
BEATS = (
    ("x...x...", "..x...x.", "xxxxxxxx"),
    ("x..x..x.", "..x...x.", "x.x.x.x."),
    ("x.x.x.x.", "..x...x.", ".x.x.x.x"),
    ("x....x..", "....x...", "xxxxxxxx"),
    ("x.......", "....x...", "x.x.x.x."),
    ("x..x.x..", "..x..x.x", "xxxxxxxx"),
)
DRUM_KEYS = ((36, 35), (38, 40, 37, 39), (42, 44, 46, 51, 70, 54))
MORE_DRUM_KEYS = (41, 43, 45, 47, 48, 49, 50, 52, 55, 56, 57, *range(60, 82))


def midi_file(chance: np.random.Generator) -> bytes:
    """Compose about 40 seconds; the same generator gives the same piece."""
    beats_a_minute = int(chance.integers(60, 171))
    bars = max(4, round(40 * beats_a_minute / 60 / 4))
    key, scale = int(chance.integers(12)), SCALES[chance.integers(len(SCALES))]
    degrees = ROUNDS[chance.integers(len(ROUNDS))]
    chords = [degrees[bar % len(degrees)] for bar in range(bars)]
    tonality = _Tonality(key, scale)
    events: list[Event] = [(0, b"\xff\x51\x03" + (60_000_000 // beats_a_minute).to_bytes(3, "big"))]
    parts = [part for part, share in ((_melody, 0.8), (_harmony, 0.75), (_bass, 0.6)) if chance.random() < share]
    for channel, part in enumerate(parts or [_melody]):
        program = int(chance.integers(32, 40)) if part is _bass and chance.random() < 0.7 else int(chance.integers(120))
        events.append((0, bytes((0xC0 | channel, program))))
        events.append((0, bytes((0xB0 | channel, 91, int(chance.integers(128))))))  # reverberation
        events += part(channel, tonality, chords, chance)
    if chance.random() < 0.55:
        events += _drums(bars, chance)
    return _written(events)


class _Tonality:
    """Keys of the degrees of a scale."""

    def __init__(self, key: int, scale: tuple[int, ...]) -> None:
        self.key, self.scale = key, scale

    def note(self, degree: int, octave: int) -> int:
        octaves, step = divmod(degree, len(self.scale))
        return int(np.clip(12 * (octave + octaves + 1) + self.key + self.scale[step], 21, 108))


def _note(channel: int, note: int, start: float, length: float, velocity: float) -> list[Event]:
    loud = int(np.clip(velocity, 20, 127))
    end = max(start + 20, start + length)
    return [
        (round(start), bytes((0x90 | channel, note, loud))),
        (round(end), bytes((0x80 | channel, note, 0))),
    ]


def _melody(channel: int, tonality: _Tonality, chords: list[int], chance: np.random.Generator) -> list[Event]:
    """Steps up and down the scale, that come to a tone of the chord as a bar begins."""
    events: list[Event] = []
    octave, degree = int(chance.integers(3, 6)), 0
    rhythms = [RHYTHMS[index] for index in chance.integers(len(RHYTHMS), size=4)]
    rest, legato = chance.uniform(0, 0.25), chance.uniform(0.4, 1.05)
    velocity = chance.uniform(70, 110)
    for bar, chord in enumerate(chords):
        tick = float(bar * BAR)
        tones = [chord + tone + 7 * turn for tone in (0, 2, 4) for turn in (-1, 0, 1)]
        degree = min(tones, key=lambda tone: abs(tone - degree))
        for quarters in rhythms[bar % len(rhythms)]:
            if chance.random() >= rest:
                length = legato * quarters * TICKS
                events += _note(channel, tonality.note(degree, octave), tick, length, velocity + chance.normal(0, 8))
            tick += quarters * TICKS
            degree = int(np.clip(degree + chance.choice((-2, -1, -1, 0, 1, 1, 2, 4, -4)), -5, 11))
    return events


def _harmony(channel: int, tonality: _Tonality, chords: list[int], chance: np.random.Generator) -> list[Event]:
    """Chords, held or struck in a rhythm, or broken."""
    events: list[Event] = []
    octave = int(chance.integers(3, 5))
    tones = (0, 2, 4, 6) if chance.random() < 0.35 else (0, 2, 4)
    broken = chance.random() < 0.4
    rhythm = BASSES[chance.integers(len(BASSES))]
    velocity, legato = chance.uniform(50, 90), chance.uniform(0.5, 1.0)
    for bar, chord in enumerate(chords):
        notes = [tonality.note(chord + tone, octave) for tone in tones]
        if broken:
            step = TICKS // 2
            for i in range(BAR // step):
                note = notes[i % len(notes)] + 12 * (i // len(notes) % 2)
                events += _note(channel, note, bar * BAR + i * step, step * 2 * legato, velocity + chance.normal(0, 6))
            continue
        tick = float(bar * BAR)
        for quarters in rhythm:
            for note in notes:
                start = tick + chance.uniform(0, 15)
                events += _note(channel, note, start, legato * quarters * TICKS, velocity + chance.normal(0, 6))
            tick += quarters * TICKS
    return events


def _bass(channel: int, tonality: _Tonality, chords: list[int], chance: np.random.Generator) -> list[Event]:
    """Roots, with a fifth or an octave now and then."""
    events: list[Event] = []
    rhythm = BASSES[chance.integers(len(BASSES))]
    velocity, legato = chance.uniform(70, 110), chance.uniform(0.5, 1.0)
    for bar, chord in enumerate(chords):
        tick = float(bar * BAR)
        for quarters in rhythm:
            degree = chord + int(chance.choice((0, 0, 0, 4, 7)))
            length = legato * quarters * TICKS
            events += _note(channel, tonality.note(degree, 2), tick, length, velocity + chance.normal(0, 6))
            tick += quarters * TICKS
    return events


def _drums(bars: int, chance: np.random.Generator) -> list[Event]:
    """A beat on one of the kits, and strokes of chance on the rest of it."""
    events: list[Event] = [(0, bytes((0xC0 | DRUMS, int(chance.choice(KITS)))))]
    beat = BEATS[chance.integers(len(BEATS))]
    keys = [int(chance.choice(choices)) for choices in DRUM_KEYS]
    others = [int(key) for key in chance.choice(MORE_DRUM_KEYS, size=4)]
    velocity, strokes = chance.uniform(60, 110), chance.uniform(0, 0.25)
    for bar in range(bars):
        for eighth in range(8):
            tick = bar * BAR + eighth * TICKS // 2
            struck = [key for key, line in zip(keys, beat, strict=True) if line[eighth] == "x"]
            if chance.random() < strokes:
                struck.append(others[chance.integers(len(others))])
            for key in struck:
                events += _note(DRUMS, key, tick, TICKS // 4, velocity + chance.normal(0, 10))
    return events


def _written(events: list[Event]) -> bytes:
    track = bytearray()
    before = 0
    # What ends a note comes before what starts one at the same tick.
    for tick, message in sorted(events, key=lambda event: (event[0], event[1][0] & 0xF0 == 0x90)):
        track += _variable(tick - before) + message
        before = tick
    track += _variable(TICKS) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def _variable(number: int) -> bytes:
    """A number in groups of seven bits, all but the last of them marked."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.insert(0, 0x80 | number & 0x7F)
    return bytes(groups)
