#include "kernels/elementwise/convert.h"

#include "kernels/math/math.h"

// Element i of an integer tensor (a bool counts as 0 or 1).
static inline int64_t integer_at(const void* x, int32_t i, int32_t kind) {
    switch (kind) {
        case kMcuU8: return static_cast<const uint8_t*>(x)[i];
        case kMcuS8: return static_cast<const int8_t*>(x)[i];
        case kMcuS16: return static_cast<const int16_t*>(x)[i];
        case kMcuS32: return static_cast<const int32_t*>(x)[i];
        case kMcuS64: return static_cast<const int64_t*>(x)[i];
        default: return static_cast<const uint8_t*>(x)[i] != 0 ? 1 : 0;
    }
}

static inline bool is_float(int32_t kind) { return kind == kMcuF16 || kind == kMcuF32; }

// Element i of a float16 or float32 tensor.
static inline float float_at(const void* x, int32_t i, int32_t kind) {
    return kind == kMcuF16 ? mcu_from_half(static_cast<const uint16_t*>(x)[i]) : static_cast<const float*>(x)[i];
}

// x towards zero; 0 for a NaN, the nearest int64 for what is out of range.
static inline int64_t to_integer(float x) {
    if (x != x) return 0;
    if (x >= 9223372036854775808.0f) return INT64_MAX;
    if (x < -9223372036854775808.0f) return INT64_MIN;
    return int64_t(x);
}

template <typename Integer>
static inline void convert(const void* x, Integer* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        const int64_t value = is_float(kind) ? to_integer(float_at(x, i, kind)) : integer_at(x, i, kind);
        out[i] = Integer(value);
    }
}

void mcu_convert_u8(const void* x, uint8_t* out, int32_t n, int32_t kind) { convert(x, out, n, kind); }
void mcu_convert_s8(const void* x, int8_t* out, int32_t n, int32_t kind) { convert(x, out, n, kind); }
void mcu_convert_s16(const void* x, int16_t* out, int32_t n, int32_t kind) { convert(x, out, n, kind); }
void mcu_convert_s32(const void* x, int32_t* out, int32_t n, int32_t kind) { convert(x, out, n, kind); }
void mcu_convert_s64(const void* x, int64_t* out, int32_t n, int32_t kind) { convert(x, out, n, kind); }

void mcu_convert_f32(const void* x, float* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = is_float(kind) ? float_at(x, i, kind) : float(integer_at(x, i, kind));
    }
}

void mcu_convert_bool(const void* x, bool* out, int32_t n, int32_t kind) {
    for (int32_t i = 0; i < n; ++i) {
        out[i] = is_float(kind) ? float_at(x, i, kind) != 0.0f : integer_at(x, i, kind) != 0;
    }
}
