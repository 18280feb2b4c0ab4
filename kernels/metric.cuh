// The distance between two rows, by METRIC: 0 euclidean (squared), 1 manhattan, 2 chebyshev.
#pragma once
#include "ptx.cuh"

#ifndef METRIC
#define METRIC 0
#endif

// What a feature adds to the canonical distance, and how two such terms, or sums of them, become one.
__device__ __forceinline__ double metric_term(double x, double y, double scale) {
  const double scaled = __dmul_rn(__dsub_rn(x, y), scale);
  return METRIC == 0 ? __dmul_rn(scaled, scaled) : fabs(scaled);
}
// No term is NaN: a comparison takes fewer registers than fmax.
__device__ __forceinline__ double metric_sum(double a, double b) {
  if (METRIC == 2) return a < b ? b : a;
  return __dadd_rn(a, b);
}

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
