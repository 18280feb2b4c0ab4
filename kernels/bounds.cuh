// From scores to bounds of distances: gpuclust/engines/canonical.py, in float32 rounded outward.
//
// The true score of a row with centre j lies in [U - E - twice[j], U + E], U being the computed score, E the row's
// slack; the distance is sqrt(norm - 2 score) * inverse_unit in scaled units.
#pragma once

#define INFINITE __int_as_float(0x7f800000)

constexpr float OUTWARD = 1.0f / (1 << 20), TINY = OUTWARD * OUTWARD * OUTWARD * OUTWARD * OUTWARD * OUTWARD;
constexpr float GROW = 1.0f + OUTWARD, SHRINK = 1.0f - OUTWARD;
// Covers the few roundings, 2**-24 each, of the sums below and of norm; relative to the terms' absolute values.
constexpr float SUM_ROUNDING = 1.0f / (1 << 21);

// Below this score another centre is excluded, once one scored `best` with the bound `twice` of its own.
__device__ __forceinline__ float exclusion_limit(float best, float twice, float slack) {
  const float error = (twice + 2.0f * slack) * (1.0f + SUM_ROUNDING);
  return best - (error + fabsf(best) * SUM_ROUNDING);
}

// Below this score the distance, times the unit, is more than the square root of `square`.
__device__ __forceinline__ float score_at(float norm, float square, float slack) {
  return 0.5f * (norm - square) - (slack * (1.0f + SUM_ROUNDING) + (norm + square) * SUM_ROUNDING);
}

// From this score less the centre's `twice` on the distance, times the unit, is at most the square root of `square`.
__device__ __forceinline__ float score_within(float norm, float square, float slack) {
  return 0.5f * (norm - square) + (slack * (1.0f + SUM_ROUNDING) + (norm + square) * SUM_ROUNDING);
}

__device__ __forceinline__ float squared_distance_pad(float norm, float score, float error) {
  return 2.0f * error * (1.0f + SUM_ROUNDING) + (norm + 2.0f * fabsf(score)) * SUM_ROUNDING;
}

// The distance is at most this where the score is at least score - error; NaN if any of them is.
__device__ __forceinline__ float distance_from_above(float norm, float score, float error, float inverse_unit) {
  const float square = norm - 2.0f * score + squared_distance_pad(norm, score, error);
  return sqrtf(square < 0.0f ? 0.0f : square) * inverse_unit * GROW;
}

// The distance is at least this where the score is at most score + error; 0 if any of them is NaN.
__device__ __forceinline__ float distance_from_below(float norm, float score, float error, float inverse_unit) {
  const float square = norm - 2.0f * score - squared_distance_pad(norm, score, error);
  return sqrtf(fmaxf(square, 0.0f)) * inverse_unit * SHRINK;
}
