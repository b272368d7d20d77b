// One int8 row times many others on Helium (Armv8.1-M MVE): kernels/attention/dots_s8.h.
//
// Written by hand, because a compiler runs out of registers: four sums have to lie in even core registers, four rows
// need a pointer each, and `le` counts in lr.
//
// r0 x, r1 r3 r5 r7 the rows, r2 their distance, r4 r6 r8 r10 the sums, r9 the results' end, r11 the next result, r12
// the blocks of 16 between the first and the last, q3 the scale. The predicate for the last block stays in VPR.
#if defined(__ARM_FEATURE_MVE)

    .syntax unified
    .thumb

    .equ STACKED, 36        // from sp to the arguments on the stack, behind the saved registers

.macro ROWS
    add r3, r1, r2
    add r5, r3, r2
    add r7, r5, r2
.endm

// Sixteen of each row times q0.
.macro WHOLE_BLOCK multiply, at:vararg
    vldrb.u8 q1, [r1\at
    \multiply r4, q0, q1
    vldrb.u8 q2, [r3\at
    \multiply r6, q0, q2
    vldrb.u8 q1, [r5\at
    \multiply r8, q0, q1
    vldrb.u8 q2, [r7\at
    \multiply r10, q0, q2
.endm

// The last 1 ... 16 of each row.
.macro LAST_BLOCK multiply, at:vararg
    vpstttt
    vldrbt.u8 q1, [r1\at
    \multiply r4, q0, q1
    vldrbt.u8 q2, [r3\at
    \multiply r6, q0, q2
    vpstttt
    vldrbt.u8 q1, [r5\at
    \multiply r8, q0, q1
    vldrbt.u8 q2, [r7\at
    \multiply r10, q0, q2
.endm

.macro STORE
    vmov q1[2], q1[0], r4, r8
    vmov q1[3], q1[1], r6, r10
    vcvt.f32.s32 q1, q1
    vmul.f32 q1, q1, q3
    vstrw.32 q1, [r11], #16
    cmp r11, r9
.endm

// (x r0, rows r1, stride r2, k r3, out, end of out, scale s0)
    .section .text.mcu_dots_s8_x4, "ax", %progbits
    .p2align 2
    .global mcu_dots_s8_x4
    .thumb_func
    .type mcu_dots_s8_x4, %function
mcu_dots_s8_x4:
    push {r4-r11, lr}
    vmov r4, s0
    vdup.32 q3, r4
    ldrd r11, r9, [sp, #STACKED]
    subs r3, r3, #1
    lsr r12, r3, #4
    sub r3, r3, r12, lsl #4
    adds r3, r3, #1
    vctp.8 r3
    subs r12, r12, #1
    bmi .Lshort

.Lrows:
    ROWS
    vldrb.u8 q0, [r0]
    WHOLE_BLOCK vmladav.s8, ]
    wls lr, r12, .Llast
.Lblock:
    vldrb.u8 q0, [r0, #16]!
    WHOLE_BLOCK vmladava.s8, , #16]!
    le lr, .Lblock
.Llast:
    vldrb.u8 q0, [r0, #16]
    LAST_BLOCK vmladavat.s8, , #16]
    sub r0, r0, r12, lsl #4
    add r1, r7, r2
    sub r1, r1, r12, lsl #4
    STORE
    bne .Lrows
    pop {r4-r11, pc}

.Lshort:                    // rows of at most 16
    vldrb.u8 q0, [r0]
.Lshort_rows:
    ROWS
    LAST_BLOCK vmladavt.s8, ]
    add r1, r7, r2
    STORE
    bne .Lshort_rows
    pop {r4-r11, pc}
    .size mcu_dots_s8_x4, . - mcu_dots_s8_x4

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
