// Snake without filters, and its gradients, along the rows of one tile as they lie in memory.
#pragma once

#include "snake.h"

namespace xcodec {
namespace {

template <typename Number>
void plain_forward(const Job& job, const Tile& tile, float*) {
  const Span<Number> span(job, tile);
  const int64_t stride = span.stride;
  for (int64_t t = span.begin; t < span.end; t++) {
    for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
      const int64_t count = at_most(BLOCK, job.channels - c);
      float in[BLOCK];
      Vec values[BLOCK / LANES];
      read_row(span.x + t * stride + c, count, in);
      for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
        const Vec u = load(in + lane), high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
        const Vec square = square_of(fraction_of_turn(u, high, low));
        values[lane / LANES] = u + load(job.gain + c + lane) * sine_squared(square);
      }
      write_row(span.out + t * stride + c, count, values);
    }
  }
}

template <typename Number>
void plain_backward(const Job& job, const Tile& tile, float*) {
  const Span<Number> span(job, tile);
  const int64_t stride = span.stride;
  const Number* grad = (const Number*)job.grad + tile.clip * job.time * stride;
  const Sums sums(job, tile);
  for (int64_t t = span.begin; t < span.end; t++) {
    for (int64_t c = tile.first_channel; c < tile.last_channel; c += BLOCK) {
      const int64_t count = at_most(BLOCK, job.channels - c);
      float in[BLOCK], back[BLOCK];
      Vec values[BLOCK / LANES];
      read_row(span.x + t * stride + c, count, in);
      read_row(grad + t * stride + c, count, back);
      for (int64_t lane = 0; lane < BLOCK; lane += LANES) {
        const Vec u = load(in + lane), high = load(job.turns_high + c + lane), low = load(job.turns_low + c + lane);
        const Vec gain = load(job.gain + c + lane), g = load(back + lane);
        const Vec r = fraction_of_turn(u, high, low), square = square_of(r), sine = sine_of_double(r, square);
        values[lane / LANES] = g + g * (gain * load(job.alpha + c + lane) * sine);
        float* alpha_at = sums.d_alpha + c + lane;
        float* gain_at = sums.d_gain + c + lane;
        store(alpha_at, load(alpha_at) + g * (sine * u) * gain);
        store(gain_at, load(gain_at) + g * sine_squared(square));
      }
      write_row(span.out + t * stride + c, count, values);
    }
  }
}

}  // namespace
}  // namespace xcodec
