#include "kernels/linear/linear_s8_packed.h"

#include "kernels/linear/epilogue.h"
#include "kernels/linear/packed_s8.h"
#include "kernels/math/variant.h"

#if !defined(MCU_HELIUM)
// out[n] of one row x[k] = the epilogue of its products with packed weights; epilogue_of(group) gives it, with
// pointers to that group's eight channels.
template <typename Out, typename EpilogueOf>
static inline void product(const int8_t* x, const int8_t* weight, Out* out, int32_t k, int32_t n,
                           EpilogueOf epilogue_of) {
    for (int32_t first = 0; first < n; first += MCU_PACKED_ROWS, weight += mcu_packed_group_bytes(k)) {
        int32_t sums[MCU_PACKED_ROWS];
        mcu_packed_sums(x, weight, k, sums);
        const auto epilogue = epilogue_of(first / MCU_PACKED_ROWS);
        const int32_t count = n - first < MCU_PACKED_ROWS ? n - first : MCU_PACKED_ROWS;
#pragma GCC unroll 1  // eight of them would be as long as the product itself
        for (int32_t c = 0; c < count; ++c) epilogue(McuOneSum{}, c, sums[c], out + first);
    }
}

void mcu_linear_s8_packed(const int8_t* x, const float* x_scale, const int8_t* weight, const float* weight_scale,
                          const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, weight, out, k, n, [=](int32_t group) {
            const int32_t first = group * MCU_PACKED_ROWS;
            return McuDynamicEpilogue{weight_scale + first, bias ? bias + first : nullptr, x_scale[row]};
        });
    }
}

void mcu_linear_s8_static_packed(const int8_t* x, const int8_t* weight, const int32_t* offset, const float* scale,
                                 const float* bias, float* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, weight, out, k, n, [=](int32_t group) {
            const int32_t first = group * MCU_PACKED_ROWS;
            return McuStaticEpilogue{offset + first, scale + first, bias ? bias + first : nullptr};
        });
    }
}

void mcu_linear_s8_requantize_packed(const int8_t* x, const int8_t* weight, const int32_t* constants, int8_t* out,
                                     int32_t rows, int32_t k, int32_t n, int32_t zero_point, int32_t low,
                                     int32_t high) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n) {
        product(x, weight, out, k, n, [=](int32_t group) {
            return McuPackedRequantizeEpilogue{constants + group * 3 * MCU_PACKED_ROWS, zero_point, low, high};
        });
    }
}

void mcu_linear_s8_add_s16_packed(const int16_t* added, const int8_t* x, const int8_t* weight, const int32_t* constants,
                                  int16_t* out, int32_t rows, int32_t k, int32_t n) {
    for (int32_t row = 0; row < rows; ++row, x += k, out += n, added += n) {
        product(x, weight, out, k, n, [=](int32_t group) {
            const int32_t* c = constants + group * 3 * MCU_PACKED_ROWS;
            return McuAddEpilogue{c, c + MCU_PACKED_ROWS, c + 2 * MCU_PACKED_ROWS, added + group * MCU_PACKED_ROWS};
        });
    }
}
#endif
