// See unicode.h.
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

// The second byte's bounds are those of Unicode table 3-7.
Decoded decode_utf8(const uint8_t* text, int32_t bytes) {
    const uint32_t first = text[0];
    if (first < 0x80) return {first, 1};
    if (first < 0xC2 || first > 0xF4) return {0, 0};
    const int32_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (bytes < length) return {0, 0};
    const uint32_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const uint32_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high) return {0, 0};
    uint32_t code = first & (0x7Fu >> length);
    for (int32_t i = 1; i < length; ++i) {
        if ((text[i] & 0xC0u) != 0x80u) return {0, 0};
        code = code << 6 | (text[i] & 0x3Fu);
    }
    return {code, length};
}

int32_t encode_utf8(uint32_t code, uint8_t* text) {
    if (code < 0x80) {
        text[0] = static_cast<uint8_t>(code);
        return 1;
    }
    const int32_t bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int32_t i = bytes - 1; i > 0; --i) {
        text[i] = static_cast<uint8_t>(0x80u | (code & 0x3Fu));
        code >>= 6;
    }
    text[0] = static_cast<uint8_t>((0xF00u >> bytes & 0xF0u) | code);
    return bytes;
}

int32_t entry_before(const uint32_t* entries, int32_t count, uint32_t code) {
    int32_t low = 0;
    int32_t high = count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (entries[middle] >> 11 <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

bool contains(const mcu_code_points& set, uint32_t code) {
    const int32_t found = entry_before(set.entries, set.count, code);
    return found >= 0 && code - (set.entries[found] >> 11) <= (set.entries[found] & 0x7FFu);
}

bool is_space(uint32_t code) {
    if (code < 0x80) return code == ' ' || code - '\t' < 5;
    return contains(mcu_tokenizer.spaces, code);
}

uint32_t combining_class(const mcu_code_points& classes, uint32_t code) {
    const int32_t found = entry_before(classes.entries, classes.count, code);
    if (found < 0) return 0;
    const uint32_t entry = classes.entries[found];
    return code - (entry >> 11) <= (entry >> 8 & 7u) ? entry & 0xFFu : 0;
}

}  // namespace mcu_tokenizing
