// Two int8 rows times int8 weights that lie row by row, two channels at a time, with the DSP instructions of Cortex-M4,
// M7 and M33: kernels/linear/two_rows_s8.h.
//
// By hand, because all fourteen registers are in use and compilers keep some of them on the stack: four sums, both rows'
// next four columns as halfwords, which one ldm takes, the weights' halfwords and three pointers.
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE)

    .syntax unified
    .thumb

// McuTwoRows.
    .equ X, 0
    .equ WEIGHT, 4
    .equ OUT, 8             // two, bias, multipliers, shifts
    .equ K, 28
    .equ N, 32
    .equ BEGIN, 36          // two
    .equ STEP, 44
    .equ ZERO_POINT, 48
    .equ LOW, 52
    .equ HIGH, 56

    .equ FRAME_BEGIN, 0     // what the sums begin with
    .equ FRAME_X, 16
    .equ FRAME_ENTRY, 20    // where the first round begins
    .equ FRAME_WEIGHT, 24   // the next two channels'
    .equ FRAME_TWO_K, 28
    .equ FRAME_FOURS, 32    // columns in whole fours
    .equ FRAME_K, 36
    .equ FRAME_BACK, 40     // from the last columns to a word that ends with them, or 0; and the bits before them there
    .equ FRAME_BITS, 44
    .equ FRAME_HIGH, 48     // twice, as halfwords; zero point and low likewise
    .equ FRAME_LEFT, 52     // of two channels
    .equ FRAME_STATE, 56    // both outputs, bias, multipliers, shifts
    .equ FRAME_STEP, 76
    .equ FRAME_ZERO_POINT, 80
    .equ FRAME_LOW, 84
    .equ FRAME_BYTES, 88

    .equ UNROLL, 4
    .equ FOUR_BYTES, 60     // of code for four columns: 15 instructions

// r12 and lr: the weights of two channels. lr waits until r12 has been used.
.macro MULTIPLY load
    sxtb16 lr, r12
    sxtb16 r12, r12, ror #8
    smlad r4, r8, lr, r4
    smlad r5, r10, lr, r5
    \load
    smlad r4, r9, r12, r4
    smlad r5, r11, r12, r5
    sxtb16 r12, lr
    sxtb16 lr, lr, ror #8
    smlad r6, r8, r12, r6
    smlad r7, r10, r12, r7
    smlad r6, r9, lr, r6
    smlad r7, r11, lr, r7
.endm

// sum: times the multiplier, doubled, the high half rounded; then to the right, one less where it is negative, so that
// ties go away from zero; to 16 bits. The carry is the last bit that is shifted out.
.macro REQUANTIZE sum, multiplier, right
    smull r0, r1, \sum, \multiplier
    adds r0, r0, #0x40000000
    adc r1, r1, #0
    lsls r0, r0, #1
    adc \sum, r1, r1
    add \sum, \sum, \sum, asr #31
    asrs \sum, \sum, \right
    adc \sum, \sum, #0
    ssat \sum, #16, \sum
.endm

.macro TWICE register
    pkhbt \register, \register, \register, lsl #16
.endm

