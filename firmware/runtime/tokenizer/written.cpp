// Tokens of Unigram as text: what stands for spaces becomes spaces, byte tokens become bytes, special tokens nothing.
#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/vocabulary.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kMostBytes = 255;

constexpr int32_t kByteTokenBytes = 6;  // <0x0A>

// The byte that a token stands for, or kNotFound.
int32_t byte_of_token(int32_t id, const uint8_t* token, int32_t count) {
    if (!printing.has_bytes || count != kByteTokenBytes || token[0] != '<') return kNotFound;
    for (int32_t byte = 0; byte < 256; ++byte) {
        const uint32_t found = at(unigram.byte_ids, byte);
        if (found != MCU_NO_BYTE && static_cast<int32_t>(found) == id) return byte;
    }
    return kNotFound;
}

// The name of a token, of which there may be none.
int32_t name_of(int32_t id, const uint8_t** token) {
    if (id < 0 || id >= printing.count) return 0;
    const int32_t place = static_cast<int32_t>(at(printing.places, id));
    return place < vocabulary.tokens ? token_at(place, token) : 0;
}

}  // namespace

int32_t decode_written(int32_t id, const uint8_t** bytes) {
    static uint8_t text[kMostBytes];
    const mcu_tokenizer_data& t = mcu_tokenizer;
    const uint8_t* token = nullptr;
    int32_t count = name_of(id, &token);
    for (int32_t i = 0; i < t.added; ++i) {
        if (t.added_ids[i] != id) continue;
        if ((t.added_flags[i] & MCU_ADDED_SPECIAL) != 0) return 0;
        token = t.added_bytes + t.added_offsets[i];
        count = static_cast<int32_t>(t.added_offsets[i + 1] - t.added_offsets[i]);
        break;
    }
    *bytes = text;
    const int32_t byte = byte_of_token(id, token, count);
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
