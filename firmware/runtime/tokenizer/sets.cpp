// Pre-tokenizers that cut at characters of a set (whitespace, punctuation, word characters), and Metaspace.
#include <string.h>

#include "runtime/tokenizer/cutting.h"
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

// A character of the set, or the run of others.
Segment segment_at(const Level& level, const mcu_code_points& set, int32_t begin) {
    for (int32_t position = begin; position < level.end;) {
        const Decoded c = decode_utf8(level.text + position, level.end - position);
        if (contains(set, c.code)) return position == begin ? Segment{true, begin + c.bytes} : Segment{false, position};
        position += c.bytes;
    }
    return {false, level.end};
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
    const mcu_code_points& set = mcu_tokenizer.sets[stage.argument >> 3];
    *piece =
        cut_segments(level, stage.argument & 7u, [&](int32_t position) { return segment_at(level, set, position); });
    level.position = piece->end;
    return 0;
}

}  // namespace mcu_tokenizing
