// Two lines at a time of a depthwise convolution's outputs on Helium (Armv8.1-M MVE): kernels/conv/depthwise_pairs_s8.h.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/conv/depthwise_macros.inc"

    .syntax unified
    .thumb

    .equ FRAME_SECOND, 56   // a vector: where the second results go
    .equ FRAME_STEP, 72     // from the second line's first eight to the next lines
    .equ FRAME_ALL, 76      // which keeps the stack aligned

// Ends with r1 the outputs' step and r11 the lines', and r3 the lines.
.macro BEGIN function
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
    ldr r3, [r0, #CHANNELS]
    str r3, [sp, #FRAME_LEFT]
    ldr r1, [r0, #STEP]
    ldrd r3, r11, [r0, #LINES]
    lsrs r3, r3, #1
    str r3, [sp, #FRAME_EIGHTS]
.endm

.macro END function
    COUNT_CHANNEL
    bne.w 1b
    add sp, #FRAME_ALL
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

// Eight offsets to \to: from r2 on in even lanes, from r4 on in odd ones, r1 apart.
.macro EIGHT_OFFSETS to
    add r2, r2, r4, lsl #16
    add r4, r2, r1
    add r4, r4, r1, lsl #16
    add r6, r4, r1
    add r6, r6, r1, lsl #16
    add r8, r6, r1
    add r8, r8, r1, lsl #16
    vmov \to\()[2], \to\()[0], r2, r6
    vmov \to\()[3], \to\()[1], r4, r8
.endm

// Outputs 0 ... 3, then 4 and 5 with the next line's 0 and 1; that one's 2 ... 5 in a vector of four.
    BEGIN mcu_depthwise_sixes_s8
    lsl r2, r1, #18                 // 0 and 4 steps
    lsl r6, r11, #16
    add r4, r2, r1
    add r4, r4, r1, lsl #16         // 1 and 5
    add r6, r6, r1, lsl #1          // 2, and the next line's first
    add r8, r6, r1
    add r8, r8, r1, lsl #16         // 3, and its second
    vmov q7[2], q7[0], r2, r6
    vmov q7[3], q7[1], r4, r8
    movs r2, #0
    vidup.u32 q0, r2, #1
    vmul.i32 q0, q0, r1
    add r2, r11, r1, lsl #1
    vadd.i32 q0, q0, r2
    vstrw.32 q0, [sp, #FRAME_SECOND]
    lsl r11, r11, #1
    FIRST_CHANNEL
1:  NEXT_CHANNEL
    ldr lr, [sp, #FRAME_EIGHTS]
    dls lr, lr
.Ltwo_lines:
    FIRST_FOUR 1
    vldrw.u32 q1, [q0, #2 * PIXEL_BYTES]!
    vmladav.s8 r8, q1, q4
    vmladav.s8 r10, q1, q5
    vldrw.u32 q1, [q0, #4 * PIXEL_BYTES]!
    vmladav.s8 r12, q1, q4
    vmladav.s8 r0, q1, q5
    vmov q3[2], q3[0], r8, r12
    vmov q3[3], q3[1], r10, r0
    RESULTS
    vstrb.16 q2, [r7, q7]
    FIRST_FOUR 1
    RESULTS 1
    vldrw.u32 q1, [sp, #FRAME_SECOND]
    movs r0, #2 * PIXEL_BYTES
    vstrb.32 q2, [r7, q1]
    add r7, r7, r11
    vadd.i32 q0, q0, r0
    le lr, .Ltwo_lines
    END mcu_depthwise_sixes_s8

// Outputs 0 ... 7; 8 ... 11 with the next line's 0 ... 3; and that one's 4 ... 11.
.macro TWELVES stride, function
    BEGIN \function
    lsls r2, r1, #3
    mov r4, r11
    EIGHT_OFFSETS q0
    vstrw.32 q0, [sp, #FRAME_SECOND]
    movs r2, #0
    lsls r4, r1, #2
    EIGHT_OFFSETS q7
    add r11, r11, r1, lsl #2
    FIRST_CHANNEL
1:  NEXT_CHANNEL
    FIRST_FOUR \stride
    SECOND_FOUR \stride
    RESULTS
    vstrb.16 q2, [r7, q7]
    FIRST_FOUR \stride
    SECOND_FOUR \stride, 2
    RESULTS
    vldrw.u32 q1, [sp, #FRAME_SECOND]
    vstrb.16 q2, [r7, q1]
    FIRST_FOUR \stride
    SECOND_FOUR \stride
    RESULTS
    add r7, r7, r11
    vstrb.16 q2, [r7, q7]
    END \function
.endm

    TWELVES 1, mcu_depthwise_twelves_1_s8
    TWELVES 2, mcu_depthwise_twelves_2_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