// What both functions have: the arguments at r0, whose k lies at `k`, to the frame, beside what the sums begin with; and
// the sums of two rows and the next two channels, to r4 ... r7.
.macro PREPARE name, k
    ldrd r4, r5, [r0, #X]
    str r4, [sp, #FRAME_X]
    str r5, [sp, #FRAME_WEIGHT]
    ldrd r4, r5, [r0, #\k]
    lsrs r5, r5, #1
    str r5, [sp, #FRAME_LEFT]
    lsls r5, r4, #1
    str r5, [sp, #FRAME_TWO_K]
    bic r5, r4, #3
    strd r5, r4, [sp, #FRAME_FOURS]
    ands r6, r4, #3
    itte ne
    rsbne r7, r6, #4
    rsbne r6, r7, #0
    moveq r7, #0
    lsls r7, r7, #3
    strd r6, r7, [sp, #FRAME_BACK]
    ubfx r5, r4, #2, #2
    rsb r5, r5, #UNROLL
    and r5, r5, #UNROLL - 1         // what the first round leaves out
    movs r6, #FOUR_BYTES
    adr.w r7, .Lround_\name
    mla r5, r5, r6, r7
    orr r5, r5, #1                  // Thumb
    str r5, [sp, #FRAME_ENTRY]
.endm

.macro SUM_TWO_CHANNELS name
.Ltwo_channels_\name:
    ldm sp, {r4, r5, r6, r7}
    ldrd r1, r12, [sp, #FRAME_WEIGHT]
    ldrd r3, r2, [sp, #FRAME_FOURS]
    ldrd r0, lr, [sp, #FRAME_X]
    add r12, r12, r1
    str r12, [sp, #FRAME_WEIGHT]
    add r2, r2, r1
    add r3, r3, r1
    bx lr
    .p2align 2
.Lround_\name:
    .rept UNROLL
    ldm.w r0!, {r8, r9, r10, r11}
    ldr.w r12, [r1], #4
    MULTIPLY "ldr.w lr, [r2], #4"
    .endr
    cmp r1, r3
    bne .Lround_\name
    ldr r3, [sp, #FRAME_BACK]
    cbz r3, .Lsummed_\name
    ldm.w r0, {r8, r9, r10, r11}    // zeros beyond the row's end
    ldr r12, [r1, r3]
    ldr r2, [r2, r3]
    ldr r3, [sp, #FRAME_BITS]
    lsr r12, r12, r3
    MULTIPLY "lsr lr, r2, r3"
.Lsummed_\name:
.endm

// n / 2 times two channels, at least once; k >= 4.
    .section .text.mcu_two_rows_by_two_s8, "ax", %progbits
    .p2align 2
    .global mcu_two_rows_by_two_s8
    .thumb_func
    .type mcu_two_rows_by_two_s8, %function
mcu_two_rows_by_two_s8:
    push {r4-r11, lr}
    sub sp, #FRAME_BYTES + 4
    ldrd r4, r5, [r0, #BEGIN]
    strd r4, r5, [sp, #FRAME_BEGIN]
    strd r4, r5, [sp, #FRAME_BEGIN + 8]
    PREPARE requantized, K
    ldrd r4, r5, [r0, #ZERO_POINT]
    ldr r6, [r0, #HIGH]
    TWICE r4
    TWICE r5
    TWICE r6
    strd r4, r5, [sp, #FRAME_ZERO_POINT]
    str r6, [sp, #FRAME_HIGH]
    ldr r4, [r0, #STEP]
    lsls r4, r4, #3
    str r4, [sp, #FRAME_STEP]
    adds r0, r0, #OUT
    ldm r0, {r1, r2, r3, r4, r5}
    add r0, sp, #FRAME_STATE
    stm r0, {r1, r2, r3, r4, r5}
    SUM_TWO_CHANNELS requantized
    add r0, sp, #FRAME_STATE
    ldm r0, {r8, r9, r10, r11, r12}
    ldr r1, [sp, #FRAME_STEP]
    ldrd r2, r3, [r10], #8
    str r10, [sp, #FRAME_STATE + 8]
    add r4, r4, r2
    add r5, r5, r2
    add r6, r6, r3
    add r7, r7, r3
    ldrd r2, r3, [r11]              // multipliers
    add r11, r11, r1
    add r1, r1, r12
    strd r11, r1, [sp, #FRAME_STATE + 12]
    ldrd r10, r11, [r12]            // shifts
    rsb r10, r10, #0
    rsb r11, r11, #0
    REQUANTIZE r4, r2, r10
    REQUANTIZE r5, r2, r10
    REQUANTIZE r6, r3, r11
    REQUANTIZE r7, r3, r11
    pkhbt r4, r4, r6, lsl #16       // a row in each
    pkhbt r5, r5, r7, lsl #16
    ldrd r0, r1, [sp, #FRAME_ZERO_POINT]
    ldrd r2, r3, [sp, #FRAME_HIGH]
    qadd16 r4, r4, r0
    qadd16 r5, r5, r0
    ssub16 r6, r4, r1
    sel r4, r4, r1
    ssub16 r6, r5, r1
    sel r5, r5, r1
    ssub16 r6, r2, r4
    sel r4, r4, r2
    ssub16 r6, r2, r5
    sel r5, r5, r2
    strb r4, [r8], #1
    lsrs r4, r4, #16
    strb r5, [r9], #1
    lsrs r5, r5, #16
    strb r4, [r8], #1
    subs r3, r3, #1
    strb r5, [r9], #1
    str r3, [sp, #FRAME_LEFT]
    strd r8, r9, [sp, #FRAME_STATE]
    bne .Ltwo_channels_requantized
    add sp, #FRAME_BYTES + 4
    pop {r4-r11, pc}
    .size mcu_two_rows_by_two_s8, . - mcu_two_rows_by_two_s8

// McuTwoRowsSums.
    .equ SUMS_OUT, 8        // two; before them as above
    .equ SUMS_K, 16

    .equ SUMS_FRAME_OUT, 56     // two; before them as above
    .equ SUMS_FRAME_BYTES, 64

// The sums alone, of n / 2 times two channels, at least once; k >= 4.
    .section .text.mcu_two_rows_sums_s8, "ax", %progbits
    .p2align 2
    .global mcu_two_rows_sums_s8
    .thumb_func
    .type mcu_two_rows_sums_s8, %function
mcu_two_rows_sums_s8:
    push {r4-r11, lr}
    sub sp, #SUMS_FRAME_BYTES + 4
    movs r4, #0
    movs r5, #0
    strd r4, r5, [sp, #FRAME_BEGIN]
    strd r4, r5, [sp, #FRAME_BEGIN + 8]
    PREPARE sums, SUMS_K
    ldrd r4, r5, [r0, #SUMS_OUT]
    strd r4, r5, [sp, #SUMS_FRAME_OUT]
    SUM_TWO_CHANNELS sums
    ldrd r8, r9, [sp, #SUMS_FRAME_OUT]
    strd r4, r6, [r8], #8
    strd r5, r7, [r9], #8
    strd r8, r9, [sp, #SUMS_FRAME_OUT]
    ldr r3, [sp, #FRAME_LEFT]
    subs r3, r3, #1
    str r3, [sp, #FRAME_LEFT]
    bne .Ltwo_channels_sums
    add sp, #SUMS_FRAME_BYTES + 4
    pop {r4-r11, pc}
    .size mcu_two_rows_sums_s8, . - mcu_two_rows_sums_s8

#elif defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
