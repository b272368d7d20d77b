// Tokens of Unigram as text: what stands for spaces becomes spaces, byte tokens become bytes, special tokens nothing.
#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kMostBytes = 255;

int32_t byte_of_token(int32_t id) {
    for (int32_t byte = 0; byte < 256; ++byte) {
        const uint32_t found = at(unigram.byte_ids, byte);
        if (found != MCU_NO_BYTE && static_cast<int32_t>(found) == id) return byte;
    }
    return kNotFound;
}

}  // namespace

int32_t decode_written(int32_t id, const uint8_t** bytes) {
    static uint8_t text[kMostBytes];
    const mcu_tokenizer_data& t = mcu_tokenizer;
    const uint8_t* token = nullptr;
    int32_t count = decode_vocabulary(id, &token);
    for (int32_t i = 0; i < t.added; ++i) {
        if (t.added_ids[i] != id) continue;
        if ((t.added_flags[i] & MCU_ADDED_SPECIAL) != 0) return 0;
        token = t.added_bytes + t.added_offsets[i];
        count = static_cast<int32_t>(t.added_offsets[i + 1] - t.added_offsets[i]);
        break;
    }
    *bytes = text;
    const int32_t byte = printing.has_bytes ? byte_of_token(id) : kNotFound;
    if (byte != kNotFound) {
        text[0] = static_cast<uint8_t>(byte);
        return 1;
    }
    int32_t to = 0;
    for (int32_t i = 0; i < count && to < kMostBytes;) {
        const int32_t mark = printing.mark_bytes;
        const bool space =
            mark > 0 && count - i >= mark && memcmp(token + i, printing.mark, static_cast<size_t>(mark)) == 0;
        text[to++] = space ? uint8_t{' '} : token[i];
        i += space ? mark : 1;
    }
    return to;
}

}  // namespace mcu_tokenizing
