#include "fibers.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "sanitizers.h"

#ifndef __x86_64__
#error "the fibers of the CUDA emulator are written for x86-64"
#endif

// Saves what the ABI asks a function to keep, changes stacks, restores: a switch costs a few nanoseconds, where swapcontext makes
// two system calls.
extern "C" void emulation_switch(void** save, void* to);
asm(R"(
.text
.globl emulation_switch
.hidden emulation_switch
.type emulation_switch, @function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch, .-emulation_switch
)");

namespace emulation {
namespace {

constexpr size_t kPage = 4096;
constexpr int kSavedRegisters = 6;
constexpr unsigned kNoOrder = 1;  // to TSan: this switch orders nothing

void* scheduler_stack_pointer;
void* scheduler_fake_stack;
void* scheduler_tsan_fiber;
const void* scheduler_stack;
size_t scheduler_stack_bytes, stack_bytes;

unsigned char* map(void* where, size_t bytes, int flags) {
  void* memory =
      mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (memory == MAP_FAILED) abort();
  return static_cast<unsigned char*>(memory);
}

}  // namespace

void Stacks::prepare(size_t count, size_t bytes) {
  bytes = (bytes + kPage - 1) / kPage * kPage;
  if (bytes != bytes_) discard();
  bytes_ = stack_bytes = bytes;
  while (stacks_.size() < count) {
    unsigned char* memory = map(nullptr, bytes + kPage, 0);
    mprotect(memory, kPage, PROT_NONE);
    stacks_.push_back(memory + kPage);
  }
}

void Stacks::discard() {
  for (unsigned char* stack : stacks_) munmap(stack - kPage, bytes_ + kPage);
  stacks_.clear();
}

void scheduler_is_here() {
  if (__tsan_get_current_fiber) scheduler_tsan_fiber = __tsan_get_current_fiber();
}

void start(Fiber& fiber, unsigned char* stack, size_t bytes, void (*entry)()) {
  if (under_tsan()) map(stack, bytes, MAP_FIXED);  // TSan forgets the thread that had this stack before
  fiber.stack = stack;
  fiber.asan_fake_stack = nullptr;
  // An aligned top, a null return address for entry(), entry() itself, and registers for emulation_switch to restore.
  void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t{63});
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; i++) *--top = nullptr;
  fiber.stack_pointer = top;
  if (__tsan_create_fiber) fiber.tsan_fiber = __tsan_create_fiber(0);
}

void enter(Fiber& fiber) {
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack, stack_bytes);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(fiber.tsan_fiber, kNoOrder);
  emulation_switch(&scheduler_stack_pointer, fiber.stack_pointer);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

void leave(Fiber& fiber, bool for_good) {
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(scheduler_tsan_fiber, kNoOrder);
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber.asan_fake_stack, scheduler_stack, scheduler_stack_bytes);
  emulation_switch(&fiber.stack_pointer, scheduler_stack_pointer);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(fiber.asan_fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

void entered() {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
}

void destroy(Fiber& fiber) {
  if (fiber.tsan_fiber) __tsan_destroy_fiber(fiber.tsan_fiber);
  fiber.tsan_fiber = nullptr;
}

}  // namespace emulation
