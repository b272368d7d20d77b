// See text_inputs.h.
#include "runtime/text_inputs.h"

#include <string.h>

#include "model/model.h"

namespace {

constexpr int32_t kLength = model::kMaxSequenceLength;

int32_t* narrow(int32_t input) { return input < 0 ? nullptr : static_cast<int32_t*>(model::input(input).data); }

// int32[count] at the begin of an input becomes int64[kLength] over it, from the end on; behind it stands `rest`.
void widen(int32_t input, int32_t count, int64_t rest) {
    if (input < 0) return;
    uint8_t* bytes = static_cast<uint8_t*>(model::input(input).data);
    for (int32_t i = kLength - 1; i >= 0; --i) {
        int64_t value = rest;
        if (i < count) {
            int32_t id;
            memcpy(&id, bytes + i * 4, sizeof id);
            value = id;
        }
        memcpy(bytes + i * 8, &value, sizeof value);
    }
}

bool are_known(const int32_t* ids, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        if (ids[i] < 0 || ids[i] >= model::kVocabSize) return false;
    }
    return true;
}

}  // namespace

mcu_encoded text_inputs_fill(mcu_text text, mcu_text pair) {
    int32_t* ids = narrow(model::kIdsInput);
    mcu_encoded read = mcu_tokenizer_encode_texts(text, pair, ids, narrow(model::kTypesInput), kLength);
    if (read.count >= 0 && !are_known(ids, read.count)) read = {kIdOutOfRange, 0};
    if (read.count < 0) return read;
    widen(model::kIdsInput, read.count, model::kPadId);
    widen(model::kTypesInput, read.count, 0);
    int64_t* mask = static_cast<int64_t*>(model::input(model::kMaskInput).data);
    for (int32_t i = 0; i < kLength; ++i) mask[i] = i < read.count ? 1 : 0;
    return read;
}
