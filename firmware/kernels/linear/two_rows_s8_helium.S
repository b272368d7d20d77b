// Two int8 rows times int8 weights that lie row by row, four channels at a time, on Helium (Armv8.1-M MVE):
// kernels/linear/two_rows_s8.h.
//
// As in pairs_s8_helium.S eight sums live in the even core registers, and four channels stay while all pairs of rows
// pass by. r1 is the next inputs of both rows, r3, r5, r11 and r9 the next weights of the four channels, r7 twice the
// rounds left, odd where columns are behind them. What a pair begins with is one ldm from the frame, but for r1: the next
// pair's inputs lie behind this one's. q4 ... q7 hold multipliers, shifts, the lower limit and where the eight results go.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/quantize/requantize_macros.inc"

    .syntax unified
    .thumb

// McuTwoRows.
    .equ X, 0
    .equ WEIGHT, 4
    .equ OUT, 8
    .equ BIAS, 16
    .equ MULTIPLIER, 20     // shifts
    .equ K, 28
    .equ N, 32
    .equ BEGIN_0, 36
    .equ STEP, 44
    .equ ZERO_POINT, 48
    .equ LOW, 52
    .equ HIGH, 56
    .equ PAIRS, 60

// The frame: what a pair begins with, r0, r2 ... r12 and lr.
    .equ FRAME_ENTRY, 52        // where the first round begins
    .equ FRAME_RESULTS, 56      // of the pair, and from one pair to the next; then, to be loaded with these:
    .equ FRAME_LIMITS, 64       // zero point, as LIMIT wants it, and what it takes off
    .equ FRAME_END, 72          // of the last pair's inputs; and 1
    .equ FRAME_CHANNELS, 80     // of the next four: weights, multipliers, shifts, bias
    .equ FRAME_STEPS, 96        // bytes of a channel's weights, and of four multipliers
    .equ FRAME_BEGIN, 104       // of both rows
    .equ FRAME_FIRST, 112       // inputs, and rounds
    .equ FRAME_FIRST_RESULTS, 120   // and fours of channels left
    .equ FRAME_BYTES, 128

    .equ UNROLL, 8          // blocks of 16 columns for one round
    .equ BLOCK_BYTES, 56    // of code: 14 instructions

    .section .text.mcu_two_rows_by_four_s8, "ax", %progbits
    .p2align 2
    .global mcu_two_rows_by_four_s8
    .thumb_func
    .type mcu_two_rows_by_four_s8, %function
