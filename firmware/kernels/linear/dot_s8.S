// One int8 row times four channels with the DSP instructions of Cortex-M4, M7 and M33: kernels/linear/dot_s8_dsp.h.
//
// By hand, because compilers run out of registers and keep pointers and sums on the stack. Two pointers into the weights
// and the distance to the other two channels; 23 instructions for 16 products, and two for each round of UNROLL.
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)

    .syntax unified
    .thumb

    .equ UNROLL, 2
    .equ FOUR_BYTES, 92     // of code for four columns: 23 instructions

// (x r0, w r1, k r2, sums r3): sums[j] = sum x[i] * w[j * k + i] over the whole fours of k columns.
    .section .text.mcu_dot4_fours_s8, "ax", %progbits
    .p2align 2
    .global mcu_dot4_fours_s8
    .thumb_func
    .type mcu_dot4_fours_s8, %function
mcu_dot4_fours_s8:
    push {r3-r11, lr}
    lsls r3, r2, #1                 // to the channel after the next
    bic r12, r2, #3
    add r2, r2, r1
    movs r4, #0
    movs r5, #0
    movs r6, #0
    movs r7, #0
    cmp r12, #0
    beq .Lsummed
    ubfx r8, r12, #2, #1
    add r12, r12, r0                // where x ends
    rsb r8, r8, #UNROLL
    and r8, r8, #UNROLL - 1         // what the first round leaves out
    movs r9, #FOUR_BYTES
    adr.w lr, .Lround
    mla lr, r8, r9, lr
    orr lr, lr, #1                  // Thumb
    bx lr
    .p2align 2
.Lround:
    .rept UNROLL
    ldr.w r9, [r0], #4
    ldr.w r10, [r1, r3]
    sxtb16 r8, r9
    sxtb16 r9, r9, ror #8
    sxtb16 r11, r10
    sxtb16 r10, r10, ror #8
    smlad r6, r8, r11, r6
    ldr.w r11, [r2, r3]
    smlad r6, r9, r10, r6
    sxtb16 r10, r11
    sxtb16 r11, r11, ror #8
    smlad r7, r8, r10, r7
    ldr.w r10, [r1], #4
    smlad r7, r9, r11, r7
    sxtb16 r11, r10
    sxtb16 r10, r10, ror #8
    smlad r4, r8, r11, r4
    ldr.w r11, [r2], #4
    smlad r4, r9, r10, r4
    sxtb16 r10, r11
    sxtb16 r11, r11, ror #8
    smlad r5, r8, r10, r5
    smlad r5, r9, r11, r5
    .endr
    cmp r0, r12
    bne .Lround
.Lsummed:
    pop {r3}
    stm r3, {r4-r7}
    pop {r4-r11, pc}
    .size mcu_dot4_fours_s8, . - mcu_dot4_fours_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
