// Snake, u + gain * sin^2(alpha u), and its gradients; anti-aliased, between upsampling and downsampling by 2, in one pass.
//
// Signals are channels-last, (batch, time, channels), so that neighbouring lanes of a vector are neighbouring channels
// and every tap of a filter is one aligned step in memory. A tile of time is taken through all three steps in a scratch
// buffer that fits the first-level cache: the upsampled signal, twice the input's size, never reaches memory.
//
// This file is compiled once for each instruction set, with XCODEC_VARIANT naming it, and once without: the
// latter is the interface, which picks a variant and runs tiles on threads. What the variants compile has internal
// linkage (and they use no inline function of the standard library), so that the linker cannot give a baseline
// processor code that was compiled for another.
//
// Indices. Write c[i] for the input, e[i] and o[i] for the upsampled signal at 2i and 2i + 1, f for the 12 taps:
//   e[i] = 2 (f1 c[i+2] + f3 c[i+1] + f5 c[i]   + f7 c[i-1] + f9 c[i-2] + f11 c[i-3])
//   o[i] = 2 (f0 c[i+3] + f2 c[i+2] + f4 c[i+1] + f6 c[i]   + f8 c[i-1] + f10 c[i-2])
//   y[i] = f1 e[i-2] + f3 e[i-1] + f5 e[i]   + f7 e[i+1] + f9 e[i+2] + f11 e[i+3]
//        + f0 o[i-3] + f2 o[i-2] + f4 o[i-1] + f6 o[i]   + f8 o[i+1] + f10 o[i+2]
// with c, e and o repeating their first and last value outside the clip: e[0] before it, o[n-1] after it. The two maps
// are each other's transpose, so the gradient takes the same two maps in the same order.

#include <stdint.h>

namespace xcodec {

constexpr int64_t BLOCK = 16;    // channels that go through the cache together
constexpr int64_t TILE = 128;    // steps of time per tile
constexpr int64_t REACH = 3;     // how far either filter looks to each side
constexpr int64_t CHUNK = 256;   // channels per task, a multiple of BLOCK
constexpr int64_t ROWS = TILE + 6 * REACH;  // of a buffer: a tile, the reach of both filters, what folds at the ends
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
  const float* taps;        // 12, or null: no filters, Snake alone
  const int64_t* lengths;   // valid steps of each clip, or null
  float* partial;           // (batch, tiles, 2, padded channels): gradients of alpha and gain; backward only
  int64_t batch, time, channels;
  int64_t threads;  // that take tiles in turn, if there is work for all
  bool bfloat16;
};

struct Tile {
  int64_t clip, index, first_channel, last_channel;
};

using TileFunction = void (*)(const Job&, const Tile&, float* scratch);

#define XCODEC_DECLARE(variant)                                        \
  void forward_##variant(const Job&, const Tile&, float* scratch);     \
  void backward_##variant(const Job&, const Tile&, float* scratch);
XCODEC_DECLARE(avx512bf16)
XCODEC_DECLARE(avx512)
XCODEC_DECLARE(avx2)
XCODEC_DECLARE(baseline)

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // ------------------------------------------------------------- tiles, per instruction set

#include "vectors.h"

