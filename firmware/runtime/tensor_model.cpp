// See tensor_model.h.
#include "runtime/tensor_model.h"

#include <string.h>

#include "model/model.h"
#include "platform/counter.h"
#include "runtime/console.h"
#include "runtime/digest.h"
#include "runtime/print.h"

namespace {

// A number in [-1, 1) with 11 bits, as the bits of an IEEE half. All of them are normal numbers or zero.
uint16_t half_from(int32_t thousand_twenty_fourths) {
    const bool negative = thousand_twenty_fourths < 0;
    uint32_t magnitude = static_cast<uint32_t>(negative ? -thousand_twenty_fourths : thousand_twenty_fourths);
    if (magnitude == 0) return 0;
    uint32_t exponent = 15;
    for (; magnitude < 1024; magnitude <<= 1) --exponent;
    return static_cast<uint16_t>((negative ? 0x8000u : 0u) | exponent << 10 | (magnitude & 1023u));
}

template <typename T>
void store(void* data, size_t index, T value) {
    memcpy(static_cast<uint8_t*>(data) + index * sizeof(T), &value, sizeof(T));
}

void fill(const model::Tensor& tensor, Random* random) {
    for (size_t i = 0; i < tensor.elements; ++i) {
        const uint32_t x = random->next();
        const int32_t top24 = static_cast<int32_t>(x) >> 8;
        switch (tensor.type) {
            case model::Type::kU8:
            case model::Type::kS8: store(tensor.data, i, static_cast<uint8_t>(x >> 24)); break;
            case model::Type::kS16: store(tensor.data, i, static_cast<uint16_t>(x >> 16)); break;
            case model::Type::kS32: store(tensor.data, i, static_cast<int32_t>(x >> 30)); break;
            case model::Type::kS64: store(tensor.data, i, static_cast<int64_t>(x >> 30)); break;
            case model::Type::kF16: store(tensor.data, i, half_from(static_cast<int32_t>(x) >> 21)); break;
            case model::Type::kF32: store(tensor.data, i, static_cast<float>(top24) * 0x1p-23f); break;
            case model::Type::kF64: store(tensor.data, i, static_cast<double>(top24) * 0x1p-23); break;
            case model::Type::kBool: store(tensor.data, i, static_cast<uint8_t>(x >> 31)); break;
        }
    }
}

}  // namespace

void tensor_model_fill(Random* random) {
    for (int32_t i = 0; i < model::kInputCount; ++i) fill(model::kInputs[i], random);
}

bool tensor_model_next(Request* request) {
    static char line[256];
    constexpr Sampling kUnused = {0, 0.0f, 0, 1, false};
    for (;;) {
        if (!console_read_request(line, sizeof line, kUnused, nullptr, 0, request)) return false;
        const char* error = nullptr;
        if (request->steps == 0) error = "steps_expected";
        if (error == nullptr && (request->text != nullptr || request->has_ids)) error = "not_a_language_model";
        if (error == nullptr) return true;
        console_fail(error);
    }
}

void tensor_model_run(const Request& request) {
    model::reset();
    Random random(request.sampling.seed);
    Digest digest;
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t total = 0;
    for (int32_t step = 0; step < request.steps; ++step) {
        tensor_model_fill(&random);
        const uint64_t before = counter_read();
        model::step();
        last = counter_instructions(before, counter_read());
        if (step == 0) first = last;
        total += last;
        for (int32_t i = 0; i < model::kOutputCount; ++i) {
            digest.add(model::kOutputs[i].data, static_cast<uint32_t>(model::kOutputs[i].bytes));
        }
    }
    print_fact("steps", static_cast<uint64_t>(request.steps));
    print_text("@mcu digest=");
    print_hex(digest.value(), 16);
    print_text("\n");
    if (console_counts_instructions()) {
        print_text("@mcu instructions_first=");
        print_unsigned(first);
        print_text(" instructions_last=");
        print_unsigned(last);
        print_text(" instructions_total=");
        print_unsigned(total);
        print_text("\n");
    }
    console_succeed();
}
