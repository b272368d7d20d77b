// See grammar.h.
#include "runtime/grammar.h"

#include <string.h>

#include "model/model.h"
#include "runtime/tokenizer.h"

namespace {

bool ends_answer(int32_t token) {
    for (int32_t i = 0; i < model::kEosCount; ++i) {
        if (model::kEosIds[i] == token) return true;
    }
    return false;
}

bool is_nan(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7FFFFFFFu) > 0x7F800000u;
}

void put_bits(float* value, uint32_t bits) { memcpy(value, &bits, sizeof bits); }

}  // namespace

extern "C" int32_t mcu_grammar_shortest() { return mcu_grammar.left[0]; }

extern "C" int32_t mcu_grammar_after(int32_t state, int32_t token) {
    if (state < 0 || ends_answer(token)) return -1;
    const uint8_t* bytes = nullptr;
    const int32_t count = mcu_tokenizer_decode(token, &bytes);
    if (count <= 0) return -1;
    uint32_t here = static_cast<uint32_t>(state);
    for (int32_t i = 0; i < count; ++i) {
        here = mcu_grammar.next[here * static_cast<uint32_t>(mcu_grammar.class_count) + mcu_grammar.classes[bytes[i]]];
        if (here == MCU_GRAMMAR_NEVER) return -1;
    }
    return static_cast<int32_t>(here);
}

extern "C" int32_t mcu_grammar_bar(float* logits, int32_t state, int32_t tokens_left) {
    int32_t allowed = 0;
    const bool may_end = state >= 0 && mcu_grammar.left[state] == 0;
    for (int32_t token = 0; token < model::kVocabSize; ++token) {
        const int32_t after = mcu_grammar_after(state, token);
        if ((may_end && ends_answer(token)) || (after >= 0 && mcu_grammar.left[after] < tokens_left)) {
            ++allowed;
            if (is_nan(logits[token])) put_bits(logits + token, 0xFF800000u);
        } else {
            put_bits(logits + token, 0x7FC00000u);
        }
    }
    return allowed;
}