namespace xcodec {
namespace {

// How far u * alpha is from the nearest multiple of pi, in units of pi; about [-0.5, 0.5].
//
// Rounding u * alpha first, as a sine of a product must, loses |u * alpha| * 2^-24. Here the product with
// alpha / pi = high + low is formed without rounding until the whole turns are gone, so large arguments lose nothing.
inline Vec fraction_of_turn(Vec u, Vec high, Vec low) {
#if defined(__AVX2__) || defined(__AVX512F__)
  Vec turns = nearest(u * high);
  return fused(u, low, fused(u, high, -turns));
#else
  const Bits upper_half = Bits{} + (int32_t)0xfffff000;  // 12 bits times 12 bits is exact in float32
  Vec u_upper = (Vec)((Bits)u & upper_half), high_upper = (Vec)((Bits)high & upper_half);
  Vec u_lower = u - u_upper, rest = (high - high_upper) + low;
  Vec turns = nearest(u * high);
  return ((u_upper * high_upper - turns) + u_lower * high_upper) + u * rest;
#endif
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

struct Filter {
  Vec even[6], odd[6];  // f1 f3 f5 f7 f9 f11, f0 f2 f4 f6 f8 f10
  Filter(const float* taps, float scale) {
    for (int k = 0; k < 6; k++) {
      odd[k] = splat(scale * taps[2 * k]);
      even[k] = splat(scale * taps[2 * k + 1]);
    }
  }
  // e[i] and o[i] around the row at `c`.
  inline void up(const float* c, Vec& e, Vec& o) const {
    e = even[0] * load(c + 2 * BLOCK);
    o = odd[0] * load(c + 3 * BLOCK);
    for (int k = 1; k < 6; k++) {
      e += even[k] * load(c + (2 - k) * BLOCK);
      o += odd[k] * load(c + (3 - k) * BLOCK);
    }
  }
  // y[i] around the rows at `e` and `o`.
  inline Vec down(const float* e, const float* o) const {
    Vec y = even[0] * load(e - 2 * BLOCK);
    Vec z = odd[0] * load(o - 3 * BLOCK);
    for (int k = 1; k < 6; k++) {
      y += even[k] * load(e + (k - 2) * BLOCK);
      z += odd[k] * load(o + (k - 3) * BLOCK);
    }
    return y + z;
  }
};

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

inline int64_t clip_length(const Job& job, int64_t clip) {
  return job.lengths ? at_least(at_most(job.lengths[clip], job.time), 0) : job.time;
}
inline void zero_rows(float* rows, int64_t count) {
  if (count > 0) memset(rows, 0, count * BLOCK * sizeof(float));
}
template <typename Number>
void zero_steps(Number* base, int64_t first, int64_t last, int64_t stride, const Tile& tile) {
  for (int64_t t = first; t < last; t++)
    memset(base + t * stride + tile.first_channel, 0, (tile.last_channel - tile.first_channel) * sizeof(Number));
}

// Rows [first, last) of a clip of n steps, the first and last step repeated outside it.
template <typename Number>
void read_replicated(const Number* base, int64_t first, int64_t last, int64_t n, int64_t stride, int64_t count,
                     float* out) {
  for (int64_t t = first; t < last; t++, out += BLOCK)
    read_row(base + at_most(at_least(t, 0), n - 1) * stride, count, out);
}
// The same with zeros outside.
template <typename Number>
void read_zero_padded(const Number* base, int64_t first, int64_t last, int64_t n, int64_t stride, int64_t count,
                      float* out) {
  for (int64_t t = first; t < last; t++, out += BLOCK) {
    if (t < 0 || t >= n) zero_rows(out, 1);
    else read_row(base + t * stride, count, out);
  }
}

// Steps of one block of channels lie apart in memory, where the processor does not foresee what is read next: it is told,
// a row of it with each row that is computed.
template <typename Number>
struct Ahead {
  const Number* next;
  int64_t stride;
  // The rows of the tile's next channels, or else what is likely to be the thread's next tile.
  Ahead(const Number* base, const Job& job, const Tile& tile, int64_t c, int64_t first) : stride(job.channels) {
    const bool is_last = c + BLOCK >= tile.last_channel;
    const int64_t step = is_last ? at_most(first + job.threads * TILE, job.time - 1) : at_least(first, 0);
    next = base + step * stride + (is_last ? tile.first_channel : c + BLOCK);
  }
  void fetch() {
    __builtin_prefetch(next);
    next += stride;
  }
};

template <typename Number>
void forward(const Job& job, const Tile& tile, float* scratch) {
  const int64_t n = clip_length(job, tile.clip), stride = job.channels;
  const int64_t begin = tile.index * TILE, tile_end = at_most(begin + TILE, job.time), end = at_most(tile_end, n);
  const Number* x = (const Number*)job.x + tile.clip * job.time * stride;
  Number* y = (Number*)job.out + tile.clip * job.time * stride;
  zero_steps(y, at_least(begin, n), tile_end, stride, tile);
  if (end <= begin) return;

  const Filter up(job.taps, 2.0f), down(job.taps, 1.0f);
  const int64_t first = at_least(begin - REACH, 0), last = at_most(end + REACH, n);  // of the upsampled signal
  float* in = scratch;                 // from first - REACH
  float* even = in + ROWS * BLOCK;  // from begin - REACH
  float* odd = even + ROWS * BLOCK;
  for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
    const int64_t count = at_most(BLOCK, job.channels - c);
    read_replicated(x + c, first - REACH, last + REACH, n, stride, count, in);
    float* e = even + (first - begin + REACH) * BLOCK;
    float* o = odd + (first - begin + REACH) * BLOCK;
    for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
      const Vec high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
      const Vec gain = load(job.gain + c + lane);
      const float* source = in + REACH * BLOCK + lane;
      Ahead ahead(x, job, tile, c, first);
      Number* target = y + first * stride + c;
      for (int64_t row = 0; row < (last - first) * BLOCK; row += BLOCK, target += stride) {
        Vec u, v;
        up.up(source + row, u, v);
        ahead.fetch();
        __builtin_prefetch(target, 1);
        store(e + row + lane, u + gain * sine_squared(square_of(fraction_of_turn(u, high, low))));
        store(o + row + lane, v + gain * sine_squared(square_of(fraction_of_turn(v, high, low))));
      }
    }
    for (int64_t t = begin - REACH; t < first; t++) {
      memcpy(even + (t - begin + REACH) * BLOCK, e, BLOCK * sizeof(float));
      memcpy(odd + (t - begin + REACH) * BLOCK, e, BLOCK * sizeof(float));
    }
    const float* final = odd + (last - 1 - begin + REACH) * BLOCK;
    for (int64_t t = last; t < end + REACH; t++) {
      memcpy(even + (t - begin + REACH) * BLOCK, final, BLOCK * sizeof(float));
      memcpy(odd + (t - begin + REACH) * BLOCK, final, BLOCK * sizeof(float));
    }
    for (int64_t t = begin; t < end; t++) {
      const int64_t row = (t - begin + REACH) * BLOCK;
      Vec values[BLOCK / LANES];
      for (int64_t lane = 0; lane < BLOCK; lane += LANES)
        values[lane / LANES] = down.down(even + row + lane, odd + row + lane);
      write_row(y + t * stride + c, count, values);
    }
  }
}

template <typename Number>
void backward(const Job& job, const Tile& tile, float* scratch) {
  const int64_t n = clip_length(job, tile.clip), stride = job.channels;
  const int64_t begin = tile.index * TILE, tile_end = at_most(begin + TILE, job.time), end = at_most(tile_end, n);
  const int64_t padded = (job.channels + BLOCK - 1) / BLOCK * BLOCK, tiles = (job.time + TILE - 1) / TILE;
  const Number* x = (const Number*)job.x + tile.clip * job.time * stride;
  const Number* grad = (const Number*)job.grad + tile.clip * job.time * stride;
  Number* dx = (Number*)job.out + tile.clip * job.time * stride;
  float* d_alpha = job.partial + (tile.clip * tiles + tile.index) * 2 * padded;
  float* d_gain = d_alpha + padded;
  zero_steps(dx, at_least(begin, n), tile_end, stride, tile);
  if (end <= begin) return;  // `partial` starts as zeros

  const Filter up(job.taps, 2.0f), down(job.taps, 1.0f);
  // The activated signal whose gradient this tile needs, [first, last); the gradients that fold into its outermost
  // values where it touches the clip's ends, [fold_first, fold_last); and the input gradients before their own folding.
  const int64_t first = at_least(begin - REACH, 0), last = at_most(end + REACH, n);
  const int64_t fold_first = first == 0 ? -REACH : first, fold_last = last == n ? n + REACH : last;
  const int64_t out_first = begin == 0 ? -REACH : begin, out_last = end == n ? n + REACH : end;
  float* in = scratch;                 // from first - REACH
  float* back = in + ROWS * BLOCK;  // from fold_first - REACH
  float* even = back + ROWS * BLOCK;  // from out_first - REACH
  float* odd = even + ROWS * BLOCK;
  float* out = odd + ROWS * BLOCK;  // from begin
  const int64_t origin = out_first - REACH;
  for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
    const int64_t count = at_most(BLOCK, job.channels - c);
    read_replicated(x + c, first - REACH, last + REACH, n, stride, count, in);
    zero_rows(even, first - origin);
    zero_rows(odd, first - origin);
    zero_rows(even + (last - origin) * BLOCK, out_last + REACH - last);
    zero_rows(odd + (last - origin) * BLOCK, out_last + REACH - last);
    read_zero_padded(grad + c, fold_first - REACH, fold_last + REACH, n, stride, count, back);
    for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
      Vec before = splat(0.0f), after = splat(0.0f), e, o;
      Ahead ahead(x, job, tile, c, first), ahead_grad(grad, job, tile, c, fold_first);
      for (int64_t t = fold_first; t < fold_last; t++) {
        ahead_grad.fetch();
        down.up(back + (t - fold_first + REACH) * BLOCK + lane, e, o);
        if (t < 0) before += e + o;
        else if (t >= n) after += e + o;
        else {
          store(even + (t - origin) * BLOCK + lane, e);
          store(odd + (t - origin) * BLOCK + lane, o);
        }
      }
      if (first == 0) {
        float* edge = even + (0 - origin) * BLOCK + lane;
        store(edge, load(edge) + before);
      }
      if (last == n) {
        float* edge = odd + (n - 1 - origin) * BLOCK + lane;
        store(edge, load(edge) + after);
      }

      const Vec high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
      const Vec gain = load(job.gain + c + lane), slope = gain * load(job.alpha + c + lane);
      Vec sum_alpha = splat(0.0f), sum_gain = splat(0.0f);
      for (int64_t t = first; t < last; t++) {
        float* at[2] = {even + (t - origin) * BLOCK + lane, odd + (t - origin) * BLOCK + lane};
        Vec u[2];
        up.up(in + (t - first + REACH) * BLOCK + lane, u[0], u[1]);
        ahead.fetch();
        __builtin_prefetch(dx + t * stride + c, 1);
        const bool own = t >= begin && t < end;  // each step's share of the parameters' gradients counts once
        for (int side = 0; side < 2; side++) {
          const Vec r = fraction_of_turn(u[side], high, low), square = square_of(r), g = load(at[side]);
          const Vec sine = sine_of_double(r, square);
          store(at[side], g + g * (slope * sine));
          if (own) {
            sum_alpha += g * (sine * u[side]);
            sum_gain += g * sine_squared(square);
          }
        }
      }
      store(d_alpha + c + lane, sum_alpha * gain);
      store(d_gain + c + lane, sum_gain);

      before = after = splat(0.0f);
      for (int64_t t = out_first; t < out_last; t++) {
        const int64_t row = (t - origin) * BLOCK + lane;
        const Vec value = up.down(even + row, odd + row);
        if (t < 0) before += value;
        else if (t >= n) after += value;
        else store(out + (t - begin) * BLOCK + lane, value);
      }
      if (begin == 0) store(out + lane, load(out + lane) + before);
      if (end == n) {
        float* edge = out + (n - 1 - begin) * BLOCK + lane;
        store(edge, load(edge) + after);
      }
    }
    for (int64_t t = begin; t < end; t++) {
      Vec values[BLOCK / LANES];
      for (int64_t lane = 0; lane < BLOCK; lane += LANES)
        values[lane / LANES] = load(out + (t - begin) * BLOCK + lane);
      write_row(dx + t * stride + c, count, values);
    }
  }
}

