// The product of one int8 row with packed int8 weights on Helium (Armv8.1-M MVE): kernels/linear/gemv_s8.h.
//
// Written by hand, because intrinsics cannot have it: eight sums live in the even core registers r0 ... r12, lr (the
// only ones that vmladava adds to), and no compiler gives lr away. Sixteen weights cost one load and one
// multiply-accumulate; eight of those share the load of sixteen inputs, unless it stays in a register. `le` would need
// lr, so loops count in r5.
//
// In the loops: r1 the next inputs, r3 the next weights, r5 rounds left, r7 the next result, r9 the channels'
// constants. What a group of eight channels begins with lies in a frame on the stack.
#if defined(__ARM_FEATURE_MVE)

    .syntax unified
    .thumb

    .equ FRAME_SUMS, 0      // eight zeros: what sums begin with where there is nothing else
    .equ FRAME_X, 32        // the inputs, and behind them the rounds of the loop: one ldrd
    .equ FRAME_ROUNDS, 36
    .equ FRAME_ENTRY, 40    // where the loop's first round begins
    .equ FRAME_OTHER, 44    // the row's scale, or where the results end
    .equ FRAME_BYTES, 48
    .equ STACKED, FRAME_BYTES + 64 + 36     // from sp to the arguments on the stack, behind the saved registers

    .equ UNROLL, 8          // blocks of 16 x 8 weights for one round of a loop
    .equ BLOCK_BYTES, 68    // of code: 17 instructions

// Sixteen inputs times those of eight channels; `multiply` is vmladava, or vmladav where the sums begin. Two registers
// take turns, so that a load and the multiplication before it can overlap.
.macro EIGHT_CHANNELS multiply, x
    vldrb.u8 q1, [r3], #16
    \multiply\().s8 r0, \x, q1
    vldrb.u8 q2, [r3], #16
    \multiply\().s8 r2, \x, q2
    vldrb.u8 q1, [r3], #16
    \multiply\().s8 r4, \x, q1
    vldrb.u8 q2, [r3], #16
    \multiply\().s8 r6, \x, q2
    vldrb.u8 q1, [r3], #16
    \multiply\().s8 r8, \x, q1
    vldrb.u8 q2, [r3], #16
    \multiply\().s8 r10, \x, q2
    vldrb.u8 q1, [r3], #16
    \multiply\().s8 r12, \x, q1
    vldrb.u8 q2, [r3], #16
    \multiply\().s8 lr, \x, q2
.endm

// Moves the row and the weights to where the loops want them. From k: r2 the blocks before the last one, r4 the inputs
// in that, 1 ... 16.
.macro BEGIN
    mov r3, r1
    mov r1, r0
    subs r2, r4, #1
    lsr r2, r2, #4
    sub r4, r4, r2, lsl #4
.endm

