// Snake between upsampling and downsampling by 2, and its gradients, for one tile.
//
// Indices. Write c[i] for the input, e[i] and o[i] for the upsampled signal at 2i and 2i + 1, f for the 12 taps:
//   e[i] = 2 (f1 c[i+2] + f3 c[i+1] + f5 c[i]   + f7 c[i-1] + f9 c[i-2] + f11 c[i-3])
//   o[i] = 2 (f0 c[i+3] + f2 c[i+2] + f4 c[i+1] + f6 c[i]   + f8 c[i-1] + f10 c[i-2])
//   y[i] = f1 e[i-2] + f3 e[i-1] + f5 e[i]   + f7 e[i+1] + f9 e[i+2] + f11 e[i+3]
//        + f0 o[i-3] + f2 o[i-2] + f4 o[i-1] + f6 o[i]   + f8 o[i+1] + f10 o[i+2]
// with c, e and o repeating their first and last value outside the clip: e[0] before it, o[n-1] after it. The two maps
// are each other's transpose, so the gradient takes the same two maps in the same order.

#pragma once

#include "snake.h"

namespace xcodec {
namespace {

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

inline void zero_rows(float* rows, int64_t count) {
  if (count > 0) memset(rows, 0, count * BLOCK * sizeof(float));
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

// Steps of one block of channels lie apart in memory, where the processor does not foresee what is read next: it is
// told, a row of it with each row that is computed.
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
  const Span<Number> span(job, tile);
  if (span.is_empty()) return;
  const int64_t n = span.length, stride = span.stride, begin = span.begin, end = span.end;
  const Number* x = span.x;
  Number* y = span.out;

  const Filter up(job.taps, 2.0f), down(job.taps, 1.0f);
  const int64_t first = at_least(begin - REACH, 0), last = at_most(end + REACH, n);  // of the upsampled signal
  float* in = scratch;                                                               // from first - REACH
  float* even = in + ROWS * BLOCK;                                                   // from begin - REACH
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
  const Span<Number> span(job, tile);
  if (span.is_empty()) return;
  const int64_t n = span.length, stride = span.stride, begin = span.begin, end = span.end;
  const Number* x = span.x;
  const Number* grad = (const Number*)job.grad + tile.clip * job.time * stride;
  Number* dx = span.out;
  const Sums sums(job, tile);

  const Filter up(job.taps, 2.0f), down(job.taps, 1.0f);
  // The activated signal whose gradient this tile needs, [first, last); the gradients that fold into its outermost
  // values where it touches the clip's ends, [fold_first, fold_last); and the input gradients before their own folding.
  const int64_t first = at_least(begin - REACH, 0), last = at_most(end + REACH, n);
  const int64_t fold_first = first == 0 ? -REACH : first, fold_last = last == n ? n + REACH : last;
  const int64_t out_first = begin == 0 ? -REACH : begin, out_last = end == n ? n + REACH : end;
  float* in = scratch;                // from first - REACH
  float* back = in + ROWS * BLOCK;    // from fold_first - REACH
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
      store(sums.d_alpha + c + lane, sum_alpha * gain);
      store(sums.d_gain + c + lane, sum_gain);

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
      for (int64_t lane = 0; lane < BLOCK; lane += LANES) values[lane / LANES] = load(out + (t - begin) * BLOCK + lane);
      write_row(dx + t * stride + c, count, values);
    }
  }
}

}  // namespace
}  // namespace xcodec
