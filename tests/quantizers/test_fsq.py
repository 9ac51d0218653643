"""The quantizer: every code has its place, and the quirks that checkpoints depend on are there."""

import pytest
import torch

from xcodec.quantizers.fsq import FSQ


@pytest.mark.parametrize("levels", [(4,) * 8, (8, 5, 5, 5), (3, 3)])
def test_every_code_has_its_place_on_the_grid_and_quantizes_to_itself(levels):
    fsq = FSQ(len(levels), levels)
    for projection in (fsq.project_in, fsq.project_out):
        projection.weight.copy_(torch.eye(len(levels)))
        projection.bias.zero_()
    codes = torch.arange(fsq.codebook_size)[None]
    assert torch.equal(fsq.digits(codes).amax((0, 1)) + 1, torch.tensor(levels))
    grid = fsq.decode(codes)
    far = torch.where(grid == 0, 0.0, grid.sign() * 1e3)  # the bound squashes: only far inputs reach the outer levels
    latents, found = fsq(far)
    outer = ((fsq.digits(codes) == 0) | (fsq.digits(codes) == torch.tensor(levels) - 1)).all(-1)
    assert torch.equal(found[outer], codes[outer])
    assert torch.allclose(fsq.decode(found), latents, atol=1e-6)


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


def test_half_precision_is_bounded_and_rounded_in_float32():
    """Of what bfloat16 gives, the codes are those of float32 arithmetic, not of bfloat16's."""
    torch.manual_seed(0)
    fsq = FSQ(16, (4,) * 8).bfloat16()
    x = torch.randn(8, 500, 16, dtype=torch.bfloat16) * 3
    latents, codes = fsq(x)
    projected = fsq.project_in(x)
    digits = fsq.bound(fsq.bound(projected.float())).round().long() + 2
    assert torch.equal(fsq.digits(codes), digits)
    narrow = fsq.bound(fsq.bound(projected).bfloat16()).bfloat16().round().long() + 2
    assert not torch.equal(digits, narrow), "too few points to tell"
    assert (latents.dtype, codes.dtype) == (torch.bfloat16, torch.int64)
    assert torch.equal(fsq.decode(codes), latents)
