// See vocabulary.h, and mcu_vocabulary_data in tables.h for how the tokens are written down.
#include "runtime/tokenizer/vocabulary.h"

#include <string.h>

#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr int32_t kBlock = 16;  // tokens
constexpr int32_t kMostBytes = 255;

uint8_t byte_of(const Query& query, int32_t position) {
    return position < query.prefix_bytes ? query.prefix[position] : query.text[position - query.prefix_bytes];
}

// How many bytes of the query, from `from` to `most`, are those of `bytes`.
int32_t same_bytes(const Query& query, int32_t from, int32_t most, const uint8_t* bytes, int32_t count) {
    int32_t same = 0;
    while (same < count && from + same < most && bytes[same] == byte_of(query, from + same)) ++same;
    return same;
}

struct Neighbour {
    int32_t place;   // of the last token that does not come behind the query in the order, or kNotFound
    int32_t shared;  // how many bytes it begins with that the query begins with, too
    int32_t bytes;   // how many it has
};

// `most`: how many bytes of the query count.
Neighbour find_neighbour(const mcu_vocabulary_data& v, const Query& query, int32_t most) {
    int32_t low = 0;
    int32_t high = (v.tokens + kBlock - 1) / kBlock;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const uint8_t* head = v.entries + at(v.blocks, middle);
        const int32_t same = same_bytes(query, 0, most, head + 2, head[1]);
        const bool behind = same < head[1] && (same == most || head[2 + same] > byte_of(query, same));
        if (behind) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == 0) return {kNotFound, 0, 0};
    const int32_t first = (low - 1) * kBlock;
    const int32_t stop = first + kBlock < v.tokens ? first + kBlock : v.tokens;
    const uint8_t* entry = v.entries + at(v.blocks, low - 1);
    Neighbour found = {first, same_bytes(query, 0, most, entry + 2, entry[1]), entry[1]};
    for (int32_t place = first + 1; place < stop; ++place) {
        entry += 2 + entry[1];
        const int32_t kept = entry[0];
        const int32_t more = entry[1];
        if (kept < found.shared) break;  // from byte `kept` on it is behind its predecessor, which is the query there
        if (kept == found.shared) {
            const int32_t same = same_bytes(query, kept, most, entry + 2, more);
            const int32_t next = kept + same;
            if (same < more && (next == most || entry[2 + same] > byte_of(query, next))) break;
            found.shared = next;
        }
        found.place = place;
        found.bytes = kept + more;
    }
    return found;
}

}  // namespace

// A token that the query begins with does not come behind it in the order, and everything between the two begins with
// that token. So the query's neighbour is it, or shares at least its bytes with the query.
Found find_longest(const mcu_vocabulary_data& tokens, const Query& query) {
    int32_t most = query.prefix_bytes + query.text_bytes;
    while (most > 0) {
        const Neighbour found = find_neighbour(tokens, query, most);
        if (found.place == kNotFound || found.shared == 0) break;
        if (found.shared == found.bytes) return {found.place, found.bytes};
        most = found.shared;
    }
    return {kNotFound, 0};
}

int32_t id_at(int32_t place) { return static_cast<int32_t>(at(vocabulary.ids, place)); }

int32_t token_at(int32_t place, const uint8_t** bytes) {
    static uint8_t token[kMostBytes];
    const mcu_vocabulary_data& v = vocabulary;
    const uint8_t* entry = v.entries + at(v.blocks, place / kBlock);
    for (int32_t i = place / kBlock * kBlock;; ++i, entry += 2 + entry[1]) {
        memcpy(token + entry[0], entry + 2, entry[1]);
        if (i == place) break;
    }
    *bytes = token;
    return entry[0] + entry[1];
}

// Looks through all ids: no model that prints tokens asks.
int32_t decode_vocabulary(int32_t id, const uint8_t** bytes) {
    int32_t place = 0;
    while (place < vocabulary.tokens && id_at(place) != id) ++place;
    return place == vocabulary.tokens ? 0 : token_at(place, bytes);
}

}  // namespace mcu_tokenizing
