"""The residual quantizer: each code is the nearest, each codebook takes what is left, and the first k are a stream."""

import pytest
import torch

from xcodec.quantizers.rvq import Codebook, ResidualVectorQuantizer


@pytest.fixture
def rvq() -> ResidualVectorQuantizer:
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(dim=6, codebook_size=64, num_quantizers=5)
    for i, codebook in enumerate(quantizer.codebooks):
        codebook.embed.normal_(std=0.6**i)
    return quantizer


@pytest.fixture
def latents() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 50, 6)


def test_the_nearest_code_is_chosen_even_far_from_the_origin():
    torch.manual_seed(0)
    codebook = Codebook(256, 8)
    codebook.embed.normal_().add_(30.0)
    x = 30.0 + torch.randn(2, 40, 8)
    expected = (x.double()[:, :, None] - codebook.embed.double()).square().sum(-1).argmin(-1)
    assert torch.equal(codebook.encode(x), expected)
    assert expected.unique().numel() > 40


def test_every_code_vector_is_its_own_code(rvq):
    for codebook in rvq.codebooks:
        assert torch.equal(codebook.encode(codebook.embed), torch.arange(64))


def test_each_codebook_takes_what_is_left(rvq, latents):
    codes = rvq.encode(latents)
    assert (codes.shape, codes.dtype) == ((3, 5, 50), torch.int64)
    residual = latents
    for k, codebook in enumerate(rvq.codebooks):
        assert torch.equal(codes[:, k], torch.cdist(residual, codebook.embed[None]).argmin(-1))
        residual = residual - codebook.embed[codes[:, k]]
    assert torch.allclose(latents - rvq.decode(codes), residual, atol=1e-5)


def test_the_first_codebooks_of_a_longer_stream_are_a_shorter_stream(rvq, latents):
    codes = rvq.encode(latents)
    errors = []
    for k in range(1, 6):
        assert torch.equal(rvq.encode(latents, k), codes[:, :k])
        errors.append((latents - rvq.decode(codes[:, :k])).square().mean().item())
    assert errors == sorted(errors, reverse=True), "more codebooks, less error"


def test_codes_are_computed_in_float32_whatever_the_dtype(rvq, latents):
    half = rvq.bfloat16()
    assert half.codebooks[0].embed.dtype == torch.bfloat16
    codes = half.encode(latents.bfloat16())
    exact = torch.cdist(latents.bfloat16().double(), half.codebooks[0].embed.double()[None]).argmin(-1)
    assert torch.equal(codes[:, 0], exact)
    assert half.decode(codes).dtype == torch.float32
