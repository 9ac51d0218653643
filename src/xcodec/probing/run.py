"""The run: clips are encoded by each codec, and every probe looks at what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from xcodec.audio import Audio
from xcodec.errors import InputError, XcodecError
from xcodec.evaluation.clips import Clip
from xcodec.evaluation.evaluation import Evaluation, Failed, Row, SystemResult
from xcodec.evaluation.metric import Missing, Scale
from xcodec.evaluation.summary import Mean
from xcodec.probing.coder import Coder
from xcodec.probing.probe import CodedClip, Probe
from xcodec.probing.usage import uses_of
from xcodec.progress import shares, told_to

__all__ = ["Probing", "probe_codecs"]


@dataclass
class Probing:
    """All that came of a run.

    Args:
        probes: what was asked.
        evaluation: figures of single clips, codec by codec, in the form that `xcodec.evaluation` compares and reports.
        corpus: figures of all clips together: of each codec, by key.
        reasons: why a codec lacks a figure, by key.
    """

    probes: list[Probe]
    evaluation: Evaluation
    corpus: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The codecs' names."""
        return [system.name for system in self.evaluation.systems]

    def figure(self, codec: str, key: str) -> Mean | None:
        """Give a figure: a mean over clips with its interval, or one of all clips together, which has none."""
        system = next(system for system in self.evaluation.systems if system.name == codec)
        mean = system.mean(key)
        if mean is not None or key not in self.corpus[codec]:
            return mean
        return Mean(self.corpus[codec][key], None, None, len(system.rows))

    def scales_of(self, probe: Probe) -> list[Scale]:
        """Give what a probe measured of any codec."""
        return [scale for scale in probe.scales if any(self.figure(name, scale.key) for name in self.names)]

    def left_out(self) -> list[str]:
        """Tell, in a line each, which probes gave a codec no figure at all, and why."""
        lines = []
        for probe in self.probes:
            for name in self.names:
                keys = [scale.key for scale in probe.scales]
                if not any(self.figure(name, key) for key in keys):
                    reasons = dict.fromkeys(self.reasons[name][key] for key in keys if key in self.reasons[name])
                    lines += [f"{probe.name}, {name}: {reason}" for reason in reasons]
        return lines


def probe_codecs(
    clips: Sequence[Clip],
    coders: Sequence[Coder],
    probes: Sequence[Probe],
    missing: Sequence[Missing] = (),
    on_progress: Callable[[float], object] | None = None,
) -> Probing:
    """Probe codecs on the same clips.

    The samples and codes of all clips are in memory, of one codec at a time. A clip that cannot be read or encoded is a
    failure, and keeps no other from being probed.

    Args:
        clips: the recordings.
        coders: the codecs, each of its own name.
        probes: what to measure.
        missing: what cannot be measured, for the report.
        on_progress: called with how much more is done of what counts 1 for each codec. What it raises ends the run.

    Raises:
        InputError: where two codecs have one name.
    """
    names = [coder.name for coder in coders]
    if len(set(names)) < len(names):
        raise InputError(
            f"two codecs are called {max(names, key=names.count)}",
            remedy="give each once, or with settings that differ, as mini:int8 and MODEL@2",
        )
    by_clip: list[Scale] = [scale for probe in probes for scale in probe.scales]
    systems = [SystemResult(coder.name, coder.about, parameters=coder.parameters) for coder in coders]
    levels = {coder.name: coder.levels for coder in coders if coder.levels}
    evaluation = Evaluation(by_clip, list(missing), systems, [], levels=levels)
    result = Probing(list(probes), evaluation)
    with told_to(on_progress, len(coders)):
        for coder, system in zip(shares(list(coders)), systems, strict=True):
            coded = list(_encoded(clips, coder, evaluation))
            _probe(coder, coded, probes, system, result)
    measured = {key for system in systems for row in system.rows for key in row.scores}
    evaluation.scales = [scale for scale in by_clip if scale.key in measured]
    return result


def _encoded(clips: Sequence[Clip], coder: Coder, evaluation: Evaluation) -> "list[CodedClip]":
    """Read and encode the clips; note those that cannot be."""
    coded = []
    for clip in clips:
        try:
            recording = Audio.read(clip.path)
        except XcodecError as error:
            failure = Failed(clip.name, "", str(error))
            evaluation.failures += [] if failure in evaluation.failures else [failure]
            continue
        samples = recording.mono().resample(coder.sampling_rate).samples[0]
        try:
            coded.append(CodedClip(clip, samples, coder.encode_with_latents(samples)))
        except XcodecError as error:
            evaluation.failures.append(Failed(clip.name, coder.name, str(error)))
    return coded


def _probe(
    coder: Coder, clips: Sequence[CodedClip], probes: Sequence[Probe], system: SystemResult, result: Probing
) -> None:
    result.corpus[coder.name], result.reasons[coder.name] = {}, {}
    code_bits = float(np.log2(coder.codebook_sizes).sum())
    rows = {
        clip.clip.name: Row(
            clip.clip.name,
            len(clip.samples) / coder.sampling_rate,
            {},
            {},
            bits=clip.frames * code_bits,
            tokens=clip.coding.ids.size,
        )
        for clip in clips
    }
    system.rows = list(rows.values())
    if not clips:
        return
    system.codebooks = uses_of(coder, clips)
    for probe in shares(list(probes)):
        try:
            findings = probe.measure(coder, clips)
        except XcodecError as error:
            findings = probe.unmeasured(str(error))
        for name, scores in findings.clips.items():
            rows[name].scores.update(scores)
        result.corpus[coder.name] |= findings.corpus
        result.reasons[coder.name] |= findings.reasons
