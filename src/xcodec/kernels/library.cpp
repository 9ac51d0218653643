// What the library says about itself; its functions are in the other files.

#ifndef XCODEC_VARIANT

#include "interface.h"

// Which arguments the library's functions take: a number that setup.py works out from signatures.py.
XCODEC_EXPORT int xcodec_interface() { return XCODEC_INTERFACE; }

// The variants that were compiled and that this processor runs: bit 0 baseline, bit 1 AVX2, bit 2 AVX-512, bit 3
// AVX-512 with its products of bfloat16.
XCODEC_EXPORT int xcodec_variants() {
  int variants = 1;
#ifdef XCODEC_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) variants |= 2;
#endif
#ifdef XCODEC_AVX512
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    variants |= 4;
#endif
#ifdef XCODEC_AVX512BF16
  if (variants & 4 && __builtin_cpu_supports("avx512bf16")) variants |= 8;
#endif
  return variants;
}

#endif
