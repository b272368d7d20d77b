// The product of several int8 rows with packed int8 weights on Helium (Armv8.1-M MVE): kernels/linear/pairs_s8.h.
//
// Two rows times four channels are eight sums, which is what the even core registers r0 ... r12, lr hold (the only ones
// that vmladava adds to): two and four loads for eight multiply-accumulates, 14 instructions for 128 products. Written
// by hand, because no compiler gives lr away; `le` would need it, so loops count in r5.
//
// Four channels stay while all pairs of rows pass by. What a pair needs is a record of a table on the stack, which one
// ldm takes from, and the code's next address with it: the loop over pairs costs nothing else. The last record leads
// on to the next four channels.
//
// In the loops: r1 and r7 the next inputs of both rows, r3 the next weights, r5 rounds left, r9 the results, r11 the
// next record. q4 ... q7 hold what belongs to the four channels.
#if defined(__ARM_FEATURE_MVE)

#include "kernels/quantize/requantize_macros.inc"

    .syntax unified
    .thumb

// McuPairs.
    .equ X, 0
    .equ WEIGHT, 4
    .equ CONSTANTS, 8
    .equ OUT, 12
    .equ K, 16
    .equ N, 20
    .equ QUADS, 24
    .equ PAIRS, 28
    .equ SCALE, 32
    .equ BIAS, 36
    .equ ROW_SCALE, 40
    .equ ZERO_POINT, 44
    .equ LOW, 48
    .equ HIGH, 52
    .equ ADDED, 56

// The frame. Sums begin with its first words, in the order of the registers; r3 is among them.
    .equ BEGIN_ROW_0, 0     // r0, r2
    .equ BEGIN_WEIGHT, 8    // r3
    .equ BEGIN_ROW_0_, 12   // r4, r6
    .equ BEGIN_ROW_1, 20    // r8, r10, r12, lr
    .equ FRAME_ARGUMENTS, 36
    .equ FRAME_OTHER_HALF, 40   // to the second four channels of a group, or from those to the next group
    .equ FRAME_NEXT_HALF, 44    // the other of the two
    .equ FRAME_LEFT, 48         // channels left, in fours
    .equ FRAME_CHANNELS, 52     // where the channels' constants go on: two pointers
    .equ FRAME_BIASES, 64       // a third
    .equ FRAME_ZERO_POINT, 64   // and 1
    .equ FRAME_FROM_RESULTS, 64 // to what they are added to; and 1
    .equ FRAME_OFFSETS, 80      // where the eight results go, 16 bits each
    .equ FRAME_TABLE, 96
    .equ MOST_PAIRS, 16
    .equ RECORD_BYTES, 20       // and a word for each that is behind it

    .equ UNROLL, 8          // blocks of 16 inputs for one round
    .equ BLOCK_BYTES, 56    // of code: 14 instructions

// Sixteen inputs of two rows, in q0 and q1, times those of four channels. 80 goes to the next block of the same four.
.macro FOUR_CHANNELS
    vldrb.u8 q3, [r3], #16
    vmladava.s8 r2, q0, q3
    vmladava.s8 r10, q1, q3
    vldrb.u8 q2, [r3], #16
    vmladava.s8 r4, q0, q2
    vmladava.s8 r12, q1, q2
    vldrb.u8 q3, [r3], #80
    vmladava.s8 r6, q0, q3
    vmladava.s8 lr, q1, q3
.endm

// Adds a pair's products to r0 ... lr, entered by a record's address.
.macro SUM_PAIR name
    .p2align 2
.Lround_\name:
    .rept UNROLL
    vldrb.u8 q0, [r1], #16
    vldrb.u8 q2, [r3], #16
    vmladava.s8 r0, q0, q2
    vldrb.u8 q1, [r7], #16
    vmladava.s8 r8, q1, q2
    FOUR_CHANNELS
    .endr
    cbz r5, .Llast_\name
    subs r5, r5, #1
    b .Lround_\name
.Llast_\name:
    vpstt
    vldrbt.u8 q0, [r1]              // zeros beyond the row's end
    vldrbt.u8 q1, [r7]
    vldrb.u8 q2, [r3], #16
    vmladava.s8 r0, q0, q2
    vmladava.s8 r8, q1, q2
    FOUR_CHANNELS
.endm

// The sums to q0 and q1, a row each, in the channels' order.
.macro SUMS_TO_VECTORS
    vmov q0[2], q0[0], r0, r4
    vmov q0[3], q0[1], r2, r6
    vmov q1[2], q1[0], r8, r12
    vmov q1[3], q1[1], r10, lr
