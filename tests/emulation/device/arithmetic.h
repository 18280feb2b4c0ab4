// Floating-point and conversion intrinsics. The build forbids contraction, so + - * / are IEEE operations, each rounded once.
#pragma once
#include <cfenv>
#include <climits>
#include <cmath>
#include <cstring>
#include <limits>

namespace emulation {

template <class To, class From>
static inline To bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "reinterpreting needs equal sizes");
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

// One operation under another rounding mode. The operands and the result pass through volatile variables between the two changes
// of mode, so that the compiler can neither move nor fold the operation.
template <class T>
static inline T opaque(T value) {
  volatile T variable = value;
  return variable;
}
template <class T, class F, class... Operands>
static inline T rounded(int mode, F operation, Operands... operands) {
  const int before = std::fegetround();
  std::fesetround(mode);
  const T result = opaque<T>(operation(opaque(operands)...));
  std::fesetround(before);
  return result;
}

// Conversion to an integer as the device does it: saturating, NaN to 0.
template <class I, class F>
static inline I to_integer(F value) {
  if (value != value) return 0;
  const F low = static_cast<F>(std::numeric_limits<I>::min()), high = static_cast<F>(std::numeric_limits<I>::max());
  if (value <= low) return std::numeric_limits<I>::min();
  if (value >= high) return std::numeric_limits<I>::max();
  return static_cast<I>(value);
}

}  // namespace emulation

// name_rn, _rz, _ru, _rd of one operation: EMULATION_ROUNDED(result, name, (parameters), operation, operands...)
#define EMULATION_ROUNDED(T, name, parameters, operation, ...)                                                        \
  static inline T name##_rn parameters { return operation; }                                                          \
  EMULATION_DIRECTED(T, name##_rz, FE_TOWARDZERO, parameters, operation, __VA_ARGS__)                                 \
  EMULATION_DIRECTED(T, name##_ru, FE_UPWARD, parameters, operation, __VA_ARGS__)                                     \
  EMULATION_DIRECTED(T, name##_rd, FE_DOWNWARD, parameters, operation, __VA_ARGS__)
#define EMULATION_DIRECTED(T, name, mode, parameters, operation, ...)                                                 \
  static inline T name parameters { return emulation::rounded<T>(mode, [] parameters { return operation; }, __VA_ARGS__); }
#define EMULATION_ARITHMETIC(T, sum, difference, product, quotient, fused, root, reciprocal)                          \
  EMULATION_ROUNDED(T, sum, (T a, T b), a + b, a, b)                                                                  \
  EMULATION_ROUNDED(T, difference, (T a, T b), a - b, a, b)                                                           \
  EMULATION_ROUNDED(T, product, (T a, T b), a * b, a, b)                                                              \
  EMULATION_ROUNDED(T, quotient, (T a, T b), a / b, a, b)                                                             \
  EMULATION_ROUNDED(T, fused, (T a, T b, T c), std::fma(a, b, c), a, b, c)                                            \
  EMULATION_ROUNDED(T, root, (T a), std::sqrt(a), a)                                                                  \
  EMULATION_ROUNDED(T, reciprocal, (T a), T(1) / a, a)
#define EMULATION_CONVERSION(To, From, name) EMULATION_ROUNDED(To, name, (From a), static_cast<To>(a), a)

EMULATION_ARITHMETIC(float, __fadd, __fsub, __fmul, __fdiv, __fmaf, __fsqrt, __frcp)
EMULATION_ARITHMETIC(double, __dadd, __dsub, __dmul, __ddiv, __fma, __dsqrt, __drcp)
EMULATION_CONVERSION(float, double, __double2float)
EMULATION_CONVERSION(float, int, __int2float)
EMULATION_CONVERSION(float, unsigned, __uint2float)
EMULATION_CONVERSION(float, long long, __ll2float)
EMULATION_CONVERSION(float, unsigned long long, __ull2float)
EMULATION_CONVERSION(double, long long, __ll2double)
EMULATION_CONVERSION(double, unsigned long long, __ull2double)

#define EMULATION_TO_INTEGER(I, F, name)                                                                              \
  static inline I name##_rn(F a) { return emulation::to_integer<I>(std::nearbyint(a)); }                              \
  static inline I name##_rz(F a) { return emulation::to_integer<I>(std::trunc(a)); }                                  \
  static inline I name##_ru(F a) { return emulation::to_integer<I>(std::ceil(a)); }                                   \
  static inline I name##_rd(F a) { return emulation::to_integer<I>(std::floor(a)); }
EMULATION_TO_INTEGER(int, float, __float2int)
EMULATION_TO_INTEGER(unsigned, float, __float2uint)
EMULATION_TO_INTEGER(long long, float, __float2ll)
EMULATION_TO_INTEGER(unsigned long long, float, __float2ull)
EMULATION_TO_INTEGER(int, double, __double2int)
EMULATION_TO_INTEGER(unsigned, double, __double2uint)
EMULATION_TO_INTEGER(long long, double, __double2ll)
EMULATION_TO_INTEGER(unsigned long long, double, __double2ull)

static inline double __int2double_rn(int a) { return a; }
static inline double __uint2double_rn(unsigned a) { return a; }

static inline int __float_as_int(float a) { return emulation::bits<int>(a); }
static inline unsigned __float_as_uint(float a) { return emulation::bits<unsigned>(a); }
static inline float __int_as_float(int a) { return emulation::bits<float>(a); }
static inline float __uint_as_float(unsigned a) { return emulation::bits<float>(a); }
static inline long long __double_as_longlong(double a) { return emulation::bits<long long>(a); }
static inline double __longlong_as_double(long long a) { return emulation::bits<double>(a); }
static inline int __double2hiint(double a) { return static_cast<int>(emulation::bits<long long>(a) >> 32); }
static inline int __double2loint(double a) { return static_cast<int>(emulation::bits<long long>(a)); }
static inline double __hiloint2double(int high, int low) {
  return emulation::bits<double>(static_cast<unsigned long long>(static_cast<unsigned>(high)) << 32 | static_cast<unsigned>(low));
}

// The device approximates these to within a unit or two in the last place; here they are exact to rounding. Nothing that must be
// the same bits everywhere may use them.
static inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
static inline double rsqrt(double a) { return 1.0 / std::sqrt(a); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }

// min and max of the device's overload set; floating ones return the number when one argument is NaN, as fmin does.
#define EMULATION_MIN_MAX(T, smaller, larger)                                                                         \
  static inline T min(T a, T b) { return smaller; }                                                                   \
  static inline T max(T a, T b) { return larger; }
EMULATION_MIN_MAX(int, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(unsigned, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(long, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(unsigned long, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(long long, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(unsigned long long, b < a ? b : a, a < b ? b : a)
EMULATION_MIN_MAX(float, std::fmin(a, b), std::fmax(a, b))
EMULATION_MIN_MAX(double, std::fmin(a, b), std::fmax(a, b))
