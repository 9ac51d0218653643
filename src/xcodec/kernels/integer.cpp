// Convolutions over time, and linear maps, which are those of one tap, whose weights are int8 or int16 and whose inputs
// are rounded to int16 as they come.
//
// Each step of the input has a scale of its own, each output of the weight too. Products are added in int32, exactly,
// over one tap and one block of channels; such sums are scaled and added in float32, in an order that is the same
// whatever else is computed: neither a batch, nor padding, nor the number of threads changes a bit of a step's result.
//
// Two neighbouring channels lie in the place of one float, for the instruction that multiplies pairs of int16 and adds
// both products. Exact products of int8 would take that instruction too, so the inputs' other bits cost nothing.
//
// A weight lies in panels of 16 outputs: (panels, taps, pairs of channels, 16, 2). A panel's block of channels stays in
// the first-level cache and meets all steps of a task. int8 becomes int16 on its way to the registers where these are
// few, as in a stream, and else once before them all, which changes no bit.

#include <stdint.h>

namespace xcodec {

constexpr int64_t PANEL = 16;            // outputs
constexpr int64_t DEEPEST = 256;         // channels in a block
constexpr int64_t FEW_STEPS = 24;        // for which int8 is not widened in memory
constexpr int64_t AHEAD = 2048;          // bytes of weights that are asked for before they are used
constexpr int64_t MOST_NUMBERS = 98304;  // of the input in a task: they stay in the second-level cache
constexpr int64_t MOST_STEPS = 192;      // of the output in a task, a multiple of every variant's GROUP

// One call.
struct IntegerConv {
  const void* x;       // (batch, time, channels), float32 or bfloat16
  const void* weight;  // in panels, int8 or int16
  const float* scale;  // (panels * 16,)
  const float* bias;   // like it
  void* out;           // (batch, steps, outputs), like x
  int64_t batch, time, channels, steps, outputs, taps, stride, dilation, padding;
  int64_t most;         // the largest whole number that an input may become: sums do not overflow then
  bool bfloat16, wide;  // wide: the weight is int16
  int64_t pairs() const { return (channels + 1) / 2; }
  int64_t row() const { return (channels + 15) / 16 * 16; }  // numbers that one rounded step takes
  // Steps of the input that so many of the output see.
  int64_t seen(int64_t count) const { return (count - 1) * stride + (taps - 1) * dilation + 1; }
};

struct Outputs {
  int64_t clip, first, last, first_panel, last_panel;
};

using IntegerFunction = void (*)(const IntegerConv&, const Outputs&, float* scratch);

void integer_baseline(const IntegerConv&, const Outputs&, float* scratch);
void integer_avx2(const IntegerConv&, const Outputs&, float* scratch);
void integer_avx512(const IntegerConv&, const Outputs&, float* scratch);
void integer_avx512bf16(const IntegerConv&, const Outputs&, float* scratch);
void integer_neon(const IntegerConv&, const Outputs&, float* scratch);
void integer_neonbf16(const IntegerConv&, const Outputs&, float* scratch);

}  // namespace xcodec

#ifdef XCODEC_VARIANT  // steps and panels, per instruction set

#include "vectors.h"

