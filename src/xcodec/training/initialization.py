"""Where training from nothing begins.

The released recipe draws every weight with a standard deviation of 0.02, which starves a narrow model of signal. Here
each layer keeps the variance of what passes through it, and two places look at the first batch: the quantizer, so that
its codes start out all different, and the head, so that its magnitudes start out at the level of speech.
"""

import math

import torch
from torch import Tensor, nn

from xcodec.models.xcodec2 import Xcodec2Model
from xcodec.training.forward import fused_latents
from xcodec.training.losses import log_magnitude

__all__ = ["initialize", "initialize_from_batch"]


@torch.no_grad()
def initialize(model: Xcodec2Model) -> None:
    """Draw the weights of every convolution and linear layer anew, and halve the last layer of each residual."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0.0, fan_in**-0.5)
            if module.bias is not None:
                module.bias.zero_()
    residual_ends = ("o_proj.weight", "fc2.weight", "conv2.weight", "output_dense.weight", "linear_out.weight")
    for name, parameter in model.named_parameters():
        if name.endswith(residual_ends) and not name.startswith(("acoustic_encoder.conv2", "semantic_adapter")):
            parameter.mul_(0.5)
    model.acoustic_decoder.head.linear.weight.mul_(0.3)


@torch.no_grad()
def initialize_from_batch(model: Xcodec2Model, waveform: Tensor) -> None:
    """Fit the quantizer's input and the head's biases to a batch (clips, samples)."""
    projection = model.quantizer.project_in
    latents = fused_latents(model, waveform).float()
    projected = projection(latents).flatten(0, 1)
    deviation = projected.std(0) + 1e-6
    projection.weight.div_(deviation[:, None])
    projection.bias.sub_(projected.mean(0)).div_(deviation)

    head = model.acoustic_decoder.head
    bins = head.n_fft // 2 + 1
    head.linear.bias[:bins] = log_magnitude(waveform, head.n_fft, head.hop_length).mean((0, 1))
    # A frame of zero phase peaks at its first sample, where the window is zero; turning each odd bin by half a turn
    # moves the peak to the frame's middle.
    head.linear.bias[bins:] = math.pi * (torch.arange(bins) % 2)
