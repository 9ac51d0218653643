"""X-Codec2's decoder in training: samples, and the magnitudes that its head asked for on the way."""

from torch import Tensor

from xcodec.models.xcodec2.decoder import AcousticDecoder
from xcodec.modules.istft import ISTFTHead
from xcodec.training.losses.magnitude import log_magnitude

__all__ = ["head_loss", "synthesize"]


def synthesize(decoder: AcousticDecoder, quantized: Tensor) -> tuple[Tensor, Tensor]:
    """Decode quantized latents (clips, codes, quantization_dim).

    Returns:
        float32 samples (clips, samples), and the log-magnitudes (clips, steps, bins) that were transformed to them.
    """
    hidden, _ = decoder.hidden(quantized)
    spectrum = decoder.head.linear(hidden)
    return decoder.head.samples(spectrum), spectrum.float().chunk(2, -1)[0]


def head_loss(head: ISTFTHead, log_magnitudes: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute error of the head's log-magnitudes against those of the recordings (clips, samples)."""
    return (log_magnitudes - log_magnitude(target, head.n_fft, head.hop_length)).abs().mean()
