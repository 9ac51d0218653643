"""The anti-aliased Snake on GPUs, in one pass over memory: a Triton kernel, without gradients.

Importing this file imports Triton; `snake_operator.py` does where the kernel is to run.

A lane takes CHUNK outputs in a row, and keeps the upsampled signal that they need in registers. snake.cpp gives the
indices of both filters: CHUNK outputs read CHUNK + 5 samples at even and as many at odd places of the upsampled signal,
42 waves for 16 outputs. Taking what neighbouring lanes compute too from them would save 10 of these, and cost a
gather through shared memory for each step by which a filter shifts.

Operations on float32 in the code compiled for compute capability 9.0, a fused product and sum being one: 7 for a sample
of the upsampled signal and 13 for its wave, 42 / 16 of these an output, and 13 for the other filter: 65.5, and
4.5 selections for the clip's ends. Each output on its own, with 12 samples of the upsampled signal, would take 253.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["anti_aliased_snake", "compile_for_this_gpu", "snake_kernel"]

CHUNK = tl.constexpr(16)  # outputs of a lane
REACH = tl.constexpr(3)  # how far either filter looks to each side
LANES = tl.constexpr(128)  # of a program; one of each thread's
WARPS = 4


@triton.jit
def read_eight(x, first, time, step):
    """Steps first to first + 7 of every lane, a tuple of float32; zeros where there is no memory."""
    at = first[:, None] + tl.arange(0, 8)[None, :]
    # Masked as eight steps are in a row: compared with each clip's own length they would be read one by one.
    values = tl.load(x[:, None] + at.to(tl.int64) * step, mask=(at >= 0) & (at < time), other=0.0).to(tl.float32)
    # Split by the lowest bit of the step's number, then by the next.
    even, odd = tl.split(tl.reshape(values, (values.shape[0], 2, 2, 2)))
    s04, s26 = tl.split(even)
    s15, s37 = tl.split(odd)
    s0, s4 = tl.split(s04)
    s1, s5 = tl.split(s15)
    s2, s6 = tl.split(s26)
    s3, s7 = tl.split(s37)
    return s0, s1, s2, s3, s4, s5, s6, s7


@triton.jit
def join_eight(s0, s1, s2, s3, s4, s5, s6, s7):
    """Return what `read_eight` split, with the steps as the last three dimensions, each of 2."""
    return tl.join(tl.join(tl.join(s0, s4), tl.join(s2, s6)), tl.join(tl.join(s1, s5), tl.join(s3, s7)))


@triton.jit
def wave(u, high, low, gain):
    """Give u + gain * sin^2(alpha u), as snake.cpp does: alpha / pi is high + low, and whole turns go unrounded."""
    magic = 12582912.0  # 1.5 * 2^23: what is added to it is rounded to a whole number
    turns = (u * high + magic) - magic
    r = tl.fma(u, low, tl.fma(u, high, -turns))
    square = tl.minimum(r * r, 0.31640625)
    p = tl.fma(square, -3.2729461193084717, 12.990730285644531)
    p = tl.fma(p, square, -30.085952758789062)
    p = tl.fma(p, square, 42.72538375854492)
    p = tl.fma(p, square, -32.469581604003906)
    p = tl.fma(p, square, 9.869603157043457)
    return tl.fma(gain, p * square, u)


@triton.jit
def snake_kernel(
    x, y, alpha, gain, lengths, f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11,
    batch, channels, time, x_clip, x_channel, x_step, y_clip, y_channel, y_step,
):  # fmt: skip
    """Run one program: LANES lanes, numbered by chunk, then channel, then clip, so that neighbours are so in time."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    chunks = tl.cdiv(time, CHUNK)
    clip = lane // chunks // channels
    channel = lane // chunks % channels
    start = lane % chunks * CHUNK
    is_lane = clip < batch
    clip = tl.minimum(clip, batch - 1)  # what the last program has too many reads the last clip, and writes nothing
    n = time if lengths is None else tl.minimum(tl.load(lengths + clip).to(tl.int32), time)
    x_row = x + clip.to(tl.int64) * x_clip + channel.to(tl.int64) * x_channel
    y_row = y + clip.to(tl.int64) * y_clip + channel.to(tl.int64) * y_channel
    turns = tl.load(alpha + channel).to(tl.float64) * 0.3183098861837907
    high = turns.to(tl.float32)
    low = (turns - high.to(tl.float64)).to(tl.float32)
    height = tl.load(gain + channel)

    # Steps start - 8 to start + 23, the clip's first and last one repeated outside it.
    read = read_eight(x_row, start - 8, time, x_step) + read_eight(x_row, start, time, x_step)
    read = read + read_eight(x_row, start + 8, time, x_step) + read_eight(x_row, start + 16, time, x_step)
    c = ()
    for i in tl.static_range(2 * CHUNK):
        if i < 8:
            c = c + (tl.where(start == 0, read[8], read[i]),)
        else:
            c = c + (tl.where(start + (i - 8) < n, read[i], c[i - 1]),)

    evens, odds = (), ()  # from start - REACH on
    last = tl.zeros_like(height)
    for i in tl.static_range(CHUNK + 2 * REACH):
        e = f1 * c[i + 7] + f3 * c[i + 6] + f5 * c[i + 5] + f7 * c[i + 4] + f9 * c[i + 3] + f11 * c[i + 2]
        o = f0 * c[i + 8] + f2 * c[i + 7] + f4 * c[i + 6] + f6 * c[i + 5] + f8 * c[i + 4] + f10 * c[i + 3]
        is_inside = start + (i - REACH) < n  # else the last sample, which is at an odd place, is repeated
        e = tl.where(is_inside, wave(2 * e, high, low, height), last)
        last = tl.where(is_inside, wave(2 * o, high, low, height), last)
        evens = evens + (e,)
        odds = odds + (last,)

    e, o = (), ()
    for i in tl.static_range(CHUNK + 2 * REACH):
        if i < REACH:  # before the clip the first sample, which is at an even place, is repeated
            e = e + (tl.where(start == 0, evens[REACH], evens[i]),)
            o = o + (tl.where(start == 0, evens[REACH], odds[i]),)
        else:
            e = e + (evens[i],)
            o = o + (odds[i],)

    s = ()
    for i in tl.static_range(CHUNK):
        s = s + (
            f1 * e[i + 1] + f3 * e[i + 2] + f5 * e[i + 3] + f7 * e[i + 4] + f9 * e[i + 5] + f11 * e[i + 6]
            + (f0 * o[i] + f2 * o[i + 1] + f4 * o[i + 2] + f6 * o[i + 3] + f8 * o[i + 4] + f10 * o[i + 5]),
        )  # fmt: skip
    even = join_eight(s[0], s[2], s[4], s[6], s[8], s[10], s[12], s[14])
    odd = join_eight(s[1], s[3], s[5], s[7], s[9], s[11], s[13], s[15])
    values = tl.reshape(tl.join(even, odd), (LANES, CHUNK))
    at = start[:, None] + tl.arange(0, CHUNK)[None, :]
    values = tl.where(at < (n if lengths is None else n[:, None]), values, 0.0).to(y.dtype.element_ty)
    tl.store(y_row[:, None] + at.to(tl.int64) * y_step, values, mask=(at < time) & is_lane[:, None])


OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": True}


def anti_aliased_snake(x: Tensor, alpha: Tensor, gain: Tensor, taps: list[float], lengths: Tensor | None) -> Tensor:
    """Run the kernel; arguments and result are those of `snake_operator.anti_aliased_snake_planar`, unchecked."""
    y = torch.empty_like(x)
    batch, channels, time = x.shape
    if y.numel():
        programs = triton.cdiv(batch * channels * triton.cdiv(time, CHUNK.value), LANES.value)
        sizes = (batch, channels, time, *x.stride(), *y.stride())
        with torch.cuda.device_of(x):
            snake_kernel[(programs,)](x, y, alpha, gain, lengths, *taps, *sizes, **OPTIONS)
    return y


def compile_for_this_gpu() -> None:
    """Compile the kernel and launch nothing: an exception where Triton lacks a driver, a C compiler or this GPU."""
    numbers = (*[0.5] * 12, 1, 1, 16, 16, 16, 1, 16, 16, 1)
    snake_kernel.warmup(*[torch.float32] * 4, None, *numbers, grid=(1,), **OPTIONS)
