"""Where training from nothing begins.

The released recipe draws every weight with a standard deviation of 0.02, which starves a narrow model of signal. Here
each layer keeps the variance of what passes through it, and two places look at the first batch: the quantizer, so that
its codes start out all different, and the head, so that its magnitudes start out at the level of speech. A linear head
starts out there by its scale.
"""

import math

import torch
from torch import Tensor, nn

from xcodec.modules.harmonic_head import HarmonicHead
from xcodec.modules.istft import ISTFTHead
from xcodec.modules.linear_head import LinearHead
from xcodec.quantizers.fsq import FSQ
from xcodec.training.losses.magnitude import log_magnitude

__all__ = ["HEAD_BIAS", "initialize", "initialize_head", "initialize_quantizer"]


WINDOW_POWER = 3 / 8  # of a Hann window's samples
SPEECH_LEVEL = 0.05  # of full scale
HEAD_BIAS = "acoustic_decoder.head.linear.bias"
RESIDUAL_ENDS = (
    "o_proj.weight",
    "lookahead.proj.weight",
    "fc2.weight",
    "conv2.weight",
    "output_dense.weight",
    "linear_out.weight",
)
NO_RESIDUAL_ENDS = ("acoustic_encoder.conv2", "acoustic_decoder.conv2", "decoder_semantic.conv2", "semantic_adapter")


@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Draw the weights of every convolution and linear layer anew, and halve the last layer of each residual."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear | nn.ConvTranspose1d):
            fan_in = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose1d):  # each output sees a part of the kernel
                fan_in = module.in_channels * module.kernel_size[0] // module.stride[0]
            module.weight.normal_(0.0, fan_in**-0.5)
            if module.bias is not None:
                module.bias.zero_()
    for name, parameter in model.named_parameters():
        if name.endswith(RESIDUAL_ENDS) and not name.startswith(NO_RESIDUAL_ENDS):
            parameter.mul_(0.5)
    for module in model.modules():
        if isinstance(module, ISTFTHead | HarmonicHead):
            module.linear.weight.mul_(0.3)
        elif isinstance(module, LinearHead):
            module.proj.weight.mul_(SPEECH_LEVEL)


@torch.no_grad()
def initialize_quantizer(quantizer: FSQ, latents: Tensor) -> None:
    """Let codes tell the principal components of latents (clips, codes, quantization_dim), and tell them back.

    What is rounded has zero mean and unit variance, and no two dimensions tell the same.
    """
    latents = latents.flatten(0, 1).double()
    mean = latents.mean(0)
    components = torch.linalg.svd(latents - mean, full_matrices=False).Vh[: len(quantizer.levels)]
    deviation = ((latents - mean) @ components.T).std(0).clamp(min=1e-3)  # in silence all latents are one
    quantizer.project_in.weight.copy_(components / deviation[:, None])
    quantizer.project_in.bias.copy_(-(mean @ components.T) / deviation)
    quantizer.project_out.weight.copy_(components.T * deviation)
    quantizer.project_out.bias.copy_(mean)


@torch.no_grad()
def initialize_head(head: ISTFTHead | HarmonicHead, target: Tensor) -> None:
    """Fit the head's biases to recordings (clips, samples)."""
    bins = head.n_fft // 2 + 1
    if isinstance(head, HarmonicHead):  # half of what is heard is to come from the harmonics, half from the noise
        level = math.log(2 * head.n_fft * WINDOW_POWER) / 2
        head.linear.bias.copy_((log_magnitude(target, head.n_fft, head.filter_hop).mean((0, 1)) - level).repeat(2))
        return
    head.linear.bias[:bins] = log_magnitude(target, head.n_fft, head.hop_length).mean((0, 1))
    # A frame of zero phase peaks at its first sample, where the window is zero; turning each odd bin by half a turn
    # moves the peak to the frame's middle.
    head.linear.bias[bins:] = math.pi * (torch.arange(bins) % 2)