namespace xcodec {
namespace {

constexpr int VECTORS = PANEL / LANES;                                 // of a step's sums
constexpr int GROUP = LANES == 16 ? 12 : REGISTERS / 4 * 3 / VECTORS;  // steps whose sums are in registers together
typedef int16_t Short __attribute__((vector_size(LANES * sizeof(int16_t))));
typedef int8_t Tiny __attribute__((vector_size(2 * LANES)));
typedef int16_t Pairs __attribute__((vector_size(2 * LANES * sizeof(int16_t))));

// c + both products of the int16s in each place of a and b.
inline Bits add_products(Bits c, Bits a, Bits b) {
#if defined(__AVX512VNNI__)
  return (Bits)_mm512_dpwssd_epi32((__m512i)c, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
  return c + (Bits)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return c + (Bits)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return c + (Bits)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
  return c + (Bits)vpaddq_s32(low, high);
#else
  return c + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// One step of the input as whole numbers up to `most`, zeros to the end of its row; what one of them stands for.
template <typename Number>
float round_step(const Number* x, int64_t channels, int64_t row, float most, int16_t* out) {
  const Bits magnitude = Bits{} + 0x7fffffff;
  Vec largest = splat(1e-30f);
  const int64_t whole = channels / LANES * LANES;
  Number rest[LANES] = {};
  memcpy(rest, x + whole, (channels - whole) * sizeof(Number));
  for (int64_t c = 0; c < whole; c += LANES) largest = at_least(largest, (Vec)((Bits)widen(x + c) & magnitude));
  largest = at_least(largest, (Vec)((Bits)widen(rest) & magnitude));
  float lanes[LANES];
  store(lanes, largest);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] = lanes[i] < lanes[i + half] ? lanes[i + half] : lanes[i];
  const Vec factor = splat(most / lanes[0]);
  memset(out + whole, 0, (row - whole) * sizeof(int16_t));
  for (int64_t c = 0; c < channels; c += LANES) {
    const Vec v = c < whole ? widen(x + c) : widen(rest);
    const Short rounded = __builtin_convertvector(__builtin_convertvector(nearest(v * factor), Bits), Short);
    memcpy(out + c, &rounded, sizeof rounded);
  }
  return lanes[0] / most;
}

// The int16s of LANES pairs, which lie in memory as such or as int8s.
inline Bits pairs_of(const int16_t* p) {
  Bits v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline Bits pairs_of(const int8_t* p) {
  Tiny tiny;
  memcpy(&tiny, p, sizeof tiny);
  return (Bits) __builtin_convertvector(tiny, Pairs);
}

// As many int8s as int16s, a multiple of what pairs_of reads.
inline void widen_weights(const int8_t* from, int64_t count, int16_t* to) {
  for (int64_t k = 0; k < count; k += 2 * LANES) {
    const Bits wide = pairs_of(from + k);
    memcpy(to + k, &wide, sizeof wide);
  }
}

// sums += scales * the products of COUNT steps, `step` numbers apart, with a panel: one tap, one block of channels.
template <int COUNT, typename Weight>
void multiply(const int16_t* x, int64_t step, const Weight* panel, int64_t pairs, const float* scales,
              int64_t scale_step, float* sums) {
  Bits found[COUNT][VECTORS] = {};
  for (int64_t p = 0; p < pairs; p++, x += 2, panel += 2 * PANEL) {
    Bits weights[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) weights[j] = pairs_of(panel + 2 * j * LANES);
    __builtin_prefetch(panel + AHEAD / sizeof(Weight));
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

template <typename Weight>
using Multiply = void (*)(const int16_t*, int64_t, const Weight*, int64_t, const float*, int64_t, float*);

// The function for the last `count` steps, at most GROUP.
template <typename Weight, int COUNT = GROUP>
Multiply<Weight> multiply_of(int64_t count) {
  if constexpr (COUNT == 1) return multiply<1, Weight>;
  else return count == COUNT ? multiply<COUNT, Weight> : multiply_of<Weight, COUNT - 1>(count);
}

// sums += what a panel's block of channels, of one tap, makes of `count` steps.
template <typename Weight>
void multiply_all(const int16_t* x, int64_t step, const Weight* panel, int64_t pairs, const float* scales,
                  int64_t scale_step, int64_t count, float* sums) {
  int64_t i = 0;
  for (; i + GROUP <= count; i += GROUP)
    multiply<GROUP>(x + i * step, step, panel, pairs, scales + i * scale_step, scale_step, sums + i * PANEL);
  if (i < count)
    multiply_of<Weight>(count - i)(x + i * step, step, panel, pairs, scales + i * scale_step, scale_step,
                                   sums + i * PANEL);
}

template <typename Number>
void write(const float* sums, const float* scale, const float* bias, int64_t count, Number* out) {
  for (int64_t n = 0; n < PANEL; n += LANES) {
    const Vec y = fused(load(sums + n), load(scale + n), load(bias + n));
    if (count - n >= LANES) {
      narrow(out + n, y);
    } else {
      Number padded[LANES];
      narrow(padded, y);
      if (count > n) memcpy(out + n, padded, (count - n) * sizeof(Number));
    }
  }
}

template <typename Number>
void convolve(const IntegerConv& job, const Outputs& task, float* scratch) {
  const int64_t count = task.last - task.first, seen = job.seen(count), row = job.row(), pairs = job.pairs();
  float* sums = scratch;                                    // (count, PANEL)
  int16_t* panel = (int16_t*)(sums + MOST_STEPS * PANEL);   // (DEEPEST / 2, PANEL, 2)
  float* scales = (float*)(panel + DEEPEST * PANEL);        // (seen,)
  int16_t* x = (int16_t*)(scales + (seen + 15) / 16 * 16);  // (seen, row)
  const Number* from = (const Number*)job.x + task.clip * job.time * job.channels;
  for (int64_t i = 0; i < seen; i++) {
    const int64_t t = task.first * job.stride - job.padding + i;
    if (t >= 0 && t < job.time) {
      scales[i] = round_step(from + t * job.channels, job.channels, row, (float)job.most, x + i * row);
    } else {
      scales[i] = 0.0f;
      memset(x + i * row, 0, row * sizeof(int16_t));
    }
  }
  const int64_t step = job.stride * row;
  Number* out = (Number*)job.out + (task.clip * job.steps + task.first) * job.outputs;
  for (int64_t n = task.first_panel; n < task.last_panel; n++) {
    memset(sums, 0, count * PANEL * sizeof(float));
    for (int64_t tap = 0; tap < job.taps; tap++) {
      for (int64_t first = 0; first < pairs; first += DEEPEST / 2) {
        const int64_t deep = at_most(DEEPEST / 2, pairs - first),
                      at = ((n * job.taps + tap) * pairs + first) * 2 * PANEL;
        const int64_t seen_by_first = tap * job.dilation;
        const int16_t* rows = x + seen_by_first * row + 2 * first;
        const float* scale = scales + seen_by_first;
        if (job.wide) {
          multiply_all(rows, step, (const int16_t*)job.weight + at, deep, scale, job.stride, count, sums);
        } else if (count <= FEW_STEPS) {
          multiply_all(rows, step, (const int8_t*)job.weight + at, deep, scale, job.stride, count, sums);
        } else {
          widen_weights((const int8_t*)job.weight + at, deep * 2 * PANEL, panel);
          multiply_all(rows, step, panel, deep, scale, job.stride, count, sums);
        }
      }
    }
    for (int64_t i = 0; i < count; i++)
      write(sums + i * PANEL, job.scale + n * PANEL, job.bias + n * PANEL, job.outputs - n * PANEL,
            out + i * job.outputs + n * PANEL);
  }
}

}  // namespace

void XCODEC_NAME(integer_)(const IntegerConv& job, const Outputs& task, float* scratch) {
  job.bfloat16 ? convolve<uint16_t>(job, task, scratch) : convolve<float>(job, task, scratch);
}

}  // namespace xcodec

#else  // the interface

#include "interface.h"

namespace xcodec {
namespace {

const IntegerFunction INTEGER[] = XCODEC_VARIANTS(integer_);

constexpr int64_t PRODUCTS_PER_THREAD = 1 << 21;  // some 30 microseconds of work

// Floats that one thread needs.
int64_t integer_scratch(const IntegerConv& job, int64_t count) {
  const int64_t seen = job.seen(count);
  return MOST_STEPS * PANEL + DEEPEST * PANEL / 2 + pieces(seen, 16) * 16 + pieces(seen * job.row(), 2);
}

}  // namespace
}  // namespace xcodec

XCODEC_EXPORT int xcodec_integer_conv(int variant, int64_t bfloat16, int64_t wide, const void* x, const void* weight,
                                      const float* scale, const float* bias, void* out, int64_t batch, int64_t time,
                                      int64_t channels, int64_t steps, int64_t outputs, int64_t taps, int64_t stride,
                                      int64_t dilation, int64_t padding, int64_t most, int threads,
                                      xcodec::ParallelFor parallel_for) {
  using namespace xcodec;
  const IntegerFunction function = variant_of(INTEGER, variant);
  if (!function) return UNKNOWN_VARIANT;
  const IntegerConv job{x,       weight, scale,  bias,     out,     batch, time,          channels, steps,
                        outputs, taps,   stride, dilation, padding, most,  bfloat16 != 0, wide != 0};
  const int64_t panels = pieces(outputs, PANEL);
  // Tiles of equal size; and where they are few, each once for every so many panels.
  int64_t rows = MOST_NUMBERS / (job.row() * stride);
  rows = rows > MOST_STEPS ? MOST_STEPS : rows < 24 ? 24 : rows / 12 * 12;
  const int64_t tiles = pieces(steps, rows);
  rows = pieces(pieces(steps, tiles), 12) * 12;
  int64_t chunks = pieces(4 * threads, batch * tiles);
  if (threads == 1) chunks = 1;
  chunks = chunks < pieces(panels, 4) ? chunks : pieces(panels, 4);
  const int64_t chunk = pieces(panels, chunks), last_chunk = pieces(panels, chunk);
  try {
    run_tasks(batch * tiles * last_chunk, batch * steps * taps * channels * outputs / PRODUCTS_PER_THREAD, threads,
              parallel_for, integer_scratch(job, rows), [&](int64_t task, float* scratch) {
                const int64_t some = task % last_chunk, tile = task / last_chunk % tiles;
                const int64_t first = tile * rows, last = first + rows, end = (some + 1) * chunk;
                if (first < steps)
                  function(job,
                           {task / last_chunk / tiles, first, last < steps ? last : steps, some * chunk,
                            end < panels ? end : panels},
                           scratch);
              });
  } catch (const std::bad_alloc&) {
    return OUT_OF_MEMORY;
  }
  return DONE;
}

#endif
