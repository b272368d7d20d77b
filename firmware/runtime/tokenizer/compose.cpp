// Canonical composition: the last step of NFC and NFKC, behind decomposition and the order of marks.
#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/normalize.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr uint32_t kSyllables = 0xAC00;
constexpr uint32_t kLeading = 0x1100;
constexpr uint32_t kVowels = 0x1161;
constexpr uint32_t kTrailing = 0x11A7;  // one before the first

uint32_t find_pair(const mcu_composition_data& pairs, uint32_t first, uint32_t second) {
    int32_t low = 0;
    int32_t high = pairs.count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const uint32_t found = at(pairs.first, middle);
        if (found < first || (found == first && at(pairs.second, middle) < second)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const bool same = low < pairs.count && at(pairs.first, low) == first && at(pairs.second, low) == second;
    return same ? at(pairs.result, low) : 0;
}

// What two become; 0: they stay two.
uint32_t composed(const mcu_composition_data& pairs, const mcu_composition_data& beyond, uint32_t first,
                  uint32_t second) {
    if (first - kLeading < 19 && second - kVowels < 21) {
        return kSyllables + ((first - kLeading) * 21 + (second - kVowels)) * 28;
    }
    const uint32_t syllable = first - kSyllables;
    if (syllable < 11172 && syllable % 28 == 0 && second - kTrailing - 1 < 27) return first + (second - kTrailing);
    const uint32_t found = find_pair(pairs, first, second);
    return found != 0 ? found : find_pair(beyond, first, second);
}

}  // namespace

// In place: what two become has no more bytes than they have (mcu_sdk/model/normalizer_steps.py).
bool compose(Text& text, const mcu_code_points& classes, const mcu_composition_data& pairs,
             const mcu_composition_data& beyond) {
    uint8_t* bytes = mcu_tokenizer.work;
    int32_t written = text.begin;
    int32_t starter = kNotFound;
    Decoded base = {0, 0};    // the character at `starter`
    uint32_t last_class = 0;  // of the last one behind it
    for (int32_t i = text.begin; i < text.end;) {
        const Decoded c = decode_utf8(bytes + i, text.end - i);
        const uint32_t own = combining_class(classes, c.code);
        const bool adjacent = written == starter + base.bytes;
        const bool reaches = starter != kNotFound && (adjacent || last_class < own);
        const uint32_t result = reaches ? composed(pairs, beyond, base.code, c.code) : 0;
        if (result != 0) {
            uint8_t encoded[4];
            const int32_t count = encode_utf8(result, encoded);
            const int32_t behind = starter + base.bytes;
            memmove(bytes + starter + count, bytes + behind, static_cast<size_t>(written - behind));
            memcpy(bytes + starter, encoded, static_cast<size_t>(count));
            written += count - base.bytes;
            base = {result, count};
        } else {
            memmove(bytes + written, bytes + i, static_cast<size_t>(c.bytes));
            if (own == 0) {
                starter = written;
                base = c;
            }
            last_class = own;
            written += c.bytes;
        }
        i += c.bytes;
    }
    text.end = written;
    return true;
}

}  // namespace mcu_tokenizing
