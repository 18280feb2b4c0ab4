#include "faults.h"

#include <signal.h>

#include <cstdio>

#include "sanitizers.h"
#include "state.h"

namespace emulation {

sigjmp_buf FaultGuard::back;

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t kStackBytes = 64 << 10;  // a fault may be the end of a fiber's stack: the handler has its own
char handler_stack[kStackBytes];
struct sigaction actions_before[4];
stack_t stack_before;
int fault_signal;
void* fault_address;

void handle(int signal, siginfo_t* information, void*) {
  fault_signal = signal;
  fault_address = information->si_addr;
  siglongjmp(FaultGuard::back, 1);
}

}  // namespace

FaultGuard::FaultGuard() : active_(!__sanitizer_start_switch_fiber && !under_tsan()) {
  if (!active_) return;
  stack_t stack = {};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, &stack_before);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < 4; i++) sigaction(kSignals[i], &action, &actions_before[i]);
}

FaultGuard::~FaultGuard() {
  if (!active_) return;
  for (int i = 0; i < 4; i++) sigaction(kSignals[i], &actions_before[i], nullptr);
  sigaltstack(&stack_before, nullptr);
}

std::string FaultGuard::what() {
  char text[256];
  const Thread& t = *running;
  const char* kind = fault_signal == SIGFPE ? "an integer division by zero"
                     : fault_signal == SIGILL ? "an instruction that cannot be"
                     : fault_address          ? "an access out of bounds, or too deep a stack"
                                              : "an access to a misaligned address, or far out of bounds";
  snprintf(text, sizeof text, "fault: %s (address %p) in block (%u, %u, %u), thread (%u, %u, %u)", kind, fault_address,
           t.block.x, t.block.y, t.block.z, t.thread.x, t.thread.y, t.thread.z);
  return text;
}

}  // namespace emulation
