/* A language model in the main loop and another model in a timer's interrupt, in one program.
 *
 * It prints what `mcu-sdk run` prints of each model alone: the digest, FNV-1a over the raw bytes of all outputs. */
#include "board.h"
#include "mcu_classifier.h"
#include "mcu_writer.h"

/* The interrupt's frame, with the floating-point registers, and its handler's own need come on top. */
#if MCU_WRITER_STACK_BYTES + MCU_CLASSIFIER_STACK_BYTES > 3072
#error "Reserve more than 4096 bytes of stack in board.ld."
#endif

enum { kTokens = 12, kSteps = 30, kClocks = 25000 };

static const char kPrompt[] = "to be";

static volatile uint32_t ticks;     /* interrupts so far */
static volatile uint32_t overtaken; /* those of them that came in the middle of the language model's step */
static volatile uint32_t steps;     /* of the classifier, which stops after kSteps */
static volatile int writing;
static uint64_t classifier_digest = 0xcbf29ce484222325u;
static uint32_t random_state = 1;

static uint64_t digest(uint64_t value, const void* data, size_t bytes) {
    const uint8_t* byte = data;
    for (size_t i = 0; i < bytes; ++i) value = (value ^ byte[i]) * 0x100000001b3u;
    return value;
}

static void print_number(const char* name, uint64_t value, uint32_t base) {
    char text[24];
    char* next = text + sizeof text - 1;
    *next = '\0';
    do {
        *--next = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 || (base == 16 && next > text + 7));
    board_write(name);
    board_write(next);
}

/* The made-up inputs of `mcu-sdk run --steps`: xorshift32, and of each number the top bits. */
static void fill(mcu_classifier_tensor input) {
    for (size_t i = 0; i < input.elements; ++i) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 17;
        random_state ^= random_state << 5;
        if (input.type == MCU_CLASSIFIER_F32) ((float*)input.data)[i] = (float)((int32_t)random_state >> 8) * 0x1p-23f;
        if (input.type == MCU_CLASSIFIER_S8) ((int8_t*)input.data)[i] = (int8_t)((int32_t)random_state >> 24);
    }
}

void SysTick_Handler(void) {
    ++ticks;
    overtaken += writing ? 1u : 0u;
    if (steps == kSteps) return;
    for (int32_t i = 0; i < MCU_CLASSIFIER_INPUTS; ++i) fill(mcu_classifier_input(i));
    mcu_classifier_step();
    for (int32_t i = 0; i < MCU_CLASSIFIER_OUTPUTS; ++i) {
        const mcu_classifier_tensor output = mcu_classifier_output(i);
        classifier_digest = digest(classifier_digest, output.data, output.bytes);
    }
    ++steps;
}

static uint32_t float_mode(void) {
    uint32_t mode;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(mode));
    return mode & 0x07C00000u;
}

int main(void) {
    /* Rounding towards zero: this firmware's own mode, which no model may take over or be disturbed by. */
    const uint32_t mode = 3u << 22;
    __asm__ volatile("vmsr fpscr, %0" : : "r"(mode));

    int32_t ids[MCU_WRITER_MAX_SEQUENCE_LENGTH];
    int32_t count = mcu_writer_encode(kPrompt, sizeof kPrompt - 1, ids, MCU_WRITER_MAX_SEQUENCE_LENGTH);
    uint64_t writer_digest = 0xcbf29ce484222325u;
    uint64_t seed = 1;

    mcu_writer_reset();
    mcu_classifier_reset();
    board_start_timer(kClocks);

    const float* logits = NULL;
    int32_t token = -1;
    board_write("writer ids=");
    for (int32_t i = 0; i < count + kTokens - 1; ++i) {
        writing = 1;
        logits = mcu_writer_step(i < count ? ids[i] : token);
        writing = 0;
        if (logits == NULL) break;
        writer_digest = digest(writer_digest, logits, sizeof(float) * MCU_WRITER_VOCAB_SIZE);
        if (i + 1 < count) continue;
        token = mcu_writer_sample(logits, 0.0f, 0, &seed);
        print_number(i + 1 == count ? "" : ",", (uint64_t)token, 10);
        if (mcu_writer_is_end(token) || mcu_writer_room() == 0) break;
    }
    while (steps != kSteps) __asm__ volatile("wfi");

    print_number("\nwriter digest=", writer_digest, 16);
    print_number("\nclassifier digest=", classifier_digest, 16);
    print_number("\nticks=", ticks, 10);
    print_number(" overtaken=", overtaken, 10);
    board_write(float_mode() == mode ? "\nfloat mode kept\n" : "\nfloat mode lost\n");
    return logits != NULL && float_mode() == mode ? 0 : 1;
}
