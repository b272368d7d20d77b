// The parts of a depthwise convolution on Helium (Armv8.1-M MVE): kernels/conv/depthwise_pairs_s8.h.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/quantize/requantize_macros.inc"

    .syntax unified
    .thumb

    .equ PIXEL_BYTES, 64    // 16 words
    .equ CHANNEL_BYTES, 20  // of zeros and weights; bias, multiplier and shift behind them

.macro BEGIN function
    .section .text.\function, "ax", %progbits
    .p2align 2
    .global \function
    .thumb_func
    .type \function, %function
\function:
.endm

// Pairs of outputs. A gather fetches the four words under an output, one multiply-accumulate sums its window. Where
// windows are one pixel apart, the same words are the next output's too, with the weights a word further on. Eight
// outputs of a channel share its bias, multiplier and shift: q2 are four pairs' first ones, q3 their second ones. By
// hand, because compilers keep half of the registers on the stack.
//
// In the loop: r1 bias, r3 multiplier, r5 shift, r7 the channel's outputs, r9 the zero point, r11 the next eight; q0 the
// offsets of four pixels' words, q4 the weights, q5 those a word further on, or the offsets two pixels further on.

// McuDepthwisePairs.
    .equ ZERO_POINT, 24

    .equ FRAME_CHANNEL, 0   // the next one, and their end
    .equ FRAME_COUNT, 8
    .equ FRAME_EIGHTS, 12
    .equ FRAME_HALF, 16
    .equ FRAME_BYTES, 20

// The sums of a pair whose words begin at `from`, which may be `second`, not `first`.
.macro PAIR stride, from, first, second
    vldrw.u32 q1, [\from, q0]
    vmladav.s8 \first, q1, q4
    .if \stride == 1
    vmladav.s8 \second, q1, q5
    .else
    vldrw.u32 q1, [\from, q5]
    vmladav.s8 \second, q1, q4
    .endif
.endm

// The bias is added; the shift is never 0. r2 is 1.
.macro FINISH sums
    vadd.i32 \sums, \sums, r1
    REQUANTIZE_SHARED \sums, r3, r5, r2
.endm

