// From a kernel to functions that Python can call: how to launch it, and what its parameters are.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

namespace emulation {

// How Python asks for a launch (module.py has the same structure).
struct Launch {
  unsigned grid[3], block[3];
  size_t dynamic_shared, shared_limit, stack;
  int order;  // 0 fifo, 1 lifo, 2 random
  unsigned long long seed;
  int resident, yields;
};
int launch(void (*kernel)(void**), void** arguments, const Launch& launch);

// The kind of a type as in NumPy's dtype.kind; V stands for every structure, and for void.
template <class T>
struct Kind {
  static constexpr char value = std::is_same_v<T, bool>         ? 'b'
                                : std::is_floating_point_v<T>   ? 'f'
                                : std::is_unsigned_v<T>         ? 'u'
                                : std::is_integral_v<T>         ? 'i'
                                                                : 'V';
};
template <class T>
struct Size {
  static constexpr unsigned value = sizeof(T);
};
template <>
struct Size<void> {
  static constexpr unsigned value = 0;
};

struct Parameter {
  char kind;
  bool pointer, constant;  // constant: a pointer to const
  unsigned size;           // of the value, or of what is pointed to
};
template <class T>
constexpr Parameter parameter() {
  if constexpr (std::is_pointer_v<T>) {
    using Pointee = std::remove_pointer_t<T>;
    using Bare = std::remove_cv_t<Pointee>;
    return {Kind<Bare>::value, true, std::is_const_v<Pointee>, Size<Bare>::value};
  } else {
    return {Kind<T>::value, false, true, Size<T>::value};
  }
}

template <auto kernel>
struct Entry;
template <class... Parameters, void (*kernel)(Parameters...)>
struct Entry<kernel> {
  static constexpr int count = sizeof...(Parameters);
  static constexpr Parameter parameters[count + 1] = {parameter<std::remove_cv_t<Parameters>>()...};
  template <size_t... I>
  static void call(void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<Parameters>*>(arguments[I])...);
  }
  static void run(void** arguments) { call(arguments, std::index_sequence_for<Parameters...>{}); }
};

}  // namespace emulation

#define EMULATION_PUBLIC extern "C" __attribute__((visibility("default")))
// source.py writes this before every kernel, after a declaration of it; further arguments are those of __launch_bounds__.
#define EMULATION_EXPORT(kernel, max_threads, ...)                                                                                   \
  EMULATION_PUBLIC int emulated_launch_##kernel(void** arguments, const ::emulation::Launch* launch) {                \
    return ::emulation::launch(&::emulation::Entry<&kernel>::run, arguments, *launch);                                \
  }                                                                                                                   \
  EMULATION_PUBLIC int emulated_parameters_##kernel(const ::emulation::Parameter** parameters) {                      \
    *parameters = ::emulation::Entry<&kernel>::parameters;                                                            \
    return ::emulation::Entry<&kernel>::count;                                                                        \
  }                                                                                                                   \
  EMULATION_PUBLIC int emulated_max_threads_##kernel() { return max_threads; }
