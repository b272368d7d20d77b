// Regular expressions as tables of states and classes of characters (mcu_sdk/model/pattern/); a space may be put before
// the text.
#include "runtime/tokenizer/cutting.h"
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kNoMatch = -2;  // -1 is where a space may be that the text does not have

uint32_t class_of(const mcu_pattern_data& pattern, uint32_t code) {
    if (code < 0x80) return pattern.ascii[code];
    int32_t low = 0;
    int32_t high = pattern.blocks;
    while (low + 1 < high) {
        const int32_t middle = low + (high - low) / 2;
        if (pattern.starts[middle] <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const uint8_t* run = pattern.runs + at(pattern.places, low);
    uint32_t next = pattern.starts[low];
    for (;;) {
        uint32_t value = *run & 0x7Fu;
        for (uint32_t shift = 7; (*run++ & 0x80u) != 0; shift += 7) value |= (*run & 0x7Fu) << shift;
        next += (value >> pattern.bits) + 1;
        if (code < next) return value & ((1u << pattern.bits) - 1);
    }
}

struct Scanned {
    uint32_t type;  // the class of what is read
    int32_t bytes;
};

Scanned scan(const Encoder& encoder, const mcu_pattern_data& pattern, int32_t position, int32_t end) {
    if (position >= end) return {pattern.classes, 0};
    if (encoder.space && position < encoder.base) return {pattern.ascii[uint8_t{' '}], 1};
    if (pattern.blocks == 0) return {pattern.ascii[encoder.text[position]], 1};
    const Decoded c = decode_utf8(encoder.text + position, end - position);
    return {class_of(pattern, c.code), c.bytes};
}

uint32_t entry_at(const mcu_pattern_data& pattern, uint32_t state, uint32_t column) {
    return pattern.table[(state - 1) * ((pattern.classes + 1) << pattern.ahead_count) + column];
}

// Whether something matches from a state on.
bool is_ahead(const Encoder& encoder, const mcu_pattern_data& pattern, int32_t position, int32_t end, uint32_t state) {
    while (state != 0) {
        const Scanned c = scan(encoder, pattern, position, end);
        state = entry_at(pattern, state, c.type);
        if ((state & MCU_PATTERN_MATCHED) != 0) return true;
        position += c.bytes;
    }
    return false;
}

// Where the match ends that begins at `begin`, or kNoMatch.
int32_t match(const Encoder& encoder, const mcu_pattern_data& pattern, int32_t begin, int32_t end) {
    int32_t found = kNoMatch;
    uint32_t state = 1;
    for (int32_t position = begin; state != 0;) {
        const Scanned c = scan(encoder, pattern, position, end);
        uint32_t column = c.type;
        for (uint32_t i = 0; i < pattern.ahead_count; ++i) {
            if (is_ahead(encoder, pattern, position, end, pattern.aheads[i])) column += (pattern.classes + 1) << i;
        }
        const uint32_t entry = entry_at(pattern, state, column);
        if ((entry & MCU_PATTERN_MATCHED) != 0) found = position;
        state = entry & ~uint32_t{MCU_PATTERN_MATCHED};
        position += c.bytes;
    }
    return found;
}

// A match of nothing ends what is before it.
Segment segment_at(const Encoder& encoder, const mcu_pattern_data& pattern, int32_t begin, int32_t end) {
    int32_t position = begin;
    while (position < end) {
        const int32_t stop = match(encoder, pattern, position, end);
        if (stop != kNoMatch && position > begin) return {false, position};
        if (stop != kNoMatch && stop > begin) return {true, stop};
        position += scan(encoder, pattern, position, end).bytes;
    }
    return {false, end};
}

}  // namespace

// A space put before the text stays until the level is left.
int32_t next_pattern(Encoder& encoder, Level& level, const mcu_split_stage& split, Piece* piece) {
    if (split.kind == MCU_SPLIT_PREFIX_SPACE) {
        const int32_t begin = level.position;
        encoder.base = begin;
        encoder.space = encoder.text[begin] != ' ';
        level.position = level.end;
        *piece = {level.text, begin - (encoder.space ? 1 : 0), level.end};
        return 0;
    }
    const mcu_pattern_data& pattern = patterns[split.argument >> 4];
    const bool inverted = (split.argument & 8u) != 0;
    *piece = cut_segments(level, split.argument & 7u, [&](int32_t position) {
        const Segment found = segment_at(encoder, pattern, position, level.end);
        return Segment{found.is_match != inverted, found.end};
    });
    level.position = piece->end;
    return 0;
}

}  // namespace mcu_tokenizing
