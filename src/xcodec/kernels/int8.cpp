// Convolutions over time, and linear maps, which are those of one tap, whose weights are int8 and whose inputs become
// numbers of 8 bits as they come.
//
// Of each step of the input every block of channels has a scale and a lowest number of its own: an input is lowest +
// scale * (a whole number from 0 to 255). So the sum of its products with a weight is scale * (exact products, added up
// exactly in int32) + lowest * (the sum of the weights), of which the last is known beforehand. Blocks are added up in
// float32, in an order that is the same whatever else is computed: neither a batch, nor padding, nor the number of
// threads changes a bit of a step's result.
//
// Four neighbouring channels lie in the place of one float, for the instruction that multiplies four unsigned bytes
// with four signed ones and adds all products. Without it even and odd channels are multiplied apart, as pairs of
// int16.
//
// A weight lies in panels of 16 outputs: (panels, taps, fours of channels, 16, 4).

#include "whole_numbers.h"

namespace xcodec {

constexpr int64_t BLOCK = 128;           // channels that have a scale together
constexpr int64_t MOST_BYTES = 1 << 19;  // of the input in a task: they stay in the second-level cache

// One call.
struct Int8Conv {
  const void* x;         // (batch, time, channels), float32 or bfloat16
  const int8_t* weight;  // in panels
  const float* sums;     // of the weights of each block of channels: (panels, taps, blocks, 16)
  const float* scale;    // of each output: (panels * 16,)
  const float* bias;     // like it
  void* out;             // (batch, steps, outputs), like x
  Geometry size;
  bool bfloat16;
  int64_t blocks() const { return (size.channels + BLOCK - 1) / BLOCK; }
  int64_t fours() const { return (size.channels + 3) / 4; }
};

// From a number of the input to the one of the same place in the next four channels: no power of two of cache lines.
static inline int64_t line_of(int64_t seen) { return seen <= 24 ? seen : seen / 32 * 32 + 48; }

using Int8Function = void (*)(const Int8Conv&, const Outputs&, float* scratch);

void int8_baseline(const Int8Conv&, const Outputs&, float* scratch);
void int8_avx2(const Int8Conv&, const Outputs&, float* scratch);
void int8_avx512(const Int8Conv&, const Outputs&, float* scratch);
void int8_avx512bf16(const Int8Conv&, const Outputs&, float* scratch);
void int8_neon(const Int8Conv&, const Outputs&, float* scratch);
void int8_neonbf16(const Int8Conv&, const Outputs&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // steps and panels, per instruction set

namespace xcodec {
namespace {

// Inputs of four channels of one step, each from 0 to 255.
#if defined(__AVX512VNNI__)
typedef uint32_t Four;
inline Four four_of(uint32_t bytes) { return bytes; }
#else
struct Four {
  int32_t even, odd;  // channels, as pairs of int16
};
inline Four four_of(uint32_t bytes) { return {(int32_t)(bytes & 0x00ff00ff), (int32_t)(bytes >> 8 & 0x00ff00ff)}; }
#endif

// The weights of four channels and LANES outputs, in the form that they are multiplied in.
struct Weights {
#if defined(__AVX512VNNI__)
  __m512i all;
#else
  Bits even, odd;
#endif
};
inline Weights weights_of(const int8_t* p) {
#if defined(__AVX512VNNI__)
  return {_mm512_loadu_si512(p)};
#else
  typedef int16_t Shorts __attribute__((vector_size(LANES * sizeof(int32_t))));
  Shorts both;
  memcpy(&both, p, sizeof both);
  return {(Bits)(Shorts)((both << 8) >> 8), (Bits)(Shorts)(both >> 8)};
#endif
}

// c + the products of four inputs with the weights of each output.
inline Bits add_fours(Bits c, const Four& x, const Weights& weights) {
#if defined(__AVX512VNNI__)
  return (Bits)_mm512_dpbusd_epi32((__m512i)c, _mm512_set1_epi32((int32_t)x), weights.all);
#else
  return add_products(add_products(c, x.even - Bits{}, weights.even), x.odd - Bits{}, weights.odd);
#endif
}

// What a block of channels of one step is rounded with.
struct Rounding {
  float scale, lowest;
};

// Round a block of channels of one step to bytes. Those after them mean nothing: there are no weights for them.
template <typename Number>
Rounding round_block(const Number* x, int64_t channels, uint8_t* bytes) {
  typedef uint8_t Bytes __attribute__((vector_size(LANES)));
  float padded[BLOCK] = {};
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) store(padded + c, widen(x + c));
  if (c < channels) {
    Number rest[LANES];
    for (int64_t i = 0; i < LANES; i++) rest[i] = x[c + i < channels ? c + i : channels - 1];
    store(padded + c, widen(rest));
  }
  Vec low = load(padded), high = low;
  for (c = LANES; c < channels; c += LANES) {
    low = at_most(load(padded + c), low);
    high = at_least(high, load(padded + c));
  }
  const float lowest = smallest(low), range = largest(high) - lowest, extent = range > 1e-30f ? range : 1e-30f;
  const Vec factor = splat(255.0f / extent), zero = splat(lowest);
  for (c = 0; c < channels; c += LANES) {
    const Vec v = nearest((load(padded + c) - zero) * factor);
    const Bytes rounded = __builtin_convertvector(__builtin_convertvector(v, Bits), Bytes);
    memcpy(bytes + c, &rounded, sizeof rounded);
  }
  return {extent / 255.0f, lowest};
}

// Where a group of steps lies, and what it is multiplied with: all channels of one tap, for a panel.
struct Product {
  const Four* x;         // four channels after four channels, `line` apart
  const float* scales;   // block after block, `line` apart, as x
  const float* lowest;   // likewise
  const int8_t* weight;  // (fours, PANEL, 4)
  const float* sums;     // (blocks, PANEL)
  int64_t line, step, fours;
  const int8_t* ahead;  // weights that are asked for before they are used
  int64_t ahead_step;   // bytes of them for every four channels
};

// totals += the products of COUNT steps, (COUNT, PANEL).
template <int COUNT>
void multiply(const Product& of, float* totals) {
  Vec total[COUNT][VECTORS];
#pragma GCC unroll 12
  for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) total[i][j] = load(totals + i * PANEL + j * LANES);
  const Four* x = of.x;
  const int8_t* weight = of.weight;
  const int8_t* ahead = of.ahead;
  const float *scales = of.scales, *lowest = of.lowest, *sums = of.sums;
  for (int64_t first = 0; first < of.fours; first += BLOCK / 4) {
    Bits found[COUNT][VECTORS] = {};
    const int64_t count = at_most(BLOCK / 4, of.fours - first);
    for (int64_t k = 0; k < count; k++) {
      Weights weights[VECTORS];
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) weights[j] = weights_of(weight + 4 * j * LANES);
      __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 12
      for (int i = 0; i < COUNT; i++) {
        const Four four = x[i * of.step];
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) found[i][j] = add_fours(found[i][j], four, weights[j]);
      }
      x += of.line;
      weight += 4 * PANEL;
      ahead += of.ahead_step;
    }
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; i++) {
      const Vec scale = splat(scales[i * of.step]), low = splat(lowest[i * of.step]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) {
        total[i][j] = fused(scale, __builtin_convertvector(found[i][j], Vec), total[i][j]);
        total[i][j] = fused(low, load(sums + j * LANES), total[i][j]);
      }
    }
    scales += of.line;
    lowest += of.line;
    sums += PANEL;
  }
