// Tokens of BPE whose bytes follow from their merges: those of the two that they are made of, and so on.
#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

// The merge that makes a token, or kNotFound.
int32_t merge_of(int32_t id) {
    if (has(merged.made_by)) {
        const uint32_t merge = at(merged.made_by, id);
        return merge == static_cast<uint32_t>(bpe.merges) ? kNotFound : static_cast<int32_t>(merge);
    }
    const int32_t merge = id - bpe.first_result;
    return merge >= 0 && merge < bpe.merges ? merge : kNotFound;
}

// The bytes of a token that no merge makes, of which there may be none.
int32_t other_bytes(int32_t id, const uint8_t** bytes) {
    int32_t low = 0;
    int32_t high = merged.others;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const int32_t found = static_cast<int32_t>(at(merged.other_ids, middle));
        if (found == id) {
            const uint32_t begin = at(merged.other_offsets, middle);
            *bytes = merged.other_bytes + begin;
            return static_cast<int32_t>(at(merged.other_offsets, middle + 1) - begin);
        }
        if (found < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

}  // namespace

int32_t decode_merged(int32_t id, const uint8_t** bytes) {
    if (id < 0 || id >= merged.count) return 0;
    if (merge_of(id) == kNotFound) return other_bytes(id, bytes);
    int32_t waiting[MCU_MERGED_DEPTH];  // what comes behind
    int32_t depth = 0;
    int32_t count = 0;
    for (int32_t next = id;;) {
        const int32_t merge = merge_of(next);
        if (merge != kNotFound) {
            waiting[depth++] = static_cast<int32_t>(at(bpe.right, merge));
            next = static_cast<int32_t>(at(bpe.left, merge));
            continue;
        }
        const uint8_t* part = nullptr;
        const int32_t part_bytes = other_bytes(next, &part);
        if (part_bytes > 0) memcpy(merged.token + count, part, static_cast<size_t>(part_bytes));
        count += part_bytes;
        if (depth == 0) break;
        next = waiting[--depth];
    }
    *bytes = merged.token;
    return count;
}

}  // namespace mcu_tokenizing
