// How the pre-tokenizers cut that look for something in a text: at characters of a set, where a pattern matches.
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/encode.h"

namespace mcu_tokenizing {

// What was found, or all up to the next that is found.
struct Segment {
    bool is_match;
    int32_t end;
};

// The next piece from level.position on; what is left of the text may be empty where matches are removed. `segment_at`:
// the segment that begins at a position before the level's end.
template <typename SegmentAt>
Piece cut_segments(const Level& level, uint32_t behavior, SegmentAt segment_at) {
    int32_t begin = level.position;
    Segment first = segment_at(begin);
    if (behavior == MCU_SPLIT_REMOVED) {
        while (first.is_match && first.end < level.end) {
            begin = first.end;
            first = segment_at(begin);
        }
        return {level.text, first.is_match ? first.end : begin, first.end};
    }
    for (int32_t end = first.end; end < level.end; end = first.end) {
        const Segment next = segment_at(end);
        const bool joins = behavior == MCU_SPLIT_WITH_PREVIOUS ? !first.is_match && next.is_match
                           : behavior == MCU_SPLIT_WITH_NEXT   ? first.is_match && !next.is_match
                                                               : next.is_match == first.is_match;
        if (behavior == MCU_SPLIT_ISOLATED || !joins) break;
        first.end = next.end;
        if (behavior != MCU_SPLIT_CONTIGUOUS) break;
    }
    return {level.text, begin, first.end};
}

}  // namespace mcu_tokenizing