// Snake without filters, along the rows as they lie in memory.
template <typename Number>
void plain_forward(const Job& job, const Tile& tile, float*) {
  const int64_t n = clip_length(job, tile.clip), stride = job.channels, begin = tile.index * TILE;
  const int64_t tile_end = at_most(begin + TILE, job.time), end = at_most(tile_end, n);
  const Number* x = (const Number*)job.x + tile.clip * job.time * stride;
  Number* y = (Number*)job.out + tile.clip * job.time * stride;
  zero_steps(y, at_least(begin, n), tile_end, stride, tile);
  for (int64_t t = begin; t < end; t++) {
    for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
      const int64_t count = at_most(BLOCK, job.channels - c);
      float in[BLOCK];
      Vec values[BLOCK / LANES];
      read_row(x + t * stride + c, count, in);
      for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
        const Vec u = load(in + lane), high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
        const Vec square = square_of(fraction_of_turn(u, high, low));
        values[lane / LANES] = u + load(job.gain + c + lane) * sine_squared(square);
      }
      write_row(y + t * stride + c, count, values);
    }
  }
}

template <typename Number>
void plain_backward(const Job& job, const Tile& tile, float*) {
  const int64_t n = clip_length(job, tile.clip), stride = job.channels, begin = tile.index * TILE;
  const int64_t tile_end = at_most(begin + TILE, job.time), end = at_most(tile_end, n);
  const int64_t padded = (job.channels + BLOCK - 1) / BLOCK * BLOCK, tiles = (job.time + TILE - 1) / TILE;
  const Number* x = (const Number*)job.x + tile.clip * job.time * stride;
  const Number* grad = (const Number*)job.grad + tile.clip * job.time * stride;
  Number* dx = (Number*)job.out + tile.clip * job.time * stride;
  float* d_alpha = job.partial + (tile.clip * tiles + tile.index) * 2 * padded;
  float* d_gain = d_alpha + padded;
  zero_steps(dx, at_least(begin, n), tile_end, stride, tile);
  for (int64_t t = begin; t < end; t++) {
    for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
      const int64_t count = at_most(BLOCK, job.channels - c);
      float in[BLOCK], back[BLOCK];
      Vec values[BLOCK / LANES];
      read_row(x + t * stride + c, count, in);
      read_row(grad + t * stride + c, count, back);
      for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
        const Vec u = load(in + lane), high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
        const Vec gain = load(job.gain + c + lane), g = load(back + lane);
        const Vec r = fraction_of_turn(u, high, low), square = square_of(r), sine = sine_of_double(r, square);
        values[lane / LANES] = g + g * (gain * load(job.alpha + c + lane) * sine);
        float* alpha_at = d_alpha + c + lane;
        float* gain_at = d_gain + c + lane;
        store(alpha_at, load(alpha_at) + g * (sine * u) * gain);
        store(gain_at, load(gain_at) + g * sine_squared(square));
      }
      write_row(dx + t * stride + c, count, values);
    }
  }
}

}  // namespace

