// What the library says about itself; its functions are in the other files.

#ifndef XCODEC_VARIANT

#include "interface.h"

#ifdef XCODEC_NEONBF16
#include <sys/auxv.h>
#endif

// Which arguments the library's functions take: a number that setup.py works out from signatures.py.
XCODEC_EXPORT int xcodec_interface() { return XCODEC_INTERFACE; }

// The variants that were compiled and that this processor runs: bit 0 baseline, bit 1 AVX2, bit 2 AVX-512, bit 3
// AVX-512 with its products of bfloat16 and of small whole numbers, bit 4 NEON, bit 5 NEON with its products of
// bfloat16.
XCODEC_EXPORT int xcodec_variants() {
  int variants = 0;
#ifdef XCODEC_BASELINE
  variants |= 1;
#endif
#ifdef XCODEC_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) variants |= 2;
#endif
#ifdef XCODEC_AVX512
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    variants |= 4;
#endif
#ifdef XCODEC_AVX512BF16
  if (variants & 4 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) variants |= 8;
#endif
#ifdef XCODEC_NEON
  variants |= 16;
#endif
#ifdef XCODEC_NEONBF16
  if (getauxval(AT_HWCAP2) & (1 << 14)) variants |= 32;  // HWCAP2_BF16, which older headers do not name
#endif
  return variants;
}

#endif
