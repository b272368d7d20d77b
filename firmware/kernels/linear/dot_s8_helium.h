// kernels/linear/dot_s8.h on Helium: four products that share a factor take ten instructions for 64 of their terms.
#pragma once

#include <arm_mve.h>
#include <stdint.h>

static inline int32_t mcu_dot_s8(const int8_t* a, const int8_t* b, int32_t k) {
    int32_t sum = 0;
    int32_t i = 0;
    for (; i + 16 <= k; i += 16) sum = vmladavaq_s8(sum, vldrbq_s8(a + i), vldrbq_s8(b + i));
    if (i < k) {
        const mve_pred16_t tail = vctp8q(uint32_t(k - i));
        sum = vmladavaq_s8(sum, vldrbq_z_s8(a + i, tail), vldrbq_z_s8(b + i, tail));
    }
    return sum;
}

// sums[j] = sum over i of a[i] * b[j * stride + i], i < k, for j < 4; exact in int32 for k <= 131,071.
static inline void mcu_dot4_s8_helium(const int8_t* a, const int8_t* b, int32_t stride, int32_t k, int32_t sums[4]) {
    const int8_t* b1 = b + stride;
    const int8_t* b2 = b1 + stride;
    const int8_t* b3 = b2 + stride;
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    if (k >= 16) {
        // From intrinsics GCC makes a pointer's step an instruction of its own, which is half as much again.
        asm volatile(
            "dls lr, %[blocks]\n\t"
            "1:\n\t"
            "vldrb.u8 q0, [%[a]], #16\n\t"
            "vldrb.u8 q1, [%[b]], #16\n\t"
            "vmladava.s8 %[s0], q0, q1\n\t"
            "vldrb.u8 q2, [%[b1]], #16\n\t"
            "vmladava.s8 %[s1], q0, q2\n\t"
            "vldrb.u8 q1, [%[b2]], #16\n\t"
            "vmladava.s8 %[s2], q0, q1\n\t"
            "vldrb.u8 q2, [%[b3]], #16\n\t"
            "vmladava.s8 %[s3], q0, q2\n\t"
            "le lr, 1b"
            : [a] "+r"(a), [b] "+r"(b), [b1] "+r"(b1), [b2] "+r"(b2), [b3] "+r"(b3), [s0] "+Te"(s0), [s1] "+Te"(s1),
              [s2] "+Te"(s2), [s3] "+Te"(s3)
            : [blocks] "r"(k >> 4)
            : "lr", "q0", "q1", "q2", "memory");
    }
    if ((k & 15) != 0) {
        const mve_pred16_t tail = vctp8q(uint32_t(k & 15));
        const int8x16_t factor = vldrbq_z_s8(a, tail);
        s0 = vmladavaq_s8(s0, factor, vldrbq_z_s8(b, tail));
        s1 = vmladavaq_s8(s1, factor, vldrbq_z_s8(b1, tail));
        s2 = vmladavaq_s8(s2, factor, vldrbq_z_s8(b2, tail));
        s3 = vmladavaq_s8(s3, factor, vldrbq_z_s8(b3, tail));
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static inline int32_t mcu_dots_s8(const int8_t* x, const int8_t* w, int32_t k, int32_t channels, int32_t sums[4]) {
    if (channels >= 4) {
        mcu_dot4_s8_helium(x, w, k, k, sums);
        return 4;
    }
    sums[0] = mcu_dot_s8(x, w, k);
    return 1;
}

static inline int32_t mcu_sum_s8(const int8_t* x, int32_t n) {
    int32_t sum = 0;
    for (; n >= 16; n -= 16, x += 16) sum = vaddvaq_s8(sum, vldrbq_s8(x));
    if (n > 0) sum = vaddvaq_s8(sum, vldrbq_z_s8(x, vctp8q(uint32_t(n))));
    return sum;
}
