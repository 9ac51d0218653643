// What Snake's kernels share: a call, the tiles that it is divided into, the wave, and how rows are read and written.
#pragma once

#include <stdint.h>

namespace xcodec {

constexpr int64_t BLOCK = 16;                  // channels that go through the cache together
constexpr int64_t TILE = 128;                  // steps of time per tile
constexpr int64_t REACH = 3;                   // how far either filter looks to each side
constexpr int64_t CHUNK = 256;                 // channels per task, a multiple of BLOCK
constexpr int64_t ROWS = TILE + 6 * REACH;     // of a buffer: a tile, the reach of both filters, what folds at the ends
constexpr int64_t SCRATCH = 5 * ROWS * BLOCK;  // floats that one thread needs

// One call: what every tile reads. Per-channel arrays are padded with zeros to a multiple of BLOCK.
struct Job {
  const void* x;            // (batch, time, channels), float32 or bfloat16
  const void* grad;         // gradient of the output, like x; backward only
  void* out;                // the output, or the gradient of x; like x
  const float* turns_high;  // alpha / pi, rounded
  const float* turns_low;   // what that rounding left
  const float* alpha;
  const float* gain;
  const float* taps;       // 12, or null: no filters, Snake alone
  const int64_t* lengths;  // valid steps of each clip, or null
  float* partial;          // (batch, tiles, 2, padded channels): gradients of alpha and gain; backward only
  int64_t batch, time, channels;
  int64_t threads;  // that take tiles in turn, if there is work for all
  bool bfloat16;
};

struct Tile {
  int64_t clip, index, first_channel, last_channel;
};

using TileFunction = void (*)(const Job&, const Tile&, float* scratch);

#define XCODEC_DECLARE(variant)                                    \
  void forward_##variant(const Job&, const Tile&, float* scratch); \
  void backward_##variant(const Job&, const Tile&, float* scratch);
XCODEC_DECLARE(baseline)
XCODEC_DECLARE(avx2)
XCODEC_DECLARE(avx512)
XCODEC_DECLARE(avx512bf16)
XCODEC_DECLARE(neon)
XCODEC_DECLARE(neonbf16)

}  // namespace xcodec

#ifdef XCODEC_VARIANT

#include "vectors.h"

namespace xcodec {
namespace {

// How far u * alpha is from the nearest multiple of pi, in units of pi; about [-0.5, 0.5].
//
// Rounding u * alpha first, as a sine of a product must, loses |u * alpha| * 2^-24. Here the product with
// alpha / pi = high + low is formed without rounding until the whole turns are gone, so large arguments lose nothing.
inline Vec fraction_of_turn(Vec u, Vec high, Vec low) {
  const Vec turns = nearest(u * high);
  if constexpr (FUSES) return fused(u, low, fused(u, high, -turns));
  const Bits upper_half = Bits{} + (int32_t)0xfffff000;  // 12 bits times 12 bits is exact in float32
  const Vec u_upper = (Vec)((Bits)u & upper_half), high_upper = (Vec)((Bits)high & upper_half);
  const Vec u_lower = u - u_upper, rest = (high - high_upper) + low;
  return ((u_upper * high_upper - turns) + u_lower * high_upper) + u * rest;
}

// sin^2(pi r) for the square of r in [0, 0.25], within 3e-8: a minimax polynomial without constant term.
inline Vec sine_squared(Vec square) {
  Vec p = splat(-3.2729461193084717f);
  p = p * square + 12.990730285644531f;
  p = p * square - 30.085952758789062f;
  p = p * square + 42.72538375854492f;
  p = p * square - 32.469581604003906f;
  p = p * square + 9.869603157043457f;
  return p * square;
}

// sin(2 pi r) for r in [-0.5, 0.5] and its square, within 7e-8.
inline Vec sine_of_double(Vec r, Vec square) {
  Vec p = splat(3.1996936798095703f);
  p = p * square - 14.868611335754395f;
  p = p * square + 42.01616668701172f;
  p = p * square - 76.70155334472656f;
  p = p * square + 81.60502624511719f;
  p = p * square - 41.341697692871094f;
  p = p * square + 6.2831854820251465f;
  return p * r;
}

// r^2, where the rounded number of turns may be half a turn and a little away: up to 0.5625 below 2^21 turns, where the
// polynomials still hold within 3e-6. Beyond, float32 has no fractions of turns left; the bound keeps sin^2 in [0, 1].
inline Vec square_of(Vec r) { return at_most(r * r, splat(0.31640625f)); }

// Copy `count` (at most BLOCK) channels of one row; channels past `count` become zero.
template <typename Number>
inline void read_row(const Number* row, int64_t count, float* out) {
  Number padded[BLOCK] = {};
  if (count < BLOCK) {
    for (int64_t c = 0; c < count; c++) padded[c] = row[c];
    row = padded;
  }
  for (int64_t lane = 0; lane < BLOCK; lane += LANES) store(out + lane, widen(row + lane));
}
template <typename Number>
inline void write_row(Number* row, int64_t count, const Vec* values) {
  Number padded[BLOCK];
  Number* target = count < BLOCK ? padded : row;
  for (int64_t lane = 0; lane < BLOCK; lane += LANES) narrow(target + lane, values[lane / LANES]);
  if (count < BLOCK) {
    for (int64_t c = 0; c < count; c++) row[c] = padded[c];
  }
}

// What a tile covers of its clip: the steps [begin, end) of `length` valid ones, in rows of `stride` numbers.
template <typename Number>
struct Span {
  int64_t length, stride, begin, end;
  const Number* x;
  Number* out;
  // Also writes zeros to what the tile holds past the clip's end.
  Span(const Job& job, const Tile& tile) : stride(job.channels), begin(tile.index * TILE) {
    length = job.lengths ? at_least(at_most(job.lengths[tile.clip], job.time), 0) : job.time;
    const int64_t tile_end = at_most(begin + TILE, job.time), clip = tile.clip * job.time * stride;
    end = at_most(tile_end, length);
    x = (const Number*)job.x + clip;
    out = (Number*)job.out + clip;
    for (int64_t t = at_least(begin, length); t < tile_end; t++)
      memset(out + t * stride + tile.first_channel, 0, (tile.last_channel - tile.first_channel) * sizeof(Number));
  }
  bool is_empty() const { return end <= begin; }
};

// The sums over a tile that become the gradients of alpha and gain; they start as zeros.
struct Sums {
  float *d_alpha, *d_gain;
  Sums(const Job& job, const Tile& tile) {
    const int64_t padded = (job.channels + BLOCK - 1) / BLOCK * BLOCK, tiles = (job.time + TILE - 1) / TILE;
    d_alpha = job.partial + (tile.clip * tiles + tile.index) * 2 * padded;
    d_gain = d_alpha + padded;
  }
};

}  // namespace
}  // namespace xcodec

#endif