void XCODEC_NAME(forward_)(const Job& job, const Tile& tile, float* scratch) {
  if (job.taps) job.bfloat16 ? forward<uint16_t>(job, tile, scratch) : forward<float>(job, tile, scratch);
  else job.bfloat16 ? plain_forward<uint16_t>(job, tile, scratch) : plain_forward<float>(job, tile, scratch);
}
void XCODEC_NAME(backward_)(const Job& job, const Tile& tile, float* scratch) {
  if (job.taps) job.bfloat16 ? backward<uint16_t>(job, tile, scratch) : backward<float>(job, tile, scratch);
  else job.bfloat16 ? plain_backward<uint16_t>(job, tile, scratch) : plain_backward<float>(job, tile, scratch);
}

}  // namespace xcodec

#else  // -------------------------------------------------------------------------------- the interface, and its threads

#include "interface.h"

namespace xcodec {
namespace {

const TileFunction FORWARD[] = XCODEC_VARIANTS(forward_);
const TileFunction BACKWARD[] = XCODEC_VARIANTS(backward_);

constexpr int64_t ELEMENTS_PER_THREAD = 1 << 15;

void run_tiles(const Job& job, TileFunction function, int threads, ParallelFor parallel_for) {
  const int64_t tiles = pieces(job.time, TILE), chunks = pieces(job.channels, CHUNK);
  const int64_t useful = pieces(job.batch * job.time * job.channels, ELEMENTS_PER_THREAD);
  run_tasks(job.batch * tiles * chunks, useful, threads, parallel_for, SCRATCH, [&](int64_t task, float* scratch) {
    const int64_t chunk = task % chunks, tile = task / chunks % tiles, clip = task / chunks / tiles;
    const int64_t end = (chunk + 1) * CHUNK;
    function(job, {clip, tile, chunk * CHUNK, end < job.channels ? end : job.channels}, scratch);
  });
}

// The per-channel arrays of a Job, padded to whole blocks.
struct Channels {
  std::vector<float> high, low, alpha, gain;
  Channels(const float* alphas, const float* gains, int64_t count)
      : high(pieces(count, BLOCK) * BLOCK), low(high), alpha(high), gain(high) {
    for (int64_t c = 0; c < count; c++) {
      const double turns = static_cast<double>(alphas[c]) / 3.14159265358979323846;
      high[c] = static_cast<float>(turns);
      low[c] = static_cast<float>(turns - high[c]);
      alpha[c] = alphas[c];
      gain[c] = gains[c];
    }
  }
};

}  // namespace
}  // namespace xcodec

