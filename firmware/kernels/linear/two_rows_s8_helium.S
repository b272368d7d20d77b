// Two int8 rows times int8 weights that lie row by row, four channels at a time, on Helium (Armv8.1-M MVE):
// kernels/linear/two_rows_s8.h.
//
// As in pairs_s8_helium.S eight sums live in the even core registers; r1, r3, r5, r7 and r9 are the next inputs of both
// rows and the next weights of four channels, r11 the rounds left. All else waits on the stack until the sums have gone
// to vectors.
#if defined(__ARM_FEATURE_MVE)

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
    .equ BEGIN_1, 40
    .equ STEP, 44
    .equ ZERO_POINT, 48
    .equ LOW, 52
    .equ HIGH, 56
    .equ PAIRS, 60

// The frame: what four channels begin with, in the order of the registers r0 ... r12, lr, the odd ones being r1 and r11.
    .equ FRAME_ENTRY, 40    // where the first round begins
    .equ FRAME_STATE, 44    // both outputs, bias, multipliers, shifts, a step of weights, one of multipliers, fours left
    .equ FRAME_ARGUMENTS, 76    // and the pairs left
    .equ FRAME_PAIRS, 80
    .equ FRAME_OUT, 84          // of the pair, both
    .equ FRAME_WEIGHT_STEP, 92
    .equ FRAME_BYTES, 96

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
    sub sp, #FRAME_BYTES + 4
    str r0, [sp, #FRAME_ARGUMENTS]
    ldrd r4, r5, [r0, #K]
    subs r2, r4, #1
    lsr r2, r2, #4                  // blocks before the last one
    sub r5, r4, r2, lsl #4
    vctp.8 r5
    lsl r10, r4, #2
    sub r10, r10, r2, lsl #4        // from where a channel's weights end to those of the channel four further on
    str r10, [sp, #FRAME_WEIGHT_STEP]
    add r5, r2, #UNROLL - 1
    lsr r11, r5, #3                 // rounds
    rsb r6, r2, r11, lsl #3         // blocks that the first leaves out
    movs r8, #BLOCK_BYTES
    adr.w r9, .Lround
    mla r6, r6, r8, r9
    cbnz r2, 1f
    adr.w r6, .Llast
    movs r11, #1
1:  sub r11, r11, #1
    orr r6, r6, #1                  // Thumb
    str r6, [sp, #FRAME_ENTRY]
    ldr r1, [r0, #X]
    ldrd r3, r12, [r0, #BEGIN_0]
    str r3, [sp, #0]
    str r1, [sp, #4]
    str r3, [sp, #8]
    strd r3, r3, [sp, #12]
    strd r12, r12, [sp, #20]
    strd r11, r12, [sp, #28]
    str r12, [sp, #36]
    ldrd r2, r3, [r0, #ZERO_POINT]
    ldr r5, [r0, #HIGH]
    vdup.16 q5, r2
    vdup.16 q6, r3
    vdup.16 q7, r5
    ldr r1, [r0, #PAIRS]
    str r1, [sp, #FRAME_PAIRS]
    ldrd r2, r4, [r0, #OUT]
    strd r2, r4, [sp, #FRAME_OUT]
// r0 the arguments, r2 and r4 both rows' results.
.Lpair:
    ldr r1, [r0, #K]
    ldr r3, [r0, #WEIGHT]
    ldr lr, [r0, #N]
    adds r5, r3, r1
    ldr r12, [r0, #STEP]
    adds r7, r5, r1
    lsr lr, lr, #2
    add r9, r7, r1
    lsl r12, r12, #4
    ldr r10, [sp, #FRAME_WEIGHT_STEP]
    add r1, sp, #FRAME_STATE
    ldrd r6, r8, [r0, #MULTIPLIER]
    mov r11, r4
    ldr r4, [r0, #BIAS]
    mov r0, r2
    mov r2, r11
    stm r1, {r0, r2, r4, r6, r8, r10, r12, lr}
.Lfour_channels:
    ldm.w sp, {r0, r1, r2, r4, r6, r8, r10, r11, r12, lr}
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
    vldrb.u8 q2, [r7], #16
    vmladava.s8 r4, q0, q2
    vmladava.s8 r12, q1, q2
    vldrb.u8 q3, [r9], #16
    vmladava.s8 r6, q0, q3
    vmladava.s8 lr, q1, q3
    .endr
    cmp r11, #0
    beq .Llast
    sub r11, r11, #1
    b .Lround
.Llast:
    vldrb.u8 q0, [r1], #16
    vldrb.u8 q1, [r1]
    vpstt
    vldrbt.u8 q2, [r3]
    vldrbt.u8 q3, [r5]
    vmladava.s8 r0, q0, q2
    vmladava.s8 r8, q1, q2
    vmladava.s8 r2, q0, q3
    vmladava.s8 r10, q1, q3
    vpstt
    vldrbt.u8 q2, [r7]
    vldrbt.u8 q3, [r9]
    vmladava.s8 r4, q0, q2
    vmladava.s8 r12, q1, q2
    vmladava.s8 r6, q0, q3
    vmladava.s8 lr, q1, q3
    vmov q0[2], q0[0], r0, r4
    vmov q0[3], q0[1], r2, r6
    vmov q1[2], q1[0], r8, r12
    vmov q1[3], q1[1], r10, lr
// As in gemv_s8_helium.S: a doubling high multiplication that rounds, then a shift to the right, never 0, with ties away
// from zero.
    add r1, sp, #FRAME_STATE
    ldm r1, {r0, r2, r4, r6, r8, r10, r12, lr}
    vldrw.u32 q2, [r4], #16
    vldrw.u32 q3, [r6]
    vldrw.u32 q4, [r8]
    vadd.i32 q0, q0, q2
    vadd.i32 q1, q1, q2
    vqrdmulh.s32 q0, q0, q3
    vqrdmulh.s32 q1, q1, q3
    vshr.s32 q2, q0, #31
    vshr.s32 q3, q1, #31
    vadd.i32 q0, q0, q2
    vadd.i32 q1, q1, q3
    vrshl.s32 q0, q0, q4
    vrshl.s32 q1, q1, q4
    add r6, r6, r12
    vqmovnb.s32 q0, q0
    add r8, r8, r12
    vqmovnt.s32 q0, q1              // both rows' results by turns, as halfwords
    add r3, r3, r10
    vqadd.s16 q0, q0, q5
    add r5, r5, r10
    vmax.s16 q0, q0, q6
    add r7, r7, r10
    vmin.s16 q0, q0, q7
    add r9, r9, r10
    vstrb.32 q0, [r0], #4
    vshr.u32 q0, q0, #16
    vstrb.32 q0, [r2], #4
    subs lr, lr, #1
    stm r1, {r0, r2, r4, r6, r8, r10, r12, lr}
    bne.w .Lfour_channels
    ldrd r0, r1, [sp, #FRAME_ARGUMENTS]
    subs r1, r1, #1
    beq .Lend
    str r1, [sp, #FRAME_PAIRS]
    ldrd r1, r3, [r0, #K]
    adds r1, r1, #15
    bic r1, r1, #15
    ldr r5, [sp, #4]
    add r5, r5, r1, lsl #2          // the next pair
    str r5, [sp, #4]
    ldrd r2, r4, [sp, #FRAME_OUT]
    add r2, r2, r3, lsl #1
    add r4, r4, r3, lsl #1
    strd r2, r4, [sp, #FRAME_OUT]
    b .Lpair
.Lend:
    add sp, #FRAME_BYTES + 4
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size mcu_two_rows_by_four_s8, . - mcu_two_rows_by_four_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
