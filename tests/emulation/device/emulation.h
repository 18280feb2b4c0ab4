// The CUDA dialect for g++, in front of every kernel. Every CUDA thread is a fiber of ../runtime; the package's docstring says
// what is emulated and what is not.
#pragma once
// The host's headers first: language.h makes macros of words that they use (__noinline__).
#include <cassert>
#include <cfenv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "language.h"
#include "vectors.h"
#include "barriers.h"
#include "warp.h"
#include "atomics.h"
#include "memory.h"
#include "arithmetic.h"
#include "integers.h"
#include "launch.h"
