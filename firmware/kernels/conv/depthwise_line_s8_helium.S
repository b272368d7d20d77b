// A line of a depthwise convolution's outputs on Helium (Armv8.1-M MVE): kernels/conv/depthwise_line_s8.h.
//
// A gather fetches the four words under an output, one multiply-accumulate sums its window. Where windows are one pixel
// apart, the same words are the next output's too, with the weights a word further on. Eight outputs of a channel share
// its bias, multiplier and shift: four sums are a vector, two vectors the eight results, the first four in even lanes.
// By hand, because compilers keep half of the registers on the stack.
//
// In the loop: r1 bias, r3 multiplier, r5 shift, r7 the results, r9 the zero point as LIMIT wants it, r11 to the next
// eight; q0 the words' addresses, q4 and q5 the weights, q6 the lower limit, q7 where eight results go, 16 bits each.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/quantize/requantize_macros.inc"

    .syntax unified
    .thumb

// McuDepthwiseLine.
    .equ WORDS, 0
    .equ WEIGHTS, 4
    .equ BIAS, 8            // multiplier, shift, out
    .equ CHANNELS, 24
    .equ OUTPUTS, 28
    .equ STEP, 32
    .equ ZERO_POINT, 36
    .equ LOW, 40
    .equ HIGH, 44
    .equ LINES, 48
    .equ LINE_STEP, 52

    .equ FRAME_STATE, 0     // bias, multiplier, shift, out, weights
    .equ FRAME_LEFT, 20     // channels
    .equ FRAME_EIGHTS, 24   // of outputs, and what they leave
    .equ FRAME_REST, 28
    .equ FRAME_WORDS, 32    // a vector: the channel's words of the four pixels before the line's second
    .equ FRAME_ONE, 48      // 1, and what LIMIT takes off
    .equ FRAME_BYTES, 56
    .equ FRAME_PREDICATE, 56    // of what is left
    .equ FRAME_ALL, 60          // with what keeps the stack aligned

    .equ PIXEL_BYTES, 64    // 16 words

