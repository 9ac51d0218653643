"""X-Codec's decoder over a stream: convolutions alone, so that a window needs no more of the past than they reach."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xcodec.models.xcodec.modeling import XcodecModel

__all__ = ["Past", "decode_onwards"]


@dataclass
class Past:
    """What is kept of the final frames of one stream.

    Attributes:
        codes: the last frames that the convolutions reach, (codebooks, frames).
    """

    codes: Tensor

    @property
    def shape(self) -> torch.Size:
        """What streams that can be a batch have in common."""
        return self.codes.shape


def decode_onwards(
    model: XcodecModel,
    codes: Tensor,
    pasts: Sequence[Past | None],
    num_final: int,
    context: int | None,  # noqa: ARG001
) -> tuple[Tensor, list[Past]]:
    """Decode the next window of several streams.

    Args:
        model: the codec.
        codes: the frames after those of `pasts`, integers (batch, codebooks, frames).
        pasts: of each stream, all of one `num_known`, or None for those that begin.
        num_final: how many of the frames become part of the past.
        context: plays no part: there is no attention.

    Returns:
        float32 samples of all these frames, (batch, samples), and what the next window needs of each stream.
    """
    halo = model.acoustic_decoder.halo
    shown = torch.cat([torch.stack([codes[0, :, :0] if past is None else past.codes for past in pasts]), codes], 2)
    num_known = shown.shape[2] - codes.shape[2]
    end = num_known + num_final
    after = [Past(own[:, max(0, end - halo) : end].clone()) for own in shown]
    samples = model.decode(shown, return_dict=False)[:, 0].float()
    return samples[:, num_known * (samples.shape[1] // shown.shape[2]) :], after
