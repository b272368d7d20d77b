// Softmax's numerators as int8 on Helium (Armv8.1-M MVE with floats): kernels/attention/exp_shares_s8.h.
//
// By hand, because compilers load half of the constants anew for every four. The formula and the order of operations are
// those of mcu_exp_share (kernels/math/math.h). Four vectors at a time, then one; where a row ends within one, the loop's
// own predicate tells.
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)

    .syntax unified
    .thumb

// q0 the greatest so far.
.macro FOUR_GREATER
    vldrw.u32 q1, [r12], #16
    vmaxnm.f32 q0, q0, q1
.endm

// r12 their sum so far; q3 what t is at least.
.macro FOUR_SHARES
    vldrw.u32 q0, [r0], #16
    vadd.f32 q0, q0, r4
    vmul.f32 q0, q0, r6             // t
    vmaxnm.f32 q0, q0, q3
    vadd.f32 q1, q0, r7
    vsub.f32 q2, q1, r7             // n
    vsub.f32 q0, q0, q2             // f
    vmul.f32 q2, q0, r8
    vadd.f32 q2, q2, r9
    vfmas.f32 q2, q0, r10
    vfmas.f32 q2, q0, r5
    vshl.i32 q1, q1, #23            // the rounder's own bits leave the word
    vadd.i32 q2, q2, q1
    vcvtn.s32.f32 q2, q2
    vaddva.s32 r12, q2
    vstrb.32 q2, [r1], #4
.endm

// (scores r0, p r1, count r2) -> r0
    .section .text.mcu_exp_shares_s8, "ax", %progbits
    .p2align 2
    .global mcu_exp_shares_s8
    .thumb_func
    .type mcu_exp_shares_s8, %function
mcu_exp_shares_s8:
    push {r4-r11, lr}
    adr r3, .Lconstants
    ldm r3, {r4, r5, r6, r7, r8, r9, r10, r11}
    vdup.32 q0, r4
    mov r12, r0
    lsr r3, r2, #4
    and r2, r2, #15
    wls lr, r3, .Lrest_greatest
.Lgreatest:
    .rept 4
    FOUR_GREATER
    .endr
    le lr, .Lgreatest
.Lrest_greatest:
    wlstp.32 lr, r2, .Lfound
.Lone_greatest:
    FOUR_GREATER
    letp lr, .Lone_greatest
.Lfound:
    vmaxnmv.f32 r4, q0              // of -infinity and all lanes
    vdup.32 q3, r5
    mov r5, r11
    eor r4, r4, #0x80000000
    movs r12, #0
    wls lr, r3, .Lrest_shares
.Lshares:
    .rept 4
    FOUR_SHARES
    .endr
    le lr, .Lshares
.Lrest_shares:
    wlstp.32 lr, r2, .Lend
.Lone_share:
    FOUR_SHARES
    letp lr, .Lone_share
.Lend:
    mov r0, r12
    pop {r4-r11, pc}
    .p2align 2
.Lconstants:
    .word 0xFF800000                // -infinity
    .word 0xC2800000                // -64
    .word 0x3FB8AA3B                // log2 e
    .word 0x4B400000                // 1.5 * 2^23
    .word 0x40DF8E82                // of degree 3
    .word 0x41F6162B                // of degree 2
    .word 0x42B01808                // of degree 1
    .word 0x42FE0000                // 127
    .size mcu_exp_shares_s8, . - mcu_exp_shares_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
