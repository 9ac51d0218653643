// Convolutions over time, and linear maps, which are those of one tap, whose weights are int16 and whose inputs are
// rounded to int16 as they come.
//
// Each step of the input has a scale of its own, each output of the weight too. Products are added in int32, exactly,
// over one tap and one block of channels; such sums are scaled and added in float32, in an order that is the same
// whatever else is computed: neither a batch, nor padding, nor the number of threads changes a bit of a step's result.
//
// Two neighbouring channels lie in the place of one float, for the instruction that multiplies pairs of int16 and adds
// both products. A weight lies in panels of 16 outputs: (panels, taps, pairs of channels, 16, 2). A panel's block of
// channels stays in the first-level cache and meets all steps of a task.

#include "whole_numbers.h"

namespace xcodec {

constexpr int64_t DEEPEST = 256;         // channels in a block
constexpr int64_t AHEAD = 2048;          // bytes of weights that are asked for before they are used
constexpr int64_t MOST_NUMBERS = 98304;  // of the input in a task: they stay in the second-level cache

// One call.
struct Int16Conv {
  const void* x;          // (batch, time, channels), float32 or bfloat16
  const int16_t* weight;  // in panels
  const float* scale;     // (panels * 16,)
  const float* bias;      // like it
  void* out;              // (batch, steps, outputs), like x
  Geometry size;
  int64_t most;  // the largest whole number that an input may become: sums do not overflow then
  bool bfloat16;
  int64_t pairs() const { return (size.channels + 1) / 2; }
  int64_t row() const { return (size.channels + 15) / 16 * 16; }  // numbers that one rounded step takes
};

using Int16Function = void (*)(const Int16Conv&, const Outputs&, float* scratch);

void int16_baseline(const Int16Conv&, const Outputs&, float* scratch);
void int16_avx2(const Int16Conv&, const Outputs&, float* scratch);
void int16_avx512(const Int16Conv&, const Outputs&, float* scratch);
void int16_avx512bf16(const Int16Conv&, const Outputs&, float* scratch);
void int16_neon(const Int16Conv&, const Outputs&, float* scratch);
void int16_neonbf16(const Int16Conv&, const Outputs&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // steps and panels, per instruction set

namespace xcodec {
namespace {

typedef int16_t Short __attribute__((vector_size(LANES * sizeof(int16_t))));

// One step of the input as whole numbers up to `most`, zeros to the end of its row; what one of them stands for.
template <typename Number>
float round_step(const Number* x, int64_t channels, int64_t row, float most, int16_t* out) {
  const Bits magnitude = Bits{} + 0x7fffffff;
  Vec magnitudes = splat(1e-30f);
  const int64_t whole = channels / LANES * LANES;
  Number rest[LANES] = {};
  memcpy(rest, x + whole, (channels - whole) * sizeof(Number));
  for (int64_t c = 0; c < whole; c += LANES) magnitudes = at_least(magnitudes, (Vec)((Bits)widen(x + c) & magnitude));
  magnitudes = at_least(magnitudes, (Vec)((Bits)widen(rest) & magnitude));
  const float most_here = largest(magnitudes);
  const Vec factor = splat(most / most_here);
  memset(out + whole, 0, (row - whole) * sizeof(int16_t));
  for (int64_t c = 0; c < channels; c += LANES) {
    const Vec v = c < whole ? widen(x + c) : widen(rest);
    const Short rounded = __builtin_convertvector(__builtin_convertvector(nearest(v * factor), Bits), Short);
    memcpy(out + c, &rounded, sizeof rounded);
  }
  return most_here / most;
}

// sums += scales * the products of COUNT steps, `step` numbers apart, with a panel: one tap, one block of channels.
template <int COUNT>
void multiply(const int16_t* x, int64_t step, const int16_t* panel, int64_t pairs, const float* scales,
              int64_t scale_step, float* sums) {
  Bits found[COUNT][VECTORS] = {};
  for (int64_t p = 0; p < pairs; p++, x += 2, panel += 2 * PANEL) {
    Bits weights[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) memcpy(&weights[j], panel + 2 * j * LANES, sizeof weights[j]);
    __builtin_prefetch(panel + AHEAD / sizeof(int16_t));
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; i++) {
      int32_t pair;
      memcpy(&pair, x + i * step, sizeof pair);
      const Bits both = pair - Bits{};
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) found[i][j] = add_products(found[i][j], both, weights[j]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < COUNT; i++) {
    const Vec scale = splat(scales[i * scale_step]);
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) {
      float* to = sums + i * PANEL + j * LANES;
      store(to, fused(scale, __builtin_convertvector(found[i][j], Vec), load(to)));
    }
  }
}

using Multiply = void (*)(const int16_t*, int64_t, const int16_t*, int64_t, const float*, int64_t, float*);

// The function for the last `count` steps, at most GROUP.
template <int COUNT = GROUP>
Multiply multiply_of(int64_t count) {
  if constexpr (COUNT == 1) return multiply<1>;
  else return count == COUNT ? multiply<COUNT> : multiply_of<COUNT - 1>(count);
}

// sums += what a panel's block of channels, of one tap, makes of `count` steps.
inline void multiply_all(const int16_t* x, int64_t step, const int16_t* panel, int64_t pairs, const float* scales,
                         int64_t scale_step, int64_t count, float* sums) {
  int64_t i = 0;
  for (; i + GROUP <= count; i += GROUP)
    multiply<GROUP>(x + i * step, step, panel, pairs, scales + i * scale_step, scale_step, sums + i * PANEL);
  if (i < count)
    multiply_of(count - i)(x + i * step, step, panel, pairs, scales + i * scale_step, scale_step, sums + i * PANEL);
}

template <typename Number>
void convolve(const Int16Conv& job, const Outputs& task, float* scratch) {
  const Geometry& size = job.size;
  const int64_t count = task.last - task.first, seen = size.seen(count), row = job.row(), pairs = job.pairs();
  float* sums = scratch;                                    // (count, PANEL)
  float* scales = sums + MOST_STEPS * PANEL;                // (seen,)
  int16_t* x = (int16_t*)(scales + (seen + 15) / 16 * 16);  // (seen, row)
  const Number* from = (const Number*)job.x + task.clip * size.time * size.channels;
  for (int64_t i = 0; i < seen; i++) {
    const int64_t t = task.first * size.stride - size.padding + i;
    if (t >= 0 && t < size.time) {
      scales[i] = round_step(from + t * size.channels, size.channels, row, (float)job.most, x + i * row);
    } else {
      scales[i] = 0.0f;
      memset(x + i * row, 0, row * sizeof(int16_t));
    }
  }
  const int64_t step = size.stride * row;
  Number* out = (Number*)job.out + (task.clip * size.steps + task.first) * size.outputs;
  for (int64_t n = task.first_panel; n < task.last_panel; n++) {
    memset(sums, 0, count * PANEL * sizeof(float));
    for (int64_t tap = 0; tap < size.taps; tap++) {
      for (int64_t first = 0; first < pairs; first += DEEPEST / 2) {
        const int64_t deep = at_most(DEEPEST / 2, pairs - first),
                      at = ((n * size.taps + tap) * pairs + first) * 2 * PANEL;
        const int64_t seen_by_first = tap * size.dilation;
        const int16_t* rows = x + seen_by_first * row + 2 * first;
        const float* scale = scales + seen_by_first;
        multiply_all(rows, step, job.weight + at, deep, scale, size.stride, count, sums);
      }
    }
    for (int64_t i = 0; i < count; i++)
      write(sums + i * PANEL, job.scale + n * PANEL, job.bias + n * PANEL, size.outputs - n * PANEL,
            out + i * size.outputs + n * PANEL);
  }
}

}  // namespace

void XCODEC_NAME(int16_)(const Int16Conv& job, const Outputs& task, float* scratch) {
  job.bfloat16 ? convolve<uint16_t>(job, task, scratch) : convolve<float>(job, task, scratch);
}

}  // namespace xcodec

#else  // the interface

namespace xcodec {
namespace {

const Int16Function INT16[] = XCODEC_VARIANTS(int16_);

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_int16_conv(int variant, int64_t bfloat16, const void* x, const int16_t* weight,
                                    const float* scale, const float* bias, void* out, int64_t batch, int64_t time,
                                    int64_t channels, int64_t steps, int64_t outputs, int64_t taps, int64_t stride,
                                    int64_t dilation, int64_t padding, int64_t most, int threads,
                                    xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const Int16Function function = variant_of(INT16, variant);
  if (!function) return UNKNOWN_VARIANT;
  const Geometry size{batch, time, channels, steps, outputs, taps, stride, dilation, padding};
  const Int16Conv job{x, weight, scale, bias, out, size, most, bfloat16 != 0};
  const int64_t rows = steps_in_tile(size, MOST_NUMBERS / (job.row() * stride)), seen = size.seen(rows);
  const int64_t scratch = MOST_STEPS * PANEL + pieces(seen, 16) * 16 + pieces(seen * job.row(), 2);
  return run_tiles(function, job, rows, scratch, threads, parallel_for);
}

#endif
