// The distance between two rows, by METRIC: 0 euclidean (squared), 1 manhattan, 2 chebyshev.
#pragma once
#include "ptx.cuh"

#ifndef METRIC
#define METRIC 0
#endif

// One more feature of the screen: its score is the product of the rows, or the distance below zero.
__device__ __forceinline__ float scored(float score, float a, float b) {
#if METRIC == 0
  return __fmaf_rn(a, b, score);
#elif METRIC == 1
  return score - fabsf(a - b);
#else
  return fminf(score, -fabsf(a - b));
#endif
}
