"""Where a codec loses quality: in the bits, in the magnitudes or in the phases.

    python benchmarks/quality_lost.py RECORDING_OR_FOLDER ... [--model mini]

STOI and wide-band PESQ, means over the recordings, of what an X-Codec2 or an X-Codec decodes; of what it decodes of
latents that were not rounded or quantized; of what a decoder with a source of harmonics makes at the recording's pitch,
and with its pulses where the recording's fundamental has them, too; and of spectra whose magnitudes are of one and
whose phases are of the other, by frames of four codes, as X-Codec2's own head has them. What `Griffin-Lim` has is the
decoded magnitudes and no phases at all. Needs xcodec[eval,pitch].
"""

import argparse
import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pesq import pesq
from pystoi import stoi
from spectra_kept import latents_of
from torch import Tensor

from xcodec.audio import Audio, media_files
from xcodec.codec import Codec
from xcodec.models.codec_model import CodecModel
from xcodec.models.xcodec import XcodecModel
from xcodec.models.xcodec_vocos import XcodecVocosModel
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.pulse_train import PERIOD, PulseTrain
from xcodec.training.generators.xcodec2 import encode
from xcodec.training.losses.pitch import PitchTracker

RATE = 16_000
OVERLAP = 4  # of frames, in hops
FUNDAMENTAL = 480  # samples of the window that hears the fundamental alone
ROUNDS = 32  # of Griffin-Lim


def reconstructions(codec: Codec, recording: Tensor) -> dict[str, Tensor]:
    """Make what a model decodes of (samples,), whole codes, first what it decodes of its codes: (samples,) each."""
    model = codec.model
    if isinstance(model, XcodecModel):
        return of_residual_codes(model, recording)
    latents = encode(model, recording[None]).fused
    projected = model.quantizer.project(latents)
    rounded, _ = model.quantizer.round(projected, latents.dtype)
    bounded = model.quantizer.bound(model.quantizer.bound(projected.float()))
    half = torch.tensor(model.quantizer.levels) // 2
    decoded = model.acoustic_decoder(rounded)[0, 0]
    not_rounded = model.acoustic_decoder(model.quantizer.project_out(bounded / half))[0, 0]
    made = {"decoded": decoded, "decoded, latents not rounded": not_rounded}
    return made | of_recorded_pitch(model, rounded, recording)


def of_residual_codes(model: XcodecModel, recording: Tensor) -> dict[str, Tensor]:
    """Do the same for X-Codec, at each of its bandwidths."""
    latents = latents_of(model, recording)

    def decoded(latents: Tensor) -> Tensor:
        if isinstance(model, XcodecVocosModel):
            return model.acoustic_decoder(latents)[0, 0]
        return model.acoustic_decoder(model.fc2(latents).transpose(1, 2))[0, 0]

    quantized = {
        rate: model.quantizer.decode(model.quantizer.encode(latents, model.num_quantizers_at(rate)))
        for rate in reversed(model.bandwidths)
    }
    made = {f"decoded, {rate:g} kbit/s": decoded(each) for rate, each in quantized.items()}
    made["decoded, latents not quantized"] = decoded(latents)
    return made | of_recorded_pitch(model, quantized[model.bandwidths[-1]], recording)


def of_recorded_pitch(model: CodecModel, latents: Tensor, recording: Tensor) -> dict[str, Tensor]:
    """Make what a decoder with a source of harmonics makes by the recording's pitch; nothing of another decoder."""
    head = getattr(model.acoustic_decoder, "head", None)
    if not isinstance(head, HarmonicHead):
        return {}
    pitch, _ = PitchTracker(RATE, head.hop_length)(recording[None])
    hidden, _ = model.acoustic_decoder.hidden(latents)
    steps = head.source.scale_steps(pitch)
    made = head.voiced(hidden, steps)[0, 0]
    led = copy.copy(head)
    led.source = LedPulses(head.source, steps, made.numpy(), recording.numpy())
    return {"decoded, recorded pitch": made, "decoded, recorded pitch and phase": led.voiced(hidden, steps)[0, 0]}


