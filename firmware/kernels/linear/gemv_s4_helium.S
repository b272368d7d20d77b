// The product of one int8 row with int4 weights on Helium (Armv8.1-M MVE): kernels/linear/gemv_s4.h, kernels/linear/blocks_s4.h.
//
// Written by hand for the reason that gemv_s8_helium.S gives: eight sums in the even core registers r0 ... r12, lr.
// 32 weights cost one load, two instructions that bring each nibble into the upper half of its byte, and two
// multiplications; a block of 8 x 32 takes 57 instructions, what its sums are scaled with included.
//
// In the loop: r1 the next inputs, r3 the next block, r5 blocks left but for the last, r7 the next results, r9 the row's scale, r11 where
// the results end; q2 the mask of the upper halves, q5 and q6 the totals of the even and of the odd channels.
#if defined(__ARM_FEATURE_MVE)

    .syntax unified
    .thumb

    .equ FRAME_X, 0         // the inputs, and behind them the blocks before a row's last: one ldrd
    .equ FRAME_LAST, 8      // how many inputs the last block's halves have: 1 ... 32, and 16 less, but not below 0
    .equ FRAME_BYTES, 16
    .equ STACKED, FRAME_BYTES + 64 + 36     // from sp to the arguments on the stack, behind the saved registers

// 16 times the sum of one channel.
.macro CHANNEL sum, low, high
    vldrb.u8 \high, [r3], #16
    vshl.i8 \low, \high, #4
    vmladav.s8 \sum, q0, \low
    vand \high, \high, q2
    vmladava.s8 \sum, q1, \high
.endm

// The products of q0 and q1 with a block, scaled and added to q5 and q6.
.macro BLOCK
    CHANNEL r0, q3, q4
    CHANNEL r2, q3, q7
    CHANNEL r4, q3, q4
    CHANNEL r6, q3, q7
    CHANNEL r8, q3, q4
    CHANNEL r10, q3, q7
    CHANNEL r12, q3, q4
    CHANNEL lr, q3, q7
    vldrb.u8 q7, [r3], #16              // even channels in the lower halves of words
    vmov q3[2], q3[0], r0, r8
    vmov q3[3], q3[1], r4, r12
    vmov q4[2], q4[0], r2, r10
    vmov q4[3], q4[1], r6, lr
    vshllb.u16 q0, q7, #16
    vshllt.u16 q1, q7, #16
    vcvt.f32.s32 q3, q3
    vcvt.f32.s32 q4, q4
    vmul.f32 q3, q3, q0
    vmul.f32 q4, q4, q1
    vadd.f32 q5, q5, q3
    vadd.f32 q6, q6, q4
.endm

// (x r0, weight r1, out r2, end of out r3, k, row_scale s0)
    .section .text.mcu_gemv_s4, "ax", %progbits
    .p2align 2
    .global mcu_gemv_s4
    .thumb_func
    .type mcu_gemv_s4, %function
mcu_gemv_s4:
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, #FRAME_BYTES
    mov r7, r2
    mov r11, r3
    mov r3, r1
    ldr r4, [sp, #STACKED]
    subs r5, r4, #1
    lsrs r5, r5, #5
    sub r4, r4, r5, lsl #5
    strd r0, r5, [sp, #FRAME_X]
    subs r6, r4, #16
    it mi
    movmi r6, #0
    strd r4, r6, [sp, #FRAME_LAST]
    vmov r9, s0
    vmov.i8 q2, #0xF0
.Lchannels:
    ldrd r1, r5, [sp, #FRAME_X]
    vmov.i32 q5, #0
    vmov.i32 q6, #0
    cmp r5, #0
    beq .Llast
    .p2align 2
.Lblock:
    vldrb.u8 q0, [r1], #16
    vldrb.u8 q1, [r1], #16
    BLOCK
    subs r5, r5, #1
    bne .Lblock
    .p2align 2
.Llast:
    ldrd r0, r2, [sp, #FRAME_LAST]
    vctp.8 r0
    vpst
    vldrbt.u8 q0, [r1], #16             // zeros beyond the row's end
    vctp.8 r2
    vpst
    vldrbt.u8 q1, [r1]
    BLOCK
    vmul.f32 q5, q5, r9
    vmul.f32 q6, q6, r9
    vst20.32 {q5, q6}, [r7]
    vst21.32 {q5, q6}, [r7]!
    cmp r7, r11
    bne .Lchannels
    add sp, #FRAME_BYTES
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size mcu_gemv_s4, . - mcu_gemv_s4

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