// Four sums, from the words at q0 on, or from `skip` pixels further.
.macro FOUR_OUTPUTS stride, a, b, c, d, skip
    vldrw.u32 q1, [q0, #(2 + \skip) * PIXEL_BYTES]!
    vmladav.s8 \a, q1, q4
    .if \stride == 1
    vmladav.s8 \b, q1, q5
    vldrw.u32 q1, [q0, #2 * PIXEL_BYTES]!
    vmladav.s8 \c, q1, q4
    vmladav.s8 \d, q1, q5
    .else
    vldrw.u32 q1, [q0, #2 * PIXEL_BYTES]!
    vmladav.s8 \b, q1, q4
    vldrw.u32 q1, [q0, #2 * PIXEL_BYTES]!
    vmladav.s8 \c, q1, q4
    vldrw.u32 q1, [q0, #2 * PIXEL_BYTES]!
    vmladav.s8 \d, q1, q4
    .endif
.endm

// The bias is added; the shift is never 0. r2 is 1.
.macro FINISH sums
    vadd.i32 \sums, \sums, r1
    REQUANTIZE_SHARED \sums, r3, r5, r2
.endm

// To q2, and to q3; lr counts the loop's rounds.
.macro FIRST_FOUR stride
    FOUR_OUTPUTS \stride, r0, r2, r4, r6, 0
    vmov q2[2], q2[0], r0, r4
    vmov q2[3], q2[1], r2, r6
.endm

.macro SECOND_FOUR stride, skip=0
    FOUR_OUTPUTS \stride, r8, r10, r12, r0, \skip
    vmov q3[2], q3[0], r8, r12
    vmov q3[3], q3[1], r10, r0
.endm

// Eight results in q2 and q3, or four (`half` 1), to halfwords in q2. r0, r2 and r4 are free.
.macro RESULTS half=0
    ldrd r2, r4, [sp, #FRAME_ONE]
    FINISH q2
    .if !\half
    FINISH q3
    .endif
    vqmovnb.s32 q2, q2
    .if !\half
    vqmovnt.s32 q2, q3
    .endif
    LIMIT q2, q6, r9, r4
.endm

// The limits to where LIMIT wants them, from the arguments at r0.
.macro BEGIN_LIMIT
    ldrd r9, r1, [r0, #ZERO_POINT]
    ldr r2, [r0, #HIGH]
    PREPARE_LIMIT q6, r9, r1, r2
    movs r1, #1
    strd r1, r2, [sp, #FRAME_ONE]
.endm

.macro LINE stride, function
    .section .text.\function, "ax", %progbits
    .p2align 2
    .global \function
    .thumb_func
    .type \function, %function
\function:
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, #FRAME_BYTES + 4
    BEGIN_LIMIT
    ldrd r2, r1, [r0, #OUTPUTS]
    lsl r11, r1, #3
    lsrs r4, r2, #3
    ands r5, r2, #7
    ldr r3, [r0, #CHANNELS]
    str r3, [sp, #FRAME_LEFT]
    strd r4, r5, [sp, #FRAME_EIGHTS]
    movs r2, #0
    vidup.u16 q0, r2, #1
    vshr.u16 q1, q0, #1             // 0, 0, 1, 1, ...
    vshl.i16 q2, q1, #1
    vsub.i16 q0, q0, q2             // 0, 1, 0, 1, ...
    vshl.i16 q0, q0, #2
    vadd.i16 q0, q0, q1             // 0, 4, 1, 5, ...: which of eight outputs a lane has
    vmul.i16 q7, q0, r1
    vcmp.s16 lt, q0, r5             // stays in VPR: what is left of the last eight
    movs r2, #0
    movs r4, #PIXEL_BYTES
    vidup.u32 q0, r2, #1
    vmul.i32 q0, q0, r4
    ldr r2, [r0, #WORDS]
    sub r2, r2, #2 * PIXEL_BYTES    // gathers step first
    vadd.i32 q0, q0, r2
    vstrw.32 q0, [sp, #FRAME_WORDS]
    ldr r10, [r0, #WEIGHTS]
    add r0, r0, #BIAS
    ldm r0, {r2, r4, r6, r8}
    stm sp, {r2, r4, r6, r8, r10}
.Lchannel_\stride:
    ldm sp, {r2, r4, r6, r7, r10}
    ldr r1, [r2], #4
    ldr r3, [r4], #4
    ldr r5, [r6], #4
    vldrb.u8 q4, [r10], #16
    vldrb.u8 q5, [r10], #16
    vldrw.u32 q0, [sp, #FRAME_WORDS]
    add r8, r7, #1
    stm sp, {r2, r4, r6, r8, r10}
    movs r2, #4
    vadd.i32 q1, q0, r2
    vstrw.32 q1, [sp, #FRAME_WORDS]
    ldr lr, [sp, #FRAME_EIGHTS]
    cmp lr, #0
    beq .Lrest_\stride
    dls lr, lr
.Leight_\stride:
    FIRST_FOUR \stride
    SECOND_FOUR \stride
    RESULTS
    vstrb.16 q2, [r7, q7]
    add r7, r7, r11
    le lr, .Leight_\stride
.Lrest_\stride:
    ldr r8, [sp, #FRAME_REST]
    cmp r8, #0
    beq .Lnext_\stride
    FIRST_FOUR \stride
    cmp r8, #4
    ble .Lfew_\stride
    SECOND_FOUR \stride
    RESULTS
    b .Lstore_\stride
.Lfew_\stride:
    RESULTS 1
.Lstore_\stride:
    vpst
    vstrbt.16 q2, [r7, q7]
.Lnext_\stride:
    ldr r2, [sp, #FRAME_LEFT]
    subs r2, r2, #1
    str r2, [sp, #FRAME_LEFT]
    bne .Lchannel_\stride
    add sp, #FRAME_BYTES + 4
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

// Short lines, which lie in the words one behind the other: an eight is a line, or (`twos` 1) two lines of at most four
// outputs, which begin 8 words apart where windows are one pixel apart. Which of the eight there are stays in VPR.
.macro LINES stride, twos, name, function
    .section .text.\function, "ax", %progbits
    .p2align 2
    .global \function
    .thumb_func
    .type \function, %function
\function:
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, #FRAME_ALL
    BEGIN_LIMIT
    ldrd r5, r1, [r0, #OUTPUTS]
    ldrd r3, r11, [r0, #LINES]
    movs r2, #0
    vidup.u16 q0, r2, #1
    vshr.u16 q1, q0, #1             // 0, 0, 1, 1, ...
    vshl.i16 q2, q1, #1
    vsub.i16 q2, q0, q2             // 0, 1, 0, 1, ...: which four a lane is of
    .if \twos
    vmul.i16 q0, q1, r1
    vmul.i16 q2, q2, r11
    vadd.i16 q7, q0, q2
    lsrs r4, r3, #1
    ands r3, r3, #1
    strd r4, r3, [sp, #FRAME_EIGHTS]
    vcmp.s16 lt, q1, r5
    vmrs r4, p0
    movw r6, #0x3333                // the first line alone
    ands r6, r6, r4
    str r6, [sp, #FRAME_PREDICATE]
    lsl r11, r11, #1
    .else
    vshl.i16 q2, q2, #2
    vadd.i16 q0, q1, q2
    vcmp.s16 lt, q0, r5
    vmul.i16 q7, q0, r1
    str r3, [sp, #FRAME_EIGHTS]
    .endif
    ldr r3, [r0, #CHANNELS]
    str r3, [sp, #FRAME_LEFT]
    movs r2, #0
    movs r4, #PIXEL_BYTES
    vidup.u32 q0, r2, #1
    vmul.i32 q0, q0, r4
    ldr r2, [r0, #WORDS]
    sub r2, r2, #2 * PIXEL_BYTES    // gathers step first
    vadd.i32 q0, q0, r2
    vstrw.32 q0, [sp, #FRAME_WORDS]
    ldr r10, [r0, #WEIGHTS]
    add r0, r0, #BIAS
    ldm r0, {r2, r4, r6, r8}
    stm sp, {r2, r4, r6, r8, r10}
.Lchannel_\name:
    ldm sp, {r2, r4, r6, r7, r10}
    ldr r1, [r2], #4
    ldr r3, [r4], #4
    ldr r5, [r6], #4
    vldrb.u8 q4, [r10], #16
    vldrb.u8 q5, [r10], #16
    vldrw.u32 q0, [sp, #FRAME_WORDS]
    add r8, r7, #1
    stm sp, {r2, r4, r6, r8, r10}
    movs r2, #4
    vadd.i32 q1, q0, r2
    vstrw.32 q1, [sp, #FRAME_WORDS]
    ldr lr, [sp, #FRAME_EIGHTS]
    .if \twos
    wls lr, lr, .Lrest_\name
    .else
    dls lr, lr
    .endif
.Leight_\name:
    FIRST_FOUR \stride
    .if \twos && \stride == 1
    SECOND_FOUR \stride, 4
    .else
    SECOND_FOUR \stride
    .endif
    RESULTS
    vpst
    vstrbt.16 q2, [r7, q7]
    add r7, r7, r11
    .if \twos && \stride == 1
    mov r0, #4 * PIXEL_BYTES
    vadd.i32 q0, q0, r0
    .endif
    le lr, .Leight_\name
    .if \twos
.Lrest_\name:
    ldr r0, [sp, #FRAME_REST]
    cbz r0, .Lnext_\name
    FIRST_FOUR \stride
    RESULTS 1
    vmrs r8, p0
    ldr r0, [sp, #FRAME_PREDICATE]
    vmsr p0, r0
    vpst
    vstrbt.16 q2, [r7, q7]
    vmsr p0, r8
.Lnext_\name:
    .endif
    ldr r2, [sp, #FRAME_LEFT]
    subs r2, r2, #1
    str r2, [sp, #FRAME_LEFT]
    bne .Lchannel_\name
    add sp, #FRAME_ALL
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

    .section .text.mcu_depthwise_words_s8, "ax", %progbits
    .p2align 2
    .global mcu_depthwise_words_s8
    .thumb_func
    .type mcu_depthwise_words_s8, %function
mcu_depthwise_words_s8:
    push {r4-r10, lr}
    ldm r0, {r1-r9}
    vctp.8 r9
    dls lr, r8
.Lpixel:
    vpsttt
    vldrbt.u8 q0, [r1]
    vldrbt.u8 q1, [r2]
    vldrbt.u8 q2, [r3]
    add r1, r1, r4
    vst40.8 {q0, q1, q2, q3}, [r7]
    add r2, r2, r5
    vst41.8 {q0, q1, q2, q3}, [r7]
    add r3, r3, r6
    vst42.8 {q0, q1, q2, q3}, [r7]
    vst43.8 {q0, q1, q2, q3}, [r7]!
    le lr, .Lpixel
    pop {r4-r10, pc}
    .size mcu_depthwise_words_s8, . - mcu_depthwise_words_s8

    LINE 1, mcu_depthwise_line_1_s8
    LINE 2, mcu_depthwise_line_2_s8
    LINES 1, 0, lines_1, mcu_depthwise_lines_1_s8
    LINES 2, 0, lines_2, mcu_depthwise_lines_2_s8
    LINES 1, 1, twos_1, mcu_depthwise_twos_1_s8
    LINES 2, 1, twos_2, mcu_depthwise_twos_2_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
