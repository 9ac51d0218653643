"""The head that makes a hop of samples of each decoder state, by one linear layer and no transform."""

from torch import Tensor, nn

from xcodec.modules.lengths import valid_steps
from xcodec.modules.linear import Linear
from xcodec.modules.time import WHOLE, Time

__all__ = ["LinearHead"]


class LinearHead(nn.Module):
    """The samples of a step are those of its state alone: nothing overlaps, so none has to be waited for.

    Args:
        hidden_size: width of the input.
        hop_length: samples per input step.
    """

    def __init__(self, hidden_size: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.proj = Linear(hidden_size, hop_length, bias=False)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Make samples.

        Args:
            x: shape (batch, time, hidden_size).
            time: of `x`.

        Returns:
            float32 samples of shape (batch, 1, time * hop_length), within full scale, zeros past each clip's end.
        """
        width = max(x.shape[2], self.hop_length)
        return time.map(self._samples, x, up=self.hop_length, width=width)[:, None]

    def _samples(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        samples = self.proj(x).float().tanh()
        if lengths is not None:
            samples = samples.masked_fill(~valid_steps(lengths, x.shape[1])[..., None], 0.0)
        return samples.flatten(1)
