// Subnormal numbers count as zero on every target. A firmware's start-up sets that once (startup.cpp); around calls
// into a library it is set here, since the program's own mode may be another.
#pragma once

#include <stdint.h>

#if defined(__ARM_FP)
// The mode that every kernel expects, from here to the end of the scope. "memory": the kernels' calls stay inside.
class FloatMode {
  public:
    FloatMode() {
        asm volatile("vmrs %0, fpscr" : "=r"(before_));
        set((before_ & ~kMask) | kFlushToZero);
    }
    ~FloatMode() { set(before_); }
    FloatMode(const FloatMode&) = delete;
    FloatMode& operator=(const FloatMode&) = delete;

  private:
    static void set(uint32_t mode) { asm volatile("vmsr fpscr, %0" : : "r"(mode) : "memory"); }

    static constexpr uint32_t kFlushToZero = 1u << 24;
    static constexpr uint32_t kMask = 0x1Fu << 22;  // AHP, DN, FZ and the rounding mode, which must be nearest

    uint32_t before_;
};
#else
// A core without the unit has no mode.
class FloatMode {
  public:
    FloatMode() {}
    ~FloatMode() {}
};
#endif
