// Subnormal numbers count as zero on every target. On a microcontroller the startup code sets this once; on a
// host it is set here, for the whole program or around calls into a library.
#pragma once

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
inline uint64_t float_mode_get() { return _mm_getcsr(); }
inline void float_mode_set(uint64_t mode) { _mm_setcsr(static_cast<uint32_t>(mode)); }
inline constexpr uint64_t kFlushSubnormals = 0x8040;  // MXCSR: flush to zero, denormals are zero
inline constexpr uint64_t kFloatModeMask = 0xE040;    // these, and the rounding mode, which must be nearest
#elif defined(__aarch64__)
inline uint64_t float_mode_get() {
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
inline void float_mode_set(uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
inline constexpr uint64_t kFlushSubnormals = 1u << 24;  // FPCR.FZ
inline constexpr uint64_t kFloatModeMask = 7u << 22;    // this, and the rounding mode
#else
#error "How does this processor flush subnormal floats to zero? Say it here."
#endif

// The mode that every kernel expects, from here to the end of the scope.
class FloatMode {
  public:
    FloatMode() : before_(float_mode_get()) { float_mode_set((before_ & ~kFloatModeMask) | kFlushSubnormals); }
    ~FloatMode() { float_mode_set(before_); }
    FloatMode(const FloatMode&) = delete;
    FloatMode& operator=(const FloatMode&) = delete;

  private:
    uint64_t before_;
};