mcu_two_rows_by_four_s8:
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, #FRAME_BYTES + 4        // which keeps it aligned
    ldrd r4, r5, [r0, #K]           // k, n
    lsrs r2, r4, #4                 // whole blocks
    ands r1, r4, #15
    vctp.8 r1
    add r7, r2, #UNROLL - 1
    lsr r7, r7, #3                  // rounds
    rsb r6, r2, r7, lsl #3          // blocks that the first leaves out
    movs r8, #BLOCK_BYTES
    adr.w r9, .Lround
    mla r6, r6, r8, r9
    cbnz r2, 1f
    adr.w r6, .Llast
    movs r7, #1
1:  subs r7, r7, #1
    lsl r7, r7, #1
    cbz r1, 2f
    adds r2, r2, #1
    adds r7, r7, #1                 // odd: another block that is not whole
2:  orr r6, r6, #1                  // Thumb
    str r6, [sp, #FRAME_ENTRY]
    ldr r3, [r0, #X]
    strd r3, r7, [sp, #FRAME_FIRST]
    ldr r8, [r0, #PAIRS]
    mul r2, r2, r8
    add r3, r3, r2, lsl #5
    movs r2, #1
    strd r3, r2, [sp, #FRAME_END]
    ldrd r8, r2, [r0, #ZERO_POINT]
    ldr r3, [r0, #HIGH]
    PREPARE_LIMIT q6, r8, r2, r3
    strd r8, r3, [sp, #FRAME_LIMITS]
    ldrd r2, r3, [r0, #OUT]
    subs r3, r3, r2                 // from one row's results to the other's
    lsls r8, r3, #16
    add r9, r8, #0x00010001
    add r10, r8, #0x00020002
    add r11, r8, #0x00030003
    vmov q7[2], q7[0], r8, r10
    vmov q7[3], q7[1], r9, r11
    lsls r3, r5, #1
    strd r2, r3, [sp, #FRAME_RESULTS]
    lsrs r5, r5, #2
    strd r2, r5, [sp, #FRAME_FIRST_RESULTS]
    ldrd r8, r9, [r0, #BEGIN_0]
    strd r8, r9, [sp, #FRAME_BEGIN]
    ldr r12, [r0, #STEP]
    lsl r12, r12, #4
    mov r10, r4
    ldrd r4, r6, [r0, #MULTIPLIER]
    ldr r8, [r0, #BIAS]
    ldr r2, [r0, #WEIGHT]
    add r7, sp, #FRAME_CHANNELS
    stm r7, {r2, r4, r6, r8, r10, r12}
.Lfour_channels:
    add r7, sp, #FRAME_CHANNELS
    ldm r7, {r2, r4, r6, r8, r10, r12}
    vldrw.u32 q4, [r4]
    vldrw.u32 q5, [r6]
    vldrw.u32 q0, [r8], #16
    add r4, r4, r12
    add r6, r6, r12
    mov r3, r2
    add r5, r2, r10
    add r11, r5, r10
    add r9, r11, r10
    add r2, r9, r10
    stm r7, {r2, r4, r6, r8}
    ldrd r0, r2, [sp, #FRAME_BEGIN]
    vadd.i32 q1, q0, r2
    vadd.i32 q0, q0, r0
    vmov r0, r4, q0[2], q0[0]
    vmov r2, r6, q0[3], q0[1]
    vmov r8, r12, q1[2], q1[0]
    vmov r10, lr, q1[3], q1[1]
    ldrd r1, r7, [sp, #FRAME_FIRST]
    stm.w sp, {r0, r2-r12, lr}
    ldr pc, [sp, #FRAME_ENTRY]
.Lpair:
    ldm.w sp, {r0, r2-r12, lr}
    ldr pc, [sp, #FRAME_ENTRY]
    .p2align 2
.Lround:
    .rept UNROLL
    vldrb.u8 q0, [r1], #16
    vldrb.u8 q2, [r3], #16
    vmladava.s8 r0, q0, q2
    vldrb.u8 q1, [r1], #16
    vmladava.s8 r8, q1, q2
    vldrb.u8 q3, [r5], #16
    vmladava.s8 r2, q0, q3
    vmladava.s8 r10, q1, q3
    vldrb.u8 q2, [r11], #16
    vmladava.s8 r4, q0, q2
    vmladava.s8 r12, q1, q2
    vldrb.u8 q3, [r9], #16
    vmladava.s8 r6, q0, q3
    vmladava.s8 lr, q1, q3
    .endr
    cbz r7, .Lsums
    subs r7, r7, #1
    beq .Llast
    subs r7, r7, #1
    b .Lround
.Llast:
    vldrb.u8 q0, [r1], #16
    vldrb.u8 q1, [r1], #16
    vpstt
    vldrbt.u8 q2, [r3]
    vldrbt.u8 q3, [r5]
    vmladava.s8 r0, q0, q2
    vmladava.s8 r8, q1, q2
    vmladava.s8 r2, q0, q3
    vmladava.s8 r10, q1, q3
    vpstt
    vldrbt.u8 q2, [r11]
    vldrbt.u8 q3, [r9]
    vmladava.s8 r4, q0, q2
    vmladava.s8 r12, q1, q2
    vmladava.s8 r6, q0, q3
    vmladava.s8 lr, q1, q3
.Lsums:
    vmov q0[2], q0[0], r0, r4
    vmov q0[3], q0[1], r2, r6
    vmov q1[2], q1[0], r8, r12
    vmov q1[3], q1[1], r10, lr
    add r3, sp, #FRAME_RESULTS
    ldm r3, {r0, r2, r4, r6, r8, r10}
    REQUANTIZE_TWO q0, q1, q4, q5, r10
    adds r2, r2, r0
    LIMIT q0, q6, r4, r6
    str r2, [sp, #FRAME_RESULTS]
    cmp r1, r8
    vstrb.16 q0, [r0, q7]
    bne.w .Lpair
    ldrd r0, r2, [sp, #FRAME_FIRST_RESULTS]
    adds r0, r0, #4
    str r0, [sp, #FRAME_RESULTS]
    subs r2, r2, #1
    strd r0, r2, [sp, #FRAME_FIRST_RESULTS]
    bne.w .Lfour_channels
    add sp, #FRAME_BYTES + 4
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size mcu_two_rows_by_four_s8, . - mcu_two_rows_by_four_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