class LedPulses(PulseTrain):
    """Pulses of a source, moved at each step by as much as a recording's fundamental lies elsewhere than what was made.

    Args:
        source: whose.
        steps: of the pitch that it had, (1, steps).
        made: samples that were made by that.
        recording: as many.
    """

    def __init__(self, source: PulseTrain, steps: Tensor, made: np.ndarray, recording: np.ndarray) -> None:
        self.__dict__.update(source.__dict__)
        self.moved = torch.zeros((1, steps.shape[1], 1), dtype=torch.int64)
        begun = np.cumsum([0.0, *(self.turns(steps)[0] / PERIOD).tolist()])
        carrier = np.exp(-2j * np.pi * np.interp(np.arange(len(made)) / self.hop_length, np.arange(len(begun)), begun))
        fundamentals = (smooth(each * carrier, FUNDAMENTAL) for each in (recording, made))
        apart = smooth(next(fundamentals) * next(fundamentals).conj(), self.hop_length)
        offsets = np.unwrap(np.angle(apart))[:: self.hop_length] / (2 * np.pi) * PERIOD
        offsets[0] = 0.0  # where a clip begins the phase is 0
        moved = np.diff(offsets, append=offsets[-1]) / self.hop_length
        self.moved = torch.from_numpy(moved.round().astype(np.int64))[None, :, None]

    def _increments(self, pitch: Tensor, lengths: Tensor | None) -> Tensor:
        return super()._increments(pitch, lengths) + self.moved


def smooth(signal: np.ndarray, width: int) -> np.ndarray:
    """Average by a window of so many samples."""
    window = np.hanning(width + 2)
    return np.convolve(signal, window / window.sum(), "same")


def variants(codec: Codec, recording: Tensor) -> dict[str, Tensor]:
    """Make what is to be measured of (samples,), whole codes: (samples,) each."""
    made = reconstructions(codec, recording)
    decoded = next(iter(made.values()))
    hop = round(codec.output_sampling_rate / codec.frame_rate)
    n_fft = OVERLAP * hop
    window = torch.hann_window(n_fft)
    ours, theirs = (torch.stft(x, n_fft, hop, window=window, return_complex=True) for x in (decoded, recording))

    def joined(magnitudes: Tensor, phases: Tensor) -> Tensor:
        return torch.istft(
            torch.polar(magnitudes.abs(), phases.angle()), n_fft, hop, window=window, length=len(recording)
        )

    phases = torch.polar(torch.ones(ours.shape), 2 * torch.pi * torch.rand(ours.shape))
    for _ in range(ROUNDS):
        phases = torch.stft(joined(ours, phases), n_fft, hop, window=window, return_complex=True)
    return made | {
        "decoded magnitudes, recorded phases": joined(ours, theirs),
        "recorded magnitudes, decoded phases": joined(theirs, ours),
        "decoded magnitudes, Griffin-Lim": joined(ours, phases),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--model", default=None, help="an X-Codec2 or X-Codec of 16 kHz; mini, if not given")
    arguments = parser.parse_args()
    codec = Codec.from_pretrained(arguments.model, pack=False)
    codec.model.float()
    torch.manual_seed(0)
    scores: dict[str, list[tuple[float, float]]] = {}
    measures: list[Callable[[np.ndarray, np.ndarray], float]] = [
        lambda x, y: float(stoi(x, y, RATE)),
        lambda x, y: float(pesq(RATE, x, y, "wb")),
    ]
    paths = [path for each in arguments.recordings for path in (sorted(media_files(each)) if each.is_dir() else [each])]
    for path in paths:
        samples = Audio.read(path).mono().resample(RATE).samples[0]
        recording = torch.from_numpy(samples[: len(samples) // codec.model.hop_length * codec.model.hop_length].copy())
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, made in variants(codec, recording).items():
                stoi_score, pesq_score = (measure(recording.numpy(), made.numpy()) for measure in measures)
                scores.setdefault(name, []).append((stoi_score, pesq_score))
    print(f"{len(paths)} recordings\n\n| | STOI | PESQ-WB |\n|---|---|---|")
    for name, found in scores.items():
        print("| {} | {:.3f} | {:.2f} |".format(name, *np.mean(found, axis=0)))


if __name__ == "__main__":
    main()
