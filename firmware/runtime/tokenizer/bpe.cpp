// Byte-level BPE: a word's bytes are merged in place, in the buffer of ids or in the room for changed text.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr uint32_t kNone = 0xFFFFFFFFu;

uint8_t byte_at(const Encoder& encoder, const Piece& word, int32_t position) {
    return encoder.space && position < encoder.base ? uint8_t{' '} : word.text[position];
}

struct Merge {
    uint32_t rank;  // kNone: the two do not merge
    int32_t result;
};

Merge find_merge(int32_t left, int32_t right) {
    const mcu_bpe_data& t = bpe;
    const uint32_t l = static_cast<uint32_t>(left);
    const uint32_t r = static_cast<uint32_t>(right);
    int32_t low = 0;
    int32_t high = t.merges;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const uint32_t middle_left = at(t.left, middle);
        if (middle_left < l || (middle_left == l && at(t.right, middle) < r)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == t.merges || at(t.left, low) != l || at(t.right, low) != r) return {kNone, 0};
    const uint32_t result = at(t.result, low);
    return {has(t.rank) ? at(t.rank, low) : result, static_cast<int32_t>(result)};
}

// Applies merges to ids[0..count) until none fits, in place; returns the new count.
//
// BPE applies the merge of the lowest rank, leftmost first, one at a time. All places of one pair can be done
// in one pass, unless a merge makes a pair of a still lower rank: then the pass ends early. So the number of
// passes is about the number of different merges in the word, which keeps even a whole text in one word usable.
int32_t merge_word(int32_t* ids, int32_t count) {
    for (;;) {
        Merge best = {kNone, 0};
        int32_t left = 0;
        int32_t right = 0;
        for (int32_t i = 0; i + 1 < count; ++i) {
            const Merge merge = find_merge(ids[i], ids[i + 1]);
            if (merge.rank < best.rank) {
                best = merge;
                left = ids[i];
                right = ids[i + 1];
            }
        }
        if (best.rank == kNone) return count;
        int32_t written = 0;
        bool stopped = false;
        for (int32_t i = 0; i < count; ++written) {
            if (stopped || i + 1 == count || ids[i] != left || ids[i + 1] != right) {
                ids[written] = ids[i++];
                continue;
            }
            ids[written] = best.result;
            i += 2;
            stopped = (written > 0 && find_merge(ids[written - 1], best.result).rank < best.rank) ||
                      (i < count && find_merge(best.result, ids[i]).rank < best.rank);
        }
        count = written;
    }
}

// The token that consists of exactly the word's bytes, among those that merging alone would not produce.
int32_t find_whole_word(const Encoder& encoder, const Piece& word) {
    const mcu_bpe_data& t = bpe;
    const int32_t length = word.end - word.begin;
    int32_t low = 0;
    int32_t high = t.whole_words;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const int32_t id = static_cast<int32_t>(at(t.whole_word_ids, middle));
        const uint8_t* token = nullptr;
        const int32_t token_length = decode_bpe(id, &token);
        int32_t i = 0;
        while (i < length && i < token_length && token[i] == byte_at(encoder, word, word.begin + i)) ++i;
        if (i == length && i == token_length) return id;
        if (i == token_length || (i < length && token[i] < byte_at(encoder, word, word.begin + i))) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return kNotFound;
}

// The tokens of the word's bytes into ids[0..capacity); their number, or what is wrong.
int32_t byte_tokens(const Encoder& encoder, const Piece& word, int32_t* ids, int32_t capacity) {
    int32_t count = 0;
    bool unknown = false;
    for (int32_t i = word.begin; i < word.end; ++i) {
        const int32_t id = bpe.byte_ids[byte_at(encoder, word, i)];
        if (id < 0) return kNotEncodable;
        const bool fused = unknown && bpe.fuse_unknown && id == bpe.unknown_id;
        unknown = id == bpe.unknown_id;
        if (fused) continue;
        if (count >= capacity) return kTooLong;
        ids[count++] = id;
    }
    return count;
}

}  // namespace

int32_t encode_bpe(Encoder& encoder, const Piece& word) {
    const int32_t whole = find_whole_word(encoder, word);
    if (whole != kNotFound) return append(encoder, whole);
    if (!encoder.cuts) {
        int32_t* ids = encoder.ids + encoder.count;
        const int32_t count = byte_tokens(encoder, word, ids, encoder.capacity - encoder.count);
        if (count < 0) return count;
        encoder.count += merge_word(ids, count);
        return 0;
    }
    // Where ids are cut off, there may be no room for what a word begins with.
    int32_t* ids = reinterpret_cast<int32_t*>(mcu_tokenizer.work);
    int32_t count = byte_tokens(encoder, word, ids, mcu_tokenizer.work_bytes / static_cast<int32_t>(sizeof(int32_t)));
    if (count < 0) return count;
    count = merge_word(ids, count);
    for (int32_t i = 0; i < count; ++i) {
        const int32_t error = append(encoder, ids[i]);
        if (error != 0) return error;
    }
    return 0;
}

int32_t decode_bpe(int32_t id, const uint8_t** bytes) {
    if (id < 0 || id >= bpe.vocabulary) return 0;
    const uint32_t begin = at(bpe.offsets, id);
    *bytes = bpe.bytes + begin;
    return static_cast<int32_t>(at(bpe.offsets, id + 1) - begin);
}

}  // namespace mcu_tokenizing
