// BPE: a word's symbols are merged in place, in the buffer of ids or in the room for changed text.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

constexpr uint32_t kNone = 0xFFFFFFFFu;

// The rank of the merge of two tokens; kNone: they do not merge.
uint32_t rank_of(int32_t left, int32_t right) {
    const mcu_bpe_data& t = bpe;
    const uint32_t l = static_cast<uint32_t>(left);
    const uint32_t r = static_cast<uint32_t>(right);
    int32_t low = 0;
    int32_t high = t.merges;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const int32_t rank = static_cast<int32_t>(at(t.order, middle));
        const uint32_t middle_left = at(t.left, rank);
        if (middle_left == l && at(t.right, rank) == r) return static_cast<uint32_t>(rank);
        if (middle_left < l || (middle_left == l && at(t.right, rank) < r)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return kNone;
}

int32_t result_of(uint32_t rank) {
    const int32_t merge = static_cast<int32_t>(rank);
    return has(bpe.result) ? static_cast<int32_t>(at(bpe.result, merge)) : bpe.first_result + merge;
}

// A word's symbols, and the rank of each with the one behind it where there was room for that; else ranks are searched
// for again.
class Symbols {
  public:
    Symbols(int32_t* ids, int32_t count, int32_t capacity)
        : ids_(ids), ranks_(capacity - count >= count ? ids + count : nullptr), count_(count) {
        for (int32_t i = 0; ranks_ != nullptr && i + 1 < count; ++i) ranks_[i] = static_cast<int32_t>(search(i));
    }

    int32_t count() const { return count_; }

    // kNone for the last one.
    uint32_t rank(int32_t i) const {
        if (i + 1 >= count_) return kNone;
        return ranks_ != nullptr ? static_cast<uint32_t>(ranks_[i]) : search(i);
    }

    // Merges the pair of this rank wherever it is, from the left on. Ends early where that makes a pair of a lower
    // rank.
    void merge(uint32_t rank) {
        int32_t written = 0;
        bool stopped = false;
        const int32_t result = result_of(rank);
        const int32_t before = count_;
        for (int32_t i = 0; i < before; ++written) {
            if (stopped || i + 1 == before || !is_pair(i, rank)) {
                move(i++, written);
                continue;
            }
            ids_[written] = result;
            i += 2;
            const uint32_t left = written > 0 ? rank_of(ids_[written - 1], result) : kNone;
            const uint32_t right = i < before ? rank_of(result, ids_[i]) : kNone;
            if (ranks_ != nullptr) {
                if (written > 0) ranks_[written - 1] = static_cast<int32_t>(left);
                ranks_[written] = static_cast<int32_t>(right);
            }
            stopped = left < rank || right < rank;
        }
        count_ = written;
    }

  private:
    uint32_t search(int32_t i) const { return rank_of(ids_[i], ids_[i + 1]); }

    bool is_pair(int32_t i, uint32_t rank) const {
        const int32_t merge = static_cast<int32_t>(rank);
        return static_cast<uint32_t>(ids_[i]) == at(bpe.left, merge) &&
               static_cast<uint32_t>(ids_[i + 1]) == at(bpe.right, merge);
    }

    void move(int32_t from, int32_t to) {
        ids_[to] = ids_[from];
        if (ranks_ != nullptr) ranks_[to] = ranks_[from];
    }

    int32_t* ids_;
    int32_t* ranks_;  // the bits of a uint32_t; or nullptr
    int32_t count_;
};

// Merges ids[0..count) until no merge fits, in place; returns the new count. `capacity`: of ids.
//
// BPE applies the merge of the lowest rank, leftmost first, one at a time. All places of one pair can be done
// in one pass, unless a merge makes a pair of a still lower rank: then the pass ends early. So the number of
// passes is about the number of different merges in the word, which keeps even a whole text in one word usable.
int32_t merge_word(int32_t* ids, int32_t count, int32_t capacity) {
    Symbols symbols(ids, count, capacity);
    for (;;) {
        uint32_t best = kNone;
        for (int32_t i = 0; i + 1 < symbols.count(); ++i) {
            const uint32_t rank = symbols.rank(i);
            if (rank < best) best = rank;
        }
        if (best == kNone) return symbols.count();
        symbols.merge(best);
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
        const int32_t token_length = decode_token(id, &token);
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

}  // namespace

int32_t encode_bpe(Encoder& encoder, const Piece& word) {
    const int32_t whole = find_whole_word(encoder, word);
    if (whole != kNotFound) return append(encoder, whole);
    const int32_t work = (encoder.used + 3) / 4 * 4;
    if (mcu_tokenizer.work_bytes == 0) {
        int32_t* ids = encoder.ids + encoder.count;
        const int32_t capacity = encoder.capacity - encoder.count;
        const int32_t count = word_symbols(encoder, word, ids, capacity);
        if (count < 0) return count;
        encoder.count += merge_word(ids, count, capacity);
        return 0;
    }
    // A text that is one word has many more symbols than tokens, and where ids are cut off there may be no room for
    // what a word begins with.
    int32_t* ids = reinterpret_cast<int32_t*>(mcu_tokenizer.work + work);
    const int32_t capacity = (mcu_tokenizer.work_bytes - work) / static_cast<int32_t>(sizeof(int32_t));
    int32_t count = word_symbols(encoder, word, ids, capacity);
    if (count < 0) return count;
    count = merge_word(ids, count, capacity);
    for (int32_t i = 0; i < count; ++i) {
        const int32_t error = append(encoder, ids[i]);
        if (error != 0) return error;
    }
    return 0;
}

}  // namespace mcu_tokenizing
