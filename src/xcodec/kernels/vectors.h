// Vectors as wide as the instruction set that a file is compiled for. What is here has internal linkage, for a linker
// may not give a baseline processor code that was compiled for another; so no inline function of the standard library
// is used.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// A function's name in the variant that is compiled.
#define XCODEC_JOIN(a, b) a##b
#define XCODEC_EXPAND(stem, variant) XCODEC_JOIN(stem, variant)
#define XCODEC_NAME(stem) XCODEC_EXPAND(stem, XCODEC_VARIANT)

namespace xcodec {
namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif
typedef float Vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Bits __attribute__((vector_size(LANES * sizeof(float))));
typedef uint16_t Half __attribute__((vector_size(LANES * sizeof(uint16_t))));

inline Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }
inline Vec splat(float value) { return value - Vec{}; }
inline Vec splat_bits(const float* p) {
  int32_t bits;
  memcpy(&bits, p, sizeof bits);
  return (Vec)(bits - Bits{});
}

// fused: a * b + c, rounded once where FUSES says so.
// nearest: the nearest whole number.
// at_most: the smaller of the two; of a v that is no number, the bound.
// at_least: the larger of the two; of a v that is no number, v.
// all_at_most: whether every lane is a number and at most its bound.
#if defined(__AVX512F__) || defined(__AVX2__) || defined(__aarch64__)
constexpr bool FUSES = true;
#else
constexpr bool FUSES = false;
#endif
#if defined(__AVX512F__)
inline Vec fused(Vec a, Vec b, Vec c) { return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
inline Vec nearest(Vec v) { return (Vec)_mm512_roundscale_ps((__m512)v, 0x08); }
inline Vec at_most(Vec v, Vec bound) { return (Vec)_mm512_min_ps((__m512)v, (__m512)bound); }
inline Vec at_least(Vec bound, Vec v) { return (Vec)_mm512_max_ps((__m512)bound, (__m512)v); }
inline bool all_at_most(Vec v, Vec bound) { return _mm512_cmp_ps_mask((__m512)v, (__m512)bound, _CMP_LE_OQ) == 0xffff; }
#elif defined(__AVX2__)
inline Vec fused(Vec a, Vec b, Vec c) { return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
inline Vec nearest(Vec v) { return (Vec)_mm256_round_ps((__m256)v, 0x08); }
inline Vec at_most(Vec v, Vec bound) { return (Vec)_mm256_min_ps((__m256)v, (__m256)bound); }
inline Vec at_least(Vec bound, Vec v) { return (Vec)_mm256_max_ps((__m256)bound, (__m256)v); }
inline bool all_at_most(Vec v, Vec bound) {
  return _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, (__m256)bound, _CMP_LE_OQ)) == 0xff;
}
#elif defined(__aarch64__)
inline Vec fused(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
inline Vec nearest(Vec v) { return (Vec)vrndnq_f32((float32x4_t)v); }
inline Vec at_most(Vec v, Vec bound) { return (Vec)vminnmq_f32((float32x4_t)v, (float32x4_t)bound); }
inline Vec at_least(Vec bound, Vec v) { return bound > v ? bound : v; }
inline bool all_at_most(Vec v, Vec bound) { return vminvq_u32(vcleq_f32((float32x4_t)v, (float32x4_t)bound)) != 0; }
#else
inline Vec nearest(Vec v) {
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: beyond it there are no fractions (holds below 2^22)
  return (v + magic) - magic;
}
inline Vec fused(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec at_most(Vec v, Vec bound) { return v < bound ? v : bound; }
inline Vec at_least(Vec bound, Vec v) { return bound > v ? bound : v; }
inline bool all_at_most(Vec v, Vec bound) {
  const Bits holds = v <= bound;
  int32_t all = -1;
  for (int i = 0; i < LANES; i++) all &= holds[i];
  return all;
}
#endif

// The largest and the smallest of the lanes.
#if defined(__AVX512F__)
inline float largest(Vec v) { return _mm512_reduce_max_ps((__m512)v); }
inline float smallest(Vec v) { return _mm512_reduce_min_ps((__m512)v); }
#else
inline float largest(Vec v) {
  float lanes[LANES];
  store(lanes, v);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] = lanes[i] < lanes[i + half] ? lanes[i + half] : lanes[i];
  return lanes[0];
}
inline float smallest(Vec v) { return -largest(-v); }
#endif

inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

// Numbers as they lie in memory, as float32.
inline Vec widen(const float* p) { return load(p); }
inline Vec widen(const uint16_t* p) {
  Half half;
  memcpy(&half, p, sizeof half);
  return (Vec)(__builtin_convertvector(half, Bits) << 16);
}
inline void narrow(float* p, Vec v) { store(p, v); }
inline void narrow(uint16_t* p, Vec v) {
#if defined(__AVX512BF16__)
  const __m256bh half = _mm512_cvtneps_pbh((__m512)v);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  const bfloat16x4_t half = vcvt_bf16_f32((float32x4_t)v);
#else
  Bits bits = (Bits)v;
  Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);  // to nearest, ties to even
  Bits not_a_number = (Bits)(v != v);
  rounded = (rounded & ~not_a_number) | ((bits | 0x400000) & not_a_number);
  Half half = __builtin_convertvector((rounded >> 16) & 0xffff, Half);
#endif
  memcpy(p, &half, sizeof half);
}

// Two numbers of bfloat16 lie in the place of one float; c + the products of both: where the instruction set has that.
#if defined(__AVX512BF16__)
constexpr bool HAS_PAIRS = true;
inline Vec fused_pairs(Vec a, Vec b, Vec c) {
  return (Vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)(__m512)a, (__m512bh)(__m512)b);
}
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
constexpr bool HAS_PAIRS = true;
inline Vec fused_pairs(Vec a, Vec b, Vec c) {
  return (Vec)vbfdotq_f32((float32x4_t)c, vreinterpretq_bf16_f32((float32x4_t)a),
                          vreinterpretq_bf16_f32((float32x4_t)b));
}
#else
constexpr bool HAS_PAIRS = false;
inline Vec fused_pairs(Vec, Vec, Vec c) { return c; }  // which nothing calls
#endif

}  // namespace
}  // namespace xcodec