#pragma GCC unroll 12
  for (int i = 0; i < COUNT; i++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) store(totals + i * PANEL + j * LANES, total[i][j]);
}

// The function for the last `count` steps, at most GROUP.
template <int COUNT = GROUP>
void multiply_last(int64_t count, const Product& of, float* totals) {
  if constexpr (COUNT == 1) multiply<1>(of, totals);
  else count == COUNT ? multiply<COUNT>(of, totals) : multiply_last<COUNT - 1>(count, of, totals);
}

template <typename Number>
void convolve(const Int8Conv& job, const Outputs& task, float* scratch) {
  const Geometry& size = job.size;
  const int64_t count = task.last - task.first, seen = size.seen(count), line = line_of(seen);
  const int64_t fours = job.fours(), blocks = job.blocks();
  float* totals = scratch;                      // (count, PANEL)
  float* scales = totals + MOST_STEPS * PANEL;  // (blocks, line)
  float* lowest = scales + blocks * line;       // likewise
  Four* x = (Four*)(lowest + blocks * line);    // (fours, line)
  const Number* from = (const Number*)job.x + task.clip * size.time * size.channels;
  for (int64_t i = 0; i < seen; i++) {
    const int64_t t = task.first * size.stride - size.padding + i;
    for (int64_t b = 0; b < blocks; b++) {
      alignas(16) uint8_t bytes[BLOCK] = {};
      Rounding rounding{0.0f, 0.0f};
      const int64_t first = b * BLOCK, channels = at_most(BLOCK, size.channels - first);
      if (t >= 0 && t < size.time) rounding = round_block(from + t * size.channels + first, channels, bytes);
      scales[b * line + i] = rounding.scale;
      lowest[b * line + i] = rounding.lowest;
      Four* to = x + first / 4 * line + i;
      for (int64_t k = 0; k < (channels + 3) / 4; k++) {
        uint32_t four;
        memcpy(&four, bytes + 4 * k, sizeof four);
        to[k * line] = four_of(four);
      }
    }
  }
  const int64_t groups = (count + GROUP - 1) / GROUP, bytes = fours * 4 * PANEL;
  Number* out = (Number*)job.out + (task.clip * size.steps + task.first) * size.outputs;
  for (int64_t n = task.first_panel; n < task.last_panel; n++) {
    memset(totals, 0, count * PANEL * sizeof(float));
    for (int64_t tap = 0; tap < size.taps; tap++) {
      const int64_t at = n * size.taps + tap;
      Product product{x,           scales, lowest,  job.weight + at * bytes, job.sums + at * blocks * PANEL, line,
                      size.stride, fours,  nullptr, 4 * PANEL / groups};
      for (int64_t group = 0; group < groups; group++) {
        const int64_t first = group * GROUP, seen_by_first = tap * size.dilation + first * size.stride;
        product.x = x + seen_by_first;
        product.scales = scales + seen_by_first;
        product.lowest = lowest + seen_by_first;
        product.ahead = product.weight + bytes + group * (bytes / groups);  // a part of what comes next
        if (count - first >= GROUP) multiply<GROUP>(product, totals + first * PANEL);
        else multiply_last(count - first, product, totals + first * PANEL);
      }
    }
    for (int64_t i = 0; i < count; i++)
      write(totals + i * PANEL, job.scale + n * PANEL, job.bias + n * PANEL, size.outputs - n * PANEL,
            out + i * size.outputs + n * PANEL);
  }
}

}  // namespace

