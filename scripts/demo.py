"""The main job on one recording: audio -> codes -> a file -> codes -> audio, measured, heard and seen.

    python scripts/demo.py [RECORDING] [--model FOLDER_OR_ID] [--output FOLDER]

Writes the codes, the decoded speech and a picture of both with the code stream between them. Of a model that has
several bandwidths, the speech is decoded at each of them, from the first of the codebooks.
"""

import argparse
import textwrap
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from pystoi import stoi
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from xcodec import Audio, Codec, Codes

try:
    from pesq import pesq
except ImportError:  # it is built from source, with a C compiler
    pesq = None

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "tests" / "audio" / "austen-0870.wav"

INK, FAINT, PAPER = "#22223b", "#8d8aa5", "#fbfaf7"
BEFORE, AFTER = "#2a6f97", "#c1543c"
LEVELS = ["#22223b", "#6a4c93", "#e07a5f", "#f6d99a"]  # of a digit, from the lowest to the highest


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", nargs="?", type=Path, default=RECORDING)
    parser.add_argument("--model", help="a checkpoint folder, a hub id or a built-in model; mini, if not given")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = arguments.recording.stem
    codes_file, audio_file, picture_file = (arguments.output / f"{name}{end}" for end in (".codes", ".wav", ".png"))

    loading = time.perf_counter()
    codec = Codec.from_pretrained(arguments.model)
    print(f"{codec!r}, loaded in {time.perf_counter() - loading:.1f} s\n")

    recording = Audio.read(arguments.recording)
    start = time.perf_counter()
    codec.encode(recording).save(codes_file)
    encoded = time.perf_counter()
    codes = Codes.load(codes_file)
    decoded = codec.decode(codes)
    decoded.save(audio_file)
    end = time.perf_counter()

    reference = recording.mono().resample(decoded.sampling_rate)
    scores = measured(reference, decoded)
    draw(reference, codes, decoded, codec, scores, heading(arguments.recording), picture_file)

    given, kept, made = (path.stat().st_size for path in (arguments.recording, codes_file, audio_file))
    rows = {
        "recording": f"{recording.duration:.2f} s, {recording.sampling_rate:,} Hz, {given:,} bytes",
        "codes": f"{len(codes)}, {codes.frame_rate:g} a second, {codes.bitrate:g} bit/s, {len(set(codes.ids[0]))} of "
        f"them distinct{' in the first codebook' if len(codes.ids) > 1 else ''}: {codes.ids[0, :6].tolist()} ...",
        "file of codes": f"{kept:,} bytes, of which the codes take {2 * codes.ids.size:,}",
        "decoded": f"{decoded.duration:.2f} s, {decoded.sampling_rate:,} Hz, {made:,} bytes",
        "quality": told(scores),
        "time": f"{encoded - start:.2f} s to encode, {end - encoded:.2f} s to decode: "
        f"{recording.duration / (end - start):.1f} s of audio a second, on {codec.device}",
    }
    for bandwidth in codec.bandwidths[:-1]:
        lower = codec.decode(codes.at_bandwidth(bandwidth))
        lower_file = audio_file.with_name(f"{name}-{bandwidth:g}.wav")
        lower.save(lower_file)
        rows[f"{bandwidth:g} kbit/s"] = f"{told(measured(reference, lower))}: {shown(lower_file)}"
    for label, text in rows.items():
        print(f"{label:14}{text}")
    if pesq is None:
        print(f"{'':14}without PESQ-WB; for it: pip install pesq (needs a C compiler)")
    print(f"\nListen to {shown(audio_file)}\nLook at  {shown(picture_file)}")


def measured(reference: Audio, decoded: Audio) -> dict[str, float]:
    """How much of a recording is understood in what was decoded, and how it sounds."""
    pair = reference.samples[0], decoded.samples[0]
    scores = {"STOI": float(stoi(*pair, decoded.sampling_rate))}
    if pesq is not None:
        scores["PESQ-WB"] = float(pesq(decoded.sampling_rate, *pair, "wb"))
    return scores


def told(scores: dict[str, float]) -> str:
    """Scores on a line."""
    return ", ".join(f"{score} {value:.3f}" for score, value in scores.items())


