"""The quantizer: every code has its place, and the quirks that checkpoints depend on are there."""

import pytest
import torch

from xcodec.quantizers.fsq import FSQ


@pytest.mark.parametrize("levels", [(4,) * 8, (8, 5, 5, 5), (3, 3), (2, 2, 2)])
def test_a_decoded_code_quantizes_to_itself_and_every_code_is_reached(levels):
    fsq = FSQ(len(levels), levels)
    for projection in (fsq.project_in, fsq.project_out):
        projection.weight.copy_(torch.eye(len(levels)))
        projection.bias.zero_()
    codes = torch.arange(fsq.codebook_size)[None]
    half = torch.tensor(levels) // 2
    targets = fsq.decode(codes) * half  # the level values, integers
    assert torch.equal(targets, targets.round())
    assert torch.equal(((targets + half).long() * fsq._basis(codes.device)).sum(-1), codes)
    assert torch.equal(fsq.digits(codes).amax((0, 1)) + 1, torch.tensor(levels))


def test_the_first_dimension_is_the_least_significant_digit():
    fsq = FSQ(4, (4, 4))
    assert fsq.digits(torch.tensor([1, 4, 15])).tolist() == [[1, 0], [0, 1], [3, 3]]


def test_the_bound_is_applied_twice():
    """An inherited quirk: an input of 0 lands on digit 2 (value 0); only far inputs reach the outer levels."""
    fsq = FSQ(1, (4,))
    fsq.project_in.weight.fill_(1.0)
    fsq.project_in.bias.zero_()
    z = torch.linspace(-4, 4, 801)[None, :, None]
    expected = fsq.bound(fsq.bound(z)).round() + 2
    once = fsq.bound(z).round() + 2
    codes = fsq(z)[1]
    assert torch.equal(codes, expected[..., 0].long())
    assert not torch.equal(codes, once[..., 0].long())


@pytest.mark.gradients
def test_gradients_pass_straight_through_the_rounding():
    fsq = FSQ(16, (4,) * 4)
    x = torch.randn(1, 5, 16, requires_grad=True)
    fsq(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0


def test_codes_are_computed_in_float32_whatever_the_dtype():
    fsq = FSQ(16, (4,) * 8).bfloat16()
    latents, codes = fsq(torch.randn(2, 7, 16, dtype=torch.bfloat16))
    assert latents.dtype == torch.bfloat16
    assert codes.dtype == torch.int64
    assert torch.equal(fsq.decode(codes), latents)
