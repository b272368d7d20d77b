// Pre-tokenizers that cut at characters of a set (whitespace, punctuation, word characters), and Metaspace.
#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

struct Next {
    bool is_match;
    int32_t position;  // behind it
};

Next scan(const Level& level, const mcu_code_points& set, int32_t position) {
    const Decoded c = decode_utf8(level.text + position, level.end - position);
    return {contains(set, c.code), position + c.bytes};
}

// Behind the run of characters that are, or are not, of the set.
int32_t run_end(const Level& level, const mcu_code_points& set, int32_t position, bool matches) {
    while (position < level.end) {
        const Next c = scan(level, set, position);
        if (c.is_match != matches) break;
        position = c.position;
    }
    return position;
}

// The next piece from `begin` on; what is left of the text may be empty where characters are removed.
Piece cut_at_set(const Level& level, const mcu_code_points& set, uint32_t behavior) {
    int32_t begin = level.position;
    if (behavior == MCU_SPLIT_REMOVED) {
        begin = run_end(level, set, begin, true);
        return {level.text, begin, run_end(level, set, begin, false)};
    }
    const Next first = scan(level, set, begin);
    if (!first.is_match) {
        int32_t end = run_end(level, set, begin, false);
        if (behavior == MCU_SPLIT_WITH_PREVIOUS && end < level.end) end = scan(level, set, end).position;
        return {level.text, begin, end};
    }
    if (behavior == MCU_SPLIT_CONTIGUOUS) return {level.text, begin, run_end(level, set, begin, true)};
    if (behavior == MCU_SPLIT_WITH_NEXT) return {level.text, begin, run_end(level, set, first.position, false)};
    return {level.text, begin, first.position};
}

// The level's text with the replacement for each space, and before it; behind the texts that the room holds already.
int32_t replace_spaces(Encoder& encoder, const Level& level, uint32_t scheme, Piece* piece) {
    const mcu_tokenizer_data& t = mcu_tokenizer;
    const int32_t bytes = t.replacement_bytes;
    const uint8_t* text = level.text + level.position;
    const int32_t count = level.end - level.position;
    const bool first = encoder.first == text;
    const bool marked =
        text[0] == ' ' || (count >= bytes && memcmp(text, t.replacement, static_cast<size_t>(bytes)) == 0);
    int32_t to = encoder.used;
    const bool prepend = !marked && (scheme == MCU_PREPEND_ALWAYS || (scheme == MCU_PREPEND_FIRST && first));
    for (int32_t i = prepend ? -1 : 0; i < count; ++i) {
        const bool space = i < 0 || text[i] == ' ';
        const int32_t more = space ? bytes : 1;
        if (to + more > t.work_bytes) return kTooLong;
        memcpy(t.work + to, space ? t.replacement : text + i, static_cast<size_t>(more));
        to += more;
    }
    *piece = {t.work, encoder.used, to};
    encoder.used = to;
    return 0;
}

}  // namespace

int32_t next_of_sets(Encoder& encoder, Level& level, const mcu_split_stage& stage, Piece* piece) {
    if (stage.kind == MCU_SPLIT_METASPACE) {
        const int32_t error = replace_spaces(encoder, level, stage.argument, piece);
        level.position = level.end;
        return error;
    }
    *piece = cut_at_set(level, mcu_tokenizer.sets[stage.argument >> 3], stage.argument & 7u);
    level.position = piece->end;
    return 0;
}

}  // namespace mcu_tokenizing