def shown(path: Path) -> Path:
    """A path as short as it can be from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def heading(recording: Path) -> str:
    """What is said in a recording, where a list of transcripts lies beside it; else its name."""
    transcripts = recording.with_name("transcripts.tsv")
    lines = transcripts.read_text(encoding="utf-8").splitlines() if transcripts.is_file() else []
    texts = dict(line.split("\t", 1) for line in lines)
    return f"“{texts[recording.name]}”" if recording.name in texts else recording.name


def draw(
    before: Audio, codes: Codes, after: Audio, codec: Codec, scores: dict[str, float], title: str, path: Path
) -> None:
    """Draw both waveforms and spectrograms on one time axis, and between them every code."""
    plt.rcParams |= {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "axes.linewidth": 0.6,
    }
    figure, axes = plt.subplots(
        5,
        1,
        sharex=True,
        figsize=(14, 9.4),
        height_ratios=[0.75, 1.9, 1.35, 1.9, 0.75],
        facecolor=PAPER,
        gridspec_kw={"left": 0.085, "right": 0.985, "top": 0.88, "bottom": 0.06, "hspace": 0.13},
    )
    level = 1.05 * max(np.abs(before.samples).max(), np.abs(after.samples).max())
    draw_waveform(axes[0], before, BEFORE, level)
    draw_spectrogram(axes[1], before)
    draw_codes(axes[2], codes, codec)
    draw_spectrogram(axes[3], after)
    draw_waveform(axes[4], after, AFTER, level)
    axes[4].set_xlabel("seconds")
    axes[4].set_xlim(0, before.duration)

    labels = [
        (axes[:2], "RECORDING", BEFORE),
        (axes[2:3], "CODES", INK),
        (axes[3:], "DECODED", AFTER),
    ]
    for group, text, colour in labels:
        boxes = [ax.get_position() for ax in group]
        low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
        figure.text(0.02, (low + high) / 2, text, rotation=90, va="center", ha="center", weight="bold", color=colour)
        figure.add_artist(plt.Line2D([0.033, 0.033], [low, high], color=colour, linewidth=2.5, solid_capstyle="butt"))

    title = textwrap.shorten(title, 160, placeholder=" …")
    figure.text(0.085, 0.952, title, size=min(15, 1550 / len(title)))
    levels = getattr(codec.model.config, "quantization_levels", ())
    column = (
        f"a code: {len(levels)} digits of {levels[0]} levels"
        if levels
        else f"a code of each of {len(codes.ids)} codebooks"
    )
    facts = [
        f"{before.duration:.2f} s of speech",
        f"{len(codes)} codes, {codes.frame_rate:g} a second, {codes.bitrate / 1000:g} kbit/s",
        f"a column is {column}",
        *(f"{name} {value:.2f}" for name, value in scores.items()),
    ]
    figure.text(0.085, 0.915, "    ·    ".join(facts), size=10.5)
    if levels:
        draw_legend(figure, max(levels))
    figure.savefig(path, dpi=160, facecolor=PAPER)
    plt.close(figure)


def draw_legend(figure: Figure, num_levels: int) -> None:
    """Tell which colour is which level."""
    for i, colour in enumerate(LEVELS[:num_levels]):
        figure.text(0.977 - 0.027 * (num_levels - i - 1), 0.915, "■", size=11, ha="right", color=colour)
        figure.text(0.984 - 0.027 * (num_levels - i - 1), 0.915, str(i), size=10.5, ha="right")
    figure.text(0.957 - 0.027 * (num_levels - 1), 0.915, "level", size=10.5, ha="right")


def draw_waveform(ax: Axes, audio: Audio, colour: str, level: float) -> None:
    """The lowest and the highest sample of every few milliseconds."""
    block = audio.sampling_rate // 250
    samples = audio.samples[0, : audio.num_samples // block * block].reshape(-1, block)
    seconds = (np.arange(len(samples)) + 0.5) * block / audio.sampling_rate
    ax.fill_between(seconds, samples.min(1), samples.max(1), color=colour, linewidth=0.4)
    ax.set_ylim(-level, level)
    ax.set_yticks([])
    bare(ax)


def draw_spectrogram(ax: Axes, audio: Audio) -> None:
    """Power in decibels below the strongest point, 64 ms windows every 4 ms, frequencies spaced as they are heard.

    So a voice's harmonics are lines of their own below 2 kHz.
    """
    rate = audio.sampling_rate
    transform = ShortTimeFFT(hann(rate * 64 // 1000), hop=rate * 4 // 1000, fs=rate, mfft=2048)
    decibels = 10 * np.log10(transform.spectrogram(audio.samples[0]) + 1e-10)
    top = decibels.max()
    where = transform.t(audio.num_samples), transform.f / 1000
    ax.pcolormesh(*where, decibels, cmap="magma", vmin=top - 75, vmax=top, shading="nearest")
    ax.set_yscale("function", functions=(lambda khz: np.log1p(khz / 0.7), lambda mel: 0.7 * np.expm1(mel)))
    ax.set_yticks([0, 0.5, 1, 2, 4, 8], ["0", ".5", "1", "2", "4", "8"])
    ax.set_ylim(0, rate / 2000)
    ax.set_ylabel("kHz", labelpad=8)
    bare(ax)


def draw_codes(ax: Axes, codes: Codes, codec: Codec) -> None:
    """Each code as a column of its digits, or of the codes of all codebooks, as wide as the time it stands for."""
    if levels := getattr(codec.model.config, "quantization_levels", ()):
        rows = codec.model.quantizer.digits(torch.tensor(codes.ids[0])).numpy().T  # (codes, digits) -> (digits, codes)
        colours, highest, name = ListedColormap(LEVELS), max(levels) - 1, "digit"
    else:
        rows, highest, name = codes.ids, max(codec.codebook_sizes) - 1, "codebook"
        colours = LinearSegmentedColormap.from_list("codes", LEVELS[::-1])
    extent = (0, len(codes) / codes.frame_rate, len(rows) + 0.5, 0.5)
    ax.imshow(rows, aspect="auto", extent=extent, cmap=colours, vmin=0, vmax=highest, interpolation="none")
    ax.hlines(np.arange(1, len(rows)) + 0.5, 0, extent[1], color=PAPER, linewidth=0.8)
    ax.set_yticks(np.arange(1, len(rows) + 1))
    ax.set_ylabel(name, labelpad=13)
    bare(ax)


def bare(ax: Axes) -> None:
    """Leave the frame away."""
    ax.set_facecolor(PAPER)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


if __name__ == "__main__":
    main()