.macro PAIRS stride, function
    BEGIN \function
    push {r4-r11, lr}
    vpush {d8-d11}
    vpush {d14-d15}
    sub sp, #FRAME_BYTES
    ldr r9, [r0, #ZERO_POINT]
    ldm r0, {r1-r5, r7}
    mov r10, r1
    stm sp, {r1-r5}
    movs r2, #0
    vidup.u32 q0, r2, #1
    vshl.i32 q0, q0, #6             // PIXEL_BYTES apart
.Lchannel_\stride:
    .if \stride == 1
    vldrb.u8 q4, [r10, #4]
    vldrb.u8 q5, [r10], #CHANNEL_BYTES
    .else
    movs r2, #2 * PIXEL_BYTES
    vadd.i32 q5, q0, r2
    adds r10, r10, #4
    vldrb.u8 q4, [r10], #CHANNEL_BYTES - 4
    .endif
    ldm r10!, {r1, r3, r5}
    str r10, [sp, #FRAME_CHANNEL]
    ldrd r0, r11, [sp, #FRAME_COUNT]
    wls lr, r0, .Lhalf_\stride
.Leight_\stride:
    ldm r11!, {r0, r8, r10, r12}
    PAIR \stride, r0, r2, r0
    PAIR \stride, r10, r4, r6
    vmov q2[2], q2[0], r2, r4
    vmov q3[2], q3[0], r0, r6
    PAIR \stride, r8, r10, r8
    PAIR \stride, r12, r2, r12
    vmov q2[3], q2[1], r10, r2
    vmov q3[3], q3[1], r8, r12
    movs r2, #1
    FINISH q2
    FINISH q3
    vqmovnb.s32 q2, q2
    vqmovnt.s32 q2, q3
    vldrh.u16 q7, [r11], #16
    vqadd.s16 q2, q2, r9
    vqmovnb.s16 q2, q2
    vstrb.16 q2, [r7, q7]
    le lr, .Leight_\stride
.Lhalf_\stride:
    ldr r0, [sp, #FRAME_HALF]
    cbz r0, .Lnext_\stride
    ldrd r0, r8, [r11]
    PAIR \stride, r0, r2, r0
    PAIR \stride, r8, r4, r6
    vmov q2[2], q2[0], r2, r4       // one behind the other
    vmov q2[3], q2[1], r0, r6
    movs r2, #1
    FINISH q2
    vqmovnb.s32 q2, q2
    mov r4, r11
    vldrh.u32 q7, [r4, #16]
    vqadd.s16 q2, q2, r9
    vqmovnb.s16 q2, q2
    vstrb.32 q2, [r7, q7]
.Lnext_\stride:
    ldrd r10, r0, [sp, #FRAME_CHANNEL]
    movs r2, #4
    vadd.i32 q0, q0, r2
    adds r7, r7, #1
    cmp r10, r0
    bne.w .Lchannel_\stride
    add sp, #FRAME_BYTES
    vpop {d14-d15}
    vpop {d8-d11}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

    PAIRS 1, mcu_depthwise_pairs_1_s8
    PAIRS 2, mcu_depthwise_pairs_2_s8

// McuDepthwiseFactors.
    .equ FACTORS_TAPS, 32
    .equ FACTORS_MASK, 64

    BEGIN mcu_depthwise_channels_s8
    push {r4-r11, lr}
    vpush {d8-d9}
    vldrh.u16 q2, [r0, #FACTORS_TAPS]
    vldrh.u16 q3, [r0, #FACTORS_TAPS + 16]
    vldrb.u8 q4, [r0, #FACTORS_MASK]
    ldm r0, {r1-r8}
    movs r9, #0
    dls lr, r6
.Lfactors:
    vldrb.u16 q0, [r1, q2]
    vldrb.u16 q1, [r1, q3]
    adds r1, r1, #1
    vmovnt.i16 q0, q1
    ldr r6, [r2]
    vand q0, q0, q4
    add r2, r2, r8
    vaddv.s8 r10, q0
    vstrb.8 q0, [r5, #4]
    ldr r11, [r3], #4
    ldr r12, [r4], #4
    mla r10, r10, r7, r6
    str r9, [r5], #CHANNEL_BYTES
    stm r5!, {r10, r11, r12}
    le lr, .Lfactors
    vpop {d8-d9}
    pop {r4-r11, pc}
    .size mcu_depthwise_channels_s8, . - mcu_depthwise_channels_s8

// McuDepthwiseWords.
    .equ AT, 4
    .equ SIZE, 12
    .equ LINE_STEP, 20
    .equ NEXT, 24           // and next_at
    .equ TO, 32
    .equ TO_NEXT, 36
    .equ PIXELS, 40
    .equ CHANNELS, 44
    .equ OUTSIDE, 48

// In the loop: r1 ... r3 the three lines' next pixels, r4 ... r6 to those behind them, r7 the words, r8 the first line,
// r9 which one that is, r10 how many there are, r11 from pixel to pixel.
.macro WORDS some
.Lline_\some:
    mov r1, r8
    ldr r12, [r0, #LINE_STEP]
    mov r4, r11
    mov r5, r11
    mov r6, r11
    add r2, r8, r12
    add r3, r2, r12
    adds lr, r9, #2
    cmp r9, #0
    blt .Ledge_\some
    cmp lr, r10
    bge .Ledge_\some
.Linside_\some:
    ldr r12, [r0, #PIXELS]
    wls lr, r12, .Lfilled_\some
.Lpixel_\some:
    .if \some
    vpsttt
    vldrbt.u8 q0, [r1]
    vldrbt.u8 q1, [r2]
    vldrbt.u8 q2, [r3]
    .else
    vldrb.u8 q0, [r1]
    vldrb.u8 q1, [r2]
    vldrb.u8 q2, [r3]
    .endif
    add r1, r1, r4
    vst40.8 {q0, q1, q2, q3}, [r7]
    add r2, r2, r5
    vst41.8 {q0, q1, q2, q3}, [r7]
    add r3, r3, r6
    vst42.8 {q0, q1, q2, q3}, [r7]
    vst43.8 {q0, q1, q2, q3}, [r7]!
    le lr, .Lpixel_\some
.Lfilled_\some:
    ldrd r1, r2, [r0, #NEXT]
    add r8, r8, r1
    add r9, r9, r2
    ldr r1, [r0, #TO_NEXT]
    ldr r2, [r0, #AT + 4]
    add r7, r7, r1
    cmp r9, r2
    bne .Lline_\some
    pop {r4-r11, pc}
.Ledge_\some:
    cmp r9, r10
    itt hs
    addhs r1, r0, #OUTSIDE
    movhs r4, #0
    subs r12, lr, #1
    cmp r12, r10
    itt hs
    addhs r2, r0, #OUTSIDE
    movhs r5, #0
    cmp lr, r10
    itt hs
    addhs r3, r0, #OUTSIDE
    movhs r6, #0
    b .Linside_\some
.endm

    BEGIN mcu_depthwise_words_s8
    push {r4-r11, lr}
    ldr r8, [r0]
    ldr r9, [r0, #AT]
    ldrd r10, r11, [r0, #SIZE]
    ldr r7, [r0, #TO]
    ldr r12, [r0, #CHANNELS]
    cmp r12, #16
    beq.w .Lline_0
    vctp.8 r12
    WORDS 1
    WORDS 0
    .size mcu_depthwise_words_s8, . - mcu_depthwise_words_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