// Fills the frame for rounds of `unroll` blocks. The first is entered in the middle when r2, the number of blocks before
// the last, is no multiple; none is when it is 0, and not even the last block is left when it is -1 (`none` is the label
// behind it, where that can be). The predicate for the last block's inputs stays in VPR.
.macro PREPARE name, unroll, none
    vctp.8 r4
    movs r8, #\unroll
    add r5, r2, #\unroll - 1
    udiv r5, r5, r8                     // rounds
    strd r1, r5, [sp, #FRAME_X]
    mul r6, r5, r8
    sub r6, r6, r2                      // blocks that the first round leaves out
    movs r4, #BLOCK_BYTES
    adr.w r8, .Lround_\name
    mla r6, r6, r4, r8
    cmp r2, #0
    it eq
    adreq.w r6, .Llast_\name
    .ifnb \none
    it lt
    adrlt.w r6, \none
    .endif
    orr r6, r6, #1                      // Thumb
    str r6, [sp, #FRAME_ENTRY]
.endm

// Adds the sums over the row's remaining blocks to r0 ... lr.
.macro SUM_ROW name, unroll
    ldrd r1, r5, [sp, #FRAME_X]
    ldr pc, [sp, #FRAME_ENTRY]
    .p2align 2
.Lround_\name:
    .rept \unroll
    vldrb.u8 q0, [r1], #16
    EIGHT_CHANNELS vmladava, q0
    .endr
    subs r5, r5, #1
    bne .Lround_\name
    .p2align 2
.Llast_\name:
    vpst
    vldrbt.u8 q0, [r1]                  // zeros beyond the row's end
    EIGHT_CHANNELS vmladava, q0
.endm

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .p2align 2
    .global \name
    .thumb_func
    .type \name, %function
\name:
    push {r4-r11, lr}
    vpush {d8-d15}
    sub sp, #FRAME_BYTES
.endm

.macro RETURN name
    add sp, #FRAME_BYTES
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \name, . - \name
.endm

// The sums as floats in q0 and q1, in the channels' order.
.macro SUMS_TO_FLOAT
    vmov q0[2], q0[0], r0, r4
    vmov q0[3], q0[1], r2, r6
    vmov q1[2], q1[0], r8, r12
    vmov q1[3], q1[1], r10, lr
    vcvt.f32.s32 q0, q0
    vcvt.f32.s32 q1, q1
.endm

// out = (sum * scale[channel]) * row_scale.
.macro SCALE_DYNAMIC
    ldr r5, [sp, #FRAME_OTHER]
    SUMS_TO_FLOAT
    vldrw.u32 q2, [r9], #16
    vldrw.u32 q3, [r9], #16
    vmul.f32 q0, q0, q2
    vmul.f32 q1, q1, q3
    vmul.f32 q0, q0, r5
    vmul.f32 q1, q1, r5
    vstrw.32 q0, [r7], #16
    vstrw.32 q1, [r7], #16
.endm

// Rows of at least 49 inputs: the first 64 stay in q4 ... q7 for all channels (zeros beyond a shorter row's end).
// (x r0, weight r1, scale r2, out r3, end of out, k, row_scale s0)
    .equ RESIDENT, 4        // blocks
    .equ UNROLL_DYNAMIC, 11 // a row of 256 has 4 blocks in registers, 11 in one round, and the last
    FUNCTION mcu_gemv_s8_dynamic
    mov r9, r2
    mov r7, r3
    ldrd r11, r4, [sp, #STACKED]
    vstr s0, [sp, #FRAME_OTHER]
    sub r5, r4, #48
    vctp.8 r5
    BEGIN
    vldrb.u8 q4, [r1], #16
    vldrb.u8 q5, [r1], #16
    vldrb.u8 q6, [r1], #16
    vpst
    vldrbt.u8 q7, [r1], #16
    subs r2, r2, #RESIDENT
    PREPARE dynamic, UNROLL_DYNAMIC, .Lsummed_dynamic
.Lgroup_dynamic:
    EIGHT_CHANNELS vmladav, q4
    EIGHT_CHANNELS vmladava, q5
    EIGHT_CHANNELS vmladava, q6
    EIGHT_CHANNELS vmladava, q7
    SUM_ROW dynamic, UNROLL_DYNAMIC
    .p2align 2
.Lsummed_dynamic:
    SCALE_DYNAMIC
    cmp r7, r11
    bne .Lgroup_dynamic
    RETURN mcu_gemv_s8_dynamic

// The same for rows of any length; meant for short ones, so nothing is unrolled.
    FUNCTION mcu_gemv_s8_dynamic_short
    mov r9, r2
    mov r7, r3
    ldrd r11, r4, [sp, #STACKED]
    vstr s0, [sp, #FRAME_OTHER]
    BEGIN
    PREPARE dynamic_short, 1
    movs r4, #0
    movs r5, #0
    strd r4, r5, [sp, #FRAME_SUMS]
    strd r4, r5, [sp, #FRAME_SUMS + 8]
    strd r4, r5, [sp, #FRAME_SUMS + 16]
    strd r4, r5, [sp, #FRAME_SUMS + 24]
.Lgroup_dynamic_short:
    ldm.w sp, {r0, r2, r4, r6, r8, r10, r12, lr}
    SUM_ROW dynamic_short, 1
    SCALE_DYNAMIC
    cmp r7, r11
    bne .Lgroup_dynamic_short
    RETURN mcu_gemv_s8_dynamic_short

// out = (sum + offset[channel]) * scale[channel]: the offsets are what the sums begin with.
// (x r0, weight r1, offset r2, scale r3, out, end of out, k)
    FUNCTION mcu_gemv_s8_static
    mov r9, r2
    mov r11, r3
    ldrd r7, r8, [sp, #STACKED]
    ldr r4, [sp, #STACKED + 8]
    str r8, [sp, #FRAME_OTHER]
    BEGIN
    PREPARE static, UNROLL
.Lgroup_static:
    ldm r9!, {r0, r2, r4, r6, r8, r10, r12, lr}
    SUM_ROW static, UNROLL
    SUMS_TO_FLOAT
    vldrw.u32 q2, [r11], #16
    vldrw.u32 q3, [r11], #16
    vmul.f32 q0, q0, q2
    vmul.f32 q1, q1, q3
    vstrw.32 q0, [r7], #16
    vstrw.32 q1, [r7], #16
    ldr r5, [sp, #FRAME_OTHER]
    cmp r7, r5
    bne .Lgroup_static
    RETURN mcu_gemv_s8_static

// The constants of a group are eight biases, eight multipliers and eight shifts (none to the left). A doubling high
// multiplication that rounds; then a shift to the right, where one is taken from negative values first, so that ties
// go away from zero; then saturating steps to 16 and to 8 bits. Even channels in q0, odd ones in q1.
// Ends with the eight of them in q0, 16 bits each.
.macro REQUANTIZE
    vmov q0[2], q0[0], r0, r8
    vmov q0[3], q0[1], r4, r12
    vmov q1[2], q1[0], r2, r10
    vmov q1[3], q1[1], r6, lr
    vld20.32 {q2, q3}, [r9]
    vld21.32 {q2, q3}, [r9]!
    vqrdmulh.s32 q0, q0, q2
    vqrdmulh.s32 q1, q1, q3
    vld20.32 {q2, q3}, [r9]
    vld21.32 {q2, q3}, [r9]!
    vand q7, q0, q2
    vshr.s32 q7, q7, #31
    vqadd.s32 q0, q0, q7
    vand q7, q1, q3
    vshr.s32 q7, q7, #31
    vqadd.s32 q1, q1, q7
    vrshl.s32 q0, q0, q2
    vrshl.s32 q1, q1, q3
    vqmovnb.s32 q0, q0
    vqmovnt.s32 q0, q1
.endm

// (x r0, weight r1, constants r2, out r3, end of out, k, zero_point, low, high)
    FUNCTION mcu_gemv_s8_requantize
    mov r9, r2
    mov r7, r3
    ldr r4, [sp, #STACKED + 8]
    ldrd r5, r6, [sp, #STACKED + 12]
    vdup.16 q4, r4
    vdup.8 q5, r5
    vdup.8 q6, r6
    ldrd r11, r4, [sp, #STACKED]
    BEGIN
    PREPARE requantize, UNROLL
.Lgroup_requantize:
    ldm r9!, {r0, r2, r4, r6, r8, r10, r12, lr}
    SUM_ROW requantize, UNROLL
    REQUANTIZE
    vqadd.s16 q0, q0, q4
    vqmovnb.s16 q0, q0
    vmax.s8 q0, q0, q5
    vmin.s8 q0, q0, q6
    vstrb.16 q0, [r7], #8
    cmp r7, r11
    bne .Lgroup_requantize
    RETURN mcu_gemv_s8_requantize

// The same to 16 bits, and what it is added to.
// (x r0, weight r1, constants r2, out r3, end of out, k, added)
    FUNCTION mcu_gemv_s8_add_s16
    mov r9, r2
    mov r7, r3
    ldr r5, [sp, #STACKED + 8]
    ldrd r11, r4, [sp, #STACKED]
    str r5, [sp, #FRAME_OTHER]
    BEGIN
    PREPARE add_s16, UNROLL
.Lgroup_add_s16:
    ldm r9!, {r0, r2, r4, r6, r8, r10, r12, lr}
    SUM_ROW add_s16, UNROLL
    ldr r5, [sp, #FRAME_OTHER]
    REQUANTIZE
    vldrh.u16 q1, [r5], #16
    str r5, [sp, #FRAME_OTHER]
    vqadd.s16 q0, q0, q1
    vstrh.16 q0, [r7], #16
    cmp r7, r11
    bne .Lgroup_add_s16
    RETURN mcu_gemv_s8_add_s16

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