.endm

.macro NEXT_PAIR
    ldm.w sp, {r0, r2, r3, r4, r6, r8, r10, r12, lr}
    ldm.w r11!, {r1, r5, r7, r9, pc}
.endm

// Saves the registers and makes the frame and its table: r10 the arguments afterwards. `bytes` of one result; behind a
// record's five words: the second row's results (`second` 1), and both rows' scales (`second` 3).
.macro FUNCTION name, function, bytes, second
    .section .text.\function, "ax", %progbits
    .p2align 2
    .global \function
    .thumb_func
    .type \function, %function
\function:
    push {r4-r11, lr}
    vpush {d8-d15}
    .equ FRAME_BYTES_\name, (FRAME_TABLE + MOST_PAIRS * (RECORD_BYTES + 4 * \second) + RECORD_BYTES + 7) & ~7
    sub sp, #FRAME_BYTES_\name
    mov r10, r0
    str r10, [sp, #FRAME_ARGUMENTS]
    ldr r4, [r10, #K]
    subs r2, r4, #1
    lsr r2, r2, #4                  // blocks before the last one
    sub r5, r4, r2, lsl #4          // inputs in that
    vctp.8 r5
    adds r6, r2, #1
    lsl r6, r6, #7
    sub r6, r6, #64
    movs r8, #64
    strd r8, r6, [sp, #FRAME_OTHER_HALF]
    adds r5, r2, #UNROLL - 1
    lsr r5, r5, #3                  // rounds
    lsl r6, r5, #3
    subs r6, r6, r2                 // blocks that the first leaves out
    movs r8, #BLOCK_BYTES
    adr.w r9, .Lround_\name
    mla r6, r6, r8, r9
    cbnz r2, 1f
    adr.w r6, .Llast_\name
    movs r5, #1
1:  subs r5, r5, #1
    orr r6, r6, #1                  // Thumb
    ldr r1, [r10, #X]
    ldr r9, [r10, #OUT]
    ldr r3, [r10, #N]
    .if \bytes > 1
    lsls r3, r3, #\bytes / 2
    .endif
    .if \second == 3
    ldr r12, [r10, #ROW_SCALE]
    .endif
    ldr r8, [r10, #PAIRS]
    add r11, sp, #FRAME_TABLE
2:  adds r7, r1, r4
    stm r11!, {r1, r5, r7, r9}
    str r6, [r11], #4
    adds r1, r7, r4
    add r9, r9, r3
    .if \second >= 1
    str r9, [r11], #4
    .endif
    .if \second == 3
    ldrd r0, r2, [r12], #8
    strd r0, r2, [r11], #8
    .endif
    add r9, r9, r3
    subs r8, r8, #1
    bne 2b
    adr.w r6, .Lchannels_\name
    orr r6, r6, #1
    str r6, [r11, #16]
    ldr r8, [r10, #WEIGHT]
    str r8, [sp, #BEGIN_WEIGHT]
    ldr r8, [r10, #QUADS]
    str r8, [sp, #FRAME_LEFT]
.endm

// Behind the last pair: r8 the four channels left to do, after those just done; ends where there are none. Moves on to
// their weights; `other` is 1 when they are the second half of a group.
.macro NEXT_CHANNELS name
    .p2align 2
.Lchannels_\name:
    ldr r8, [sp, #FRAME_LEFT]
    ldr r3, [sp, #BEGIN_WEIGHT]
    ldrd r4, r6, [sp, #FRAME_OTHER_HALF]
    subs r8, r8, #1
    beq .Lend_\name
    add r3, r3, r4
    str r3, [sp, #BEGIN_WEIGHT]
    str r8, [sp, #FRAME_LEFT]
    strd r6, r4, [sp, #FRAME_OTHER_HALF]
.endm

.macro RETURN name, function
.Lend_\name:
    add sp, #FRAME_BYTES_\name
    vpop {d8-d15}
    pop {r4-r11, pc}
    .size \function, . - \function
.endm

// What the sums of both rows begin with: r0, r2, r4, r6 for the four channels.
.macro BEGIN_WITH
    strd r0, r2, [sp, #BEGIN_ROW_0]
    strd r4, r6, [sp, #BEGIN_ROW_0_]
    add r8, sp, #BEGIN_ROW_1
    stm r8, {r0, r2, r4, r6}
.endm

// Groups of eight channels: eight biases, eight multipliers, eight shifts, all to the right. Four channels' multipliers go
// to q4, their shifts to q5; the biases are what the sums begin with.
.macro BEGIN_REQUANTIZED
    str r9, [sp, #FRAME_CHANNELS]
    vldrw.u32 q4, [r9, #32]
    vldrw.u32 q5, [r9, #64]
    ldm r9, {r0, r2, r4, r6}
    BEGIN_WITH
    add r11, sp, #FRAME_TABLE
.endm

// Where the channels' constants begin: r9; and what leads to the second half of a group's.
.macro FIRST_CHANNELS
    ldr r9, [r10, #CONSTANTS]
    movs r0, #16
    str r0, [sp, #FRAME_CHANNELS + 4]
.endm

// To the next four channels'.
.macro MOVE_CHANNELS
    ldrd r9, r2, [sp, #FRAME_CHANNELS]
    add r9, r9, r2
    rsb r2, r2, #96                 // from there to the next group's, and so on
    str r2, [sp, #FRAME_CHANNELS + 4]
.endm

// Both rows' results take turns as halfwords: where they go, of `bytes` each, from r3 bytes between rows. Four words.
.macro OFFSETS bytes
    lsls r0, r3, #16                // the second row is n further
    adds r2, r0, #0x00010001 * \bytes
    add r4, r0, #0x00020002 * \bytes
    .if \bytes == 1
    add r6, r0, #0x00030003
    .else
    add r6, r4, #0x00020002
    .endif
.endm

    FUNCTION requantize, mcu_pairs_s8_requantize, 1, 0
    ldrd r4, r5, [r10, #ZERO_POINT]
    ldr r6, [r10, #HIGH]
    movs r0, #1
    strd r4, r0, [sp, #FRAME_ZERO_POINT]
    vdup.16 q7, r5
    vdup.16 q6, r6
    OFFSETS 1
    add r8, sp, #FRAME_OFFSETS
    stm r8, {r0, r2, r4, r6}
    FIRST_CHANNELS
.Lbegin_requantize:
    BEGIN_REQUANTIZED
    NEXT_PAIR
    SUM_PAIR requantize
    SUMS_TO_VECTORS
    ldrd r0, r2, [sp, #FRAME_ZERO_POINT]
    REQUANTIZE_TWO q0, q1, q4, q5, r2
    vldrw.u32 q3, [sp, #FRAME_OFFSETS]
    vqadd.s16 q0, q0, r0
    vmax.s16 q0, q0, q7
    vmin.s16 q0, q0, q6
    vstrb.16 q0, [r9, q3]
    NEXT_PAIR
    NEXT_CHANNELS requantize
    movs r0, #4
    vldrw.u32 q0, [sp, #FRAME_OFFSETS]
    vadd.i16 q0, q0, r0
    vstrw.32 q0, [sp, #FRAME_OFFSETS]
    MOVE_CHANNELS
    b .Lbegin_requantize
    RETURN requantize, mcu_pairs_s8_requantize

// The same in 16 bits, and what it is added to: as far from the results in every row.
    FUNCTION add_s16, mcu_pairs_s8_add_s16, 2, 0
    ldr r4, [r10, #ADDED]
    ldr r5, [r10, #OUT]
    subs r4, r4, r5
    movs r5, #1
    strd r4, r5, [sp, #FRAME_FROM_RESULTS]
    OFFSETS 2
    vmov q7[2], q7[0], r0, r4
    vmov q7[3], q7[1], r2, r6
    FIRST_CHANNELS
.Lbegin_add_s16:
    BEGIN_REQUANTIZED
    NEXT_PAIR
    SUM_PAIR add_s16
    SUMS_TO_VECTORS
    ldrd r0, r2, [sp, #FRAME_FROM_RESULTS]
    REQUANTIZE_TWO q0, q1, q4, q5, r2
    add r0, r0, r9
    vldrh.u16 q2, [r0, q7]
    vqadd.s16 q0, q0, q2
    vstrh.16 q0, [r9, q7]
    NEXT_PAIR
    NEXT_CHANNELS add_s16
    movs r0, #8
    vadd.i16 q7, q7, r0
    MOVE_CHANNELS
    b .Lbegin_add_s16
    RETURN add_s16, mcu_pairs_s8_add_s16

// Where four floats of a row go: q6, which moves on with the channels; and the channels' biases in q5, where there are
// none -0, which changes nothing that it is added to. r9: the biases' next, or 0.
.macro FLOAT_BEGIN
    movs r0, #0
    vidup.u32 q6, r0, #4
    ldr r9, [r10, #BIAS]
    mov r0, #0x80000000
    vdup.32 q5, r0
.endm

.macro LOAD_BIAS
    cmp r9, #0
    beq 3f
    vldrw.u32 q5, [r9], #16
3:
.endm

// (sum + offset) * scale + bias: the offsets are what the sums begin with.
    FUNCTION static, mcu_pairs_s8_static, 4, 1
    FLOAT_BEGIN
    ldr r5, [r10, #CONSTANTS]
    ldr r7, [r10, #SCALE]
.Lbegin_static:
    LOAD_BIAS
    vldrw.u32 q4, [r7], #16
    ldm r5!, {r0, r2, r4, r6}
    strd r5, r7, [sp, #FRAME_CHANNELS]
    str r9, [sp, #FRAME_BIASES]
    BEGIN_WITH
    add r11, sp, #FRAME_TABLE
    NEXT_PAIR
    SUM_PAIR static
    SUMS_TO_VECTORS
    ldr r0, [r11], #4
    vcvt.f32.s32 q0, q0
    vcvt.f32.s32 q1, q1
    vmul.f32 q0, q0, q4
    vmul.f32 q1, q1, q4
    vadd.f32 q0, q0, q5
    vadd.f32 q1, q1, q5
    vstrw.32 q0, [r9, q6]
    vstrw.32 q1, [r0, q6]
    NEXT_PAIR
    NEXT_CHANNELS static
    movs r0, #16
    vadd.i32 q6, q6, r0
    ldrd r5, r7, [sp, #FRAME_CHANNELS]
    ldr r9, [sp, #FRAME_BIASES]
    b .Lbegin_static
    RETURN static, mcu_pairs_s8_static

// (sum * scale) * row_scale + bias.
    FUNCTION dynamic, mcu_pairs_s8_dynamic, 4, 3
    FLOAT_BEGIN
    ldr r7, [r10, #SCALE]
    movs r0, #0
    movs r2, #0
    movs r4, #0
    movs r6, #0
    BEGIN_WITH
.Lbegin_dynamic:
    LOAD_BIAS
    vldrw.u32 q4, [r7], #16
    strd r7, r9, [sp, #FRAME_CHANNELS]
    add r11, sp, #FRAME_TABLE
    NEXT_PAIR
    SUM_PAIR dynamic
    SUMS_TO_VECTORS
    ldm.w r11!, {r0, r2, r4}
    vcvt.f32.s32 q0, q0
    vcvt.f32.s32 q1, q1
    vmul.f32 q0, q0, q4
    vmul.f32 q1, q1, q4
    vmul.f32 q0, q0, r2
    vmul.f32 q1, q1, r4
    vadd.f32 q0, q0, q5
    vadd.f32 q1, q1, q5
    vstrw.32 q0, [r9, q6]
    vstrw.32 q1, [r0, q6]
    NEXT_PAIR
    NEXT_CHANNELS dynamic
    movs r0, #16
    vadd.i32 q6, q6, r0
    ldrd r7, r9, [sp, #FRAME_CHANNELS]
    b .Lbegin_dynamic
    RETURN dynamic, mcu_pairs_s8_dynamic

// sum * scale[0]: q4; to q6 and, in the second row, to q7.
    FUNCTION scaled, mcu_pairs_s8_scaled, 4, 0
    movs r0, #0
    vidup.u32 q6, r0, #4
    vadd.i32 q7, q6, r3
    ldr r7, [r10, #SCALE]
    ldr r7, [r7]
    vdup.32 q4, r7
    movs r0, #0
    movs r2, #0
    movs r4, #0
    movs r6, #0
    BEGIN_WITH
.Lbegin_scaled:
    add r11, sp, #FRAME_TABLE
    NEXT_PAIR
    SUM_PAIR scaled
    SUMS_TO_VECTORS
    vcvt.f32.s32 q0, q0
    vcvt.f32.s32 q1, q1
    vmul.f32 q0, q0, q4
    vmul.f32 q1, q1, q4
    vstrw.32 q0, [r9, q6]
    vstrw.32 q1, [r9, q7]
    NEXT_PAIR
    NEXT_CHANNELS scaled
    movs r0, #16
    vadd.i32 q6, q6, r0
    vadd.i32 q7, q7, r0
    b .Lbegin_scaled
    RETURN scaled, mcu_pairs_s8_scaled

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
