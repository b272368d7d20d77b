#include "kernels/elementwise/clamp.h"

template <typename T>
static inline void clamp(const T* x, T* out, int32_t n, T low, T high) {
    for (int32_t i = 0; i < n; ++i) out[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

void mcu_clamp_f32(const float* x, float* out, int32_t n, float low, float high) { clamp(x, out, n, low, high); }
void mcu_clamp_s8(const int8_t* x, int8_t* out, int32_t n, int8_t low, int8_t high) { clamp(x, out, n, low, high); }
void mcu_clamp_s32(const int32_t* x, int32_t* out, int32_t n, int32_t low, int32_t high) {
    clamp(x, out, n, low, high);
}
void mcu_clamp_s64(const int64_t* x, int64_t* out, int32_t n, int64_t low, int64_t high) {
    clamp(x, out, n, low, high);
}
