// A line of a depthwise convolution's outputs on Helium (Armv8.1-M MVE): kernels/conv/depthwise_line_s8.h.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/conv/depthwise_macros.inc"

    .syntax unified
    .thumb

    .equ FRAME_PREDICATE, 56    // of what is left
    .equ FRAME_ALL, 60          // with what keeps the stack aligned


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
    FIRST_CHANNEL
.Lchannel_\stride:
    NEXT_CHANNEL
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
    COUNT_CHANNEL
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
    FIRST_CHANNEL
.Lchannel_\name:
    NEXT_CHANNEL
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
    COUNT_CHANNEL
    bne .Lchannel_\name
    add sp, #FRAME_ALL
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

.macro WORDS_OF_PIXEL
    add r1, r1, r4
    vst40.8 {q0, q1, q2, q3}, [r7]
    add r2, r2, r5
    vst41.8 {q0, q1, q2, q3}, [r7]
    add r3, r3, r6
    vst42.8 {q0, q1, q2, q3}, [r7]
    vst43.8 {q0, q1, q2, q3}, [r7]!
.endm

    .section .text.mcu_depthwise_words_s8, "ax", %progbits
    .p2align 2
    .global mcu_depthwise_words_s8
    .thumb_func
    .type mcu_depthwise_words_s8, %function
mcu_depthwise_words_s8:
    push {r4-r10, lr}
    ldm r0, {r1-r9}
    dls lr, r8
    cmp r9, #16
    beq .Lall
    vctp.8 r9
.Lpixel:
    vpsttt
    vldrbt.u8 q0, [r1]
    vldrbt.u8 q1, [r2]
    vldrbt.u8 q2, [r3]
    WORDS_OF_PIXEL
    le lr, .Lpixel
    pop {r4-r10, pc}
.Lall:
    vldrb.u8 q0, [r1]
    vldrb.u8 q1, [r2]
    vldrb.u8 q2, [r3]
    WORDS_OF_PIXEL
    le lr, .Lall
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
