"""Decoders with a head in training: samples, and what their heads were asked for on the way."""

from torch import Tensor, nn

from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.models.xcodec_vocos import XcodecVocosModel
from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.training.data.batch import Batch
from xcodec.training.losses.magnitude import log_magnitude
from xcodec.training.losses.pitch import PitchTracker, pitch_loss
from xcodec.training.sections import LossRecipe

__all__ = ["Synthesis"]


class Synthesis:
    """Decodes latents, and computes the losses that look into a decoder's head.

    Args:
        model: whose decoder.
        loss: which terms are wanted.

    Attributes:
        pitch_tracker: what tells the pitch that a source of harmonics has; None where there is no such source.
    """

    def __init__(self, model: Xcodec2Model | XcodecVocosModel, loss: LossRecipe) -> None:
        self.loss = loss
        harmonic = isinstance(model.acoustic_decoder.head, HarmonicHead)
        rate, hop_length = model.output_sampling_rate, model.config.output_hop_length
        self.pitch_tracker = PitchTracker(rate, hop_length) if harmonic else None

    def __call__(self, decoder: nn.Module, latents: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode.

        Args:
            decoder: the model's.
            latents: (clips, codes, width of the quantized latents).
            batch: of the recordings; with their pitch where the decoder has a source of harmonics.

        Returns:
            float32 samples (clips, samples), and the head's terms. A source of harmonics has the recordings' pitch, so
            that its filters learn from harmonics that are where they should be.
        """
        head: nn.Module = decoder.head  # type: ignore[assignment]
        if isinstance(head, HarmonicHead):
            return self._voiced(head, decoder.hidden(latents)[0], batch)  # type: ignore[operator]
        if not self.loss.head:
            return decoder(latents)[:, 0], {}
        assert isinstance(head, ISTFTHead), "recipes ask it of no other"
        hidden, _ = decoder.hidden(latents)  # type: ignore[operator]
        spectrum = head.linear(hidden)
        asked = spectrum.float().chunk(2, -1)[0]
        wanted = log_magnitude(batch.target, head.n_fft, head.hop_length)
        return head.samples(spectrum), {"head": (asked - wanted).abs().mean()}

    def _voiced(self, head: HarmonicHead, hidden: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.pitch is not None, "the trainer's batches have what `pitch_tracker` tells"
        pitch, voicing = batch.pitch
        audio = head.voiced(hidden, head.source.scale_steps(pitch))[:, 0]
        if not self.loss.pitch:
            return audio, {}
        return audio, {"pitch": pitch_loss(head.pitch, head.pitch(hidden), pitch, voicing)}
