// See tensor_model.h.
#include "runtime/tensor_model.h"

#include <string.h>

#include "model/model.h"
#include "runtime/answer.h"
#include "runtime/console.h"
#include "runtime/tensor_series.h"
#include "runtime/tensor_transfer.h"
#include "runtime/text_model.h"

namespace {

// Of the longest line: mcu-sdk sends 144 bytes of data in one, as 192 digits; a text is two digits a byte.
constexpr size_t kLineBytes = 256 + 2 * static_cast<size_t>(model::kMaxTextBytes);

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

// What is wrong with a request for this model, or nullptr.
const char* refusal(const Request& request) {
    const bool reads_text = request.text != nullptr && model::kMaxTextBytes > 0;
    if (request.steps == 0 && !reads_text) return "steps_expected";
    if (request.has_ids || (request.text != nullptr && !reads_text)) return "not_a_language_model";
    return reads_text && request.steps != 0 ? "text_and_steps" : nullptr;
}

}  // namespace

void tensor_model_fill(Random* random) {
    for (int32_t i = 0; i < model::kInputCount; ++i) fill(model::kInputs[i], random);
}

bool tensor_model_next(Request* request) {
    static char line[kLineBytes];
    constexpr Sampling kUnused = {0, 0.0f, 0, 1, false};
    for (;;) {
        const int32_t length = console_next_line(line, sizeof line);
        if (length < 0) return false;
        if (tensor_transfer_take(line, length)) continue;
        const char* error = request_parse(line, length, kUnused, nullptr, 0, request);
        answer_start(request->number);
        if (error == nullptr) error = refusal(*request);
        if (error == nullptr) return true;
        console_fail(error);
    }
}

void tensor_model_run(const Request& request) {
    tensor_transfer_forget();
    series_begin();
    if constexpr (model::kMaxTextBytes > 0) {
        if (request.text != nullptr) {
            text_model_run(request);
            return;
        }
    }
    Random random(request.sampling.seed);
    for (int32_t step = 0; step < request.steps; ++step) {
        tensor_model_fill(&random);
        series_step();
    }
    series_report();
}