void XCODEC_NAME(int8_)(const Int8Conv& job, const Outputs& task, float* scratch) {
  job.bfloat16 ? convolve<uint16_t>(job, task, scratch) : convolve<float>(job, task, scratch);
}

}  // namespace xcodec

#else  // the interface

namespace xcodec {
namespace {

const Int8Function INT8[] = XCODEC_VARIANTS(int8_);

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_int8_conv(int variant, int64_t bfloat16, const void* x, const int8_t* weight,
                                   const float* sums, const float* scale, const float* bias, void* out, int64_t batch,
                                   int64_t time, int64_t channels, int64_t steps, int64_t outputs, int64_t taps,
                                   int64_t stride, int64_t dilation, int64_t padding, int threads,
                                   xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const Int8Function function = variant_of(INT8, variant);
  if (!function) return UNKNOWN_VARIANT;
  const Geometry size{batch, time, channels, steps, outputs, taps, stride, dilation, padding};
  const Int8Conv job{x, weight, sums, scale, bias, out, size, bfloat16 != 0};
  const int64_t rows = steps_in_tile(size, MOST_BYTES / (4 * job.fours() * stride)), line = line_of(size.seen(rows));
  const int64_t scratch = MOST_STEPS * PANEL + 2 * job.blocks() * line + 2 * job.fours() * line;
  return run_tiles(function, job, rows, scratch, threads, parallel_for);
}

#endif