// x and y are (batch, time, channels), contiguous; alpha and gain have `channels` values; taps 12, or null for Snake
// without filters; lengths `batch`, or null.
XCODEC_EXPORT int xcodec_snake_forward(int variant, int64_t bfloat16, const void* x, void* y, const float* alpha,
                                       const float* gain, const float* taps, const int64_t* lengths, int64_t batch,
                                       int64_t time, int64_t channels, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const TileFunction function = variant_of(FORWARD, variant);
  if (!function) return UNKNOWN_VARIANT;
  try {
    const Channels of(alpha, gain, channels);
    const Job job{x,    nullptr, y,       of.high.data(), of.low.data(), of.alpha.data(), of.gain.data(),
                  taps, lengths, nullptr, batch,          time,          channels,        threads,    bfloat16 != 0};
    run_tiles(job, function, threads, parallel_for);
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

// Also reads grad, like x, and writes dx, like x, and the sums d_alpha and d_gain, `channels` values each.
XCODEC_EXPORT int xcodec_snake_backward(int variant, int64_t bfloat16, const void* x, const void* grad, void* dx,
                                        float* d_alpha, float* d_gain, const float* alpha, const float* gain,
                                        const float* taps, const int64_t* lengths, int64_t batch, int64_t time,
                                        int64_t channels, int threads, xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const TileFunction function = variant_of(BACKWARD, variant);
  if (!function) return UNKNOWN_VARIANT;
  try {
    const Channels of(alpha, gain, channels);
    const int64_t padded = static_cast<int64_t>(of.gain.size()), sums = batch * pieces(time, TILE);
    std::vector<float> partial(sums * 2 * padded);
    const Job job{x,    grad,    dx,             of.high.data(), of.low.data(), of.alpha.data(), of.gain.data(),
                  taps, lengths, partial.data(), batch,          time,          channels,        threads,    bfloat16 != 0};
    run_tiles(job, function, threads, parallel_for);
    // In a fixed order and in double: the result depends neither on the number of threads nor on which came first.
    std::vector<double> total(2 * padded);
    for (int64_t s = 0; s < sums; s++)
      for (int64_t c = 0; c < 2 * padded; c++) total[c] += partial[s * 2 * padded + c];
    for (int64_t c = 0; c < channels; c++) {
      d_alpha[c] = static_cast<float>(total[c]);
      d_gain[c] = static_cast<float>(total[padded + c]);
    }
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
