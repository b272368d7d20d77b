// BPE as SentencePiece has it begins with the tokens of a word's characters; one without a token becomes the tokens of
// its bytes, or the unknown token.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"

namespace mcu_tokenizing {

namespace {

// The token of a character, or kNotFound.
int32_t find_character(uint32_t code) {
    const mcu_characters_data& t = characters;
    int32_t low = 0;
    int32_t high = t.count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const uint32_t found = at(t.codes, middle);
        if (found == code) return static_cast<int32_t>(at(t.ids, middle));
        if (found < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return kNotFound;
}

bool have_tokens(const uint8_t* text, int32_t bytes) {
    if (bpe.byte_ids == nullptr) return false;
    for (int32_t i = 0; i < bytes; ++i) {
        if (bpe.byte_ids[text[i]] < 0) return false;
    }
    return true;
}

// Collects ids; those beyond the capacity are counted only.
struct Ids {
    int32_t* ids;
    int32_t capacity;
    int32_t count;

    void add(int32_t id) {
        if (count < capacity) ids[count] = id;
        ++count;
    }
};

}  // namespace

// The library writes an unknown token only when the next known character comes: behind the bytes of those between.
int32_t symbols_of_characters(const Encoder& /*encoder*/, const Piece& word, int32_t* ids, int32_t capacity) {
    Ids out = {ids, capacity, 0};
    bool unknown = false;  // one is still to be written
    for (int32_t i = word.begin; i < word.end;) {
        const uint8_t* text = word.text + i;
        const Decoded c = decode_utf8(text, word.end - i);
        i += c.bytes;
        uint32_t marks = i > word.begin + c.bytes ? MCU_CHARACTER_INSIDE : 0u;
        if (i == word.end) marks |= MCU_CHARACTER_LAST;
        const int32_t id = find_character(c.code | (marks & characters.marks));
        if (id != kNotFound) {
            if (unknown) out.add(bpe.unknown_id);
            unknown = false;
            out.add(id);
        } else if (have_tokens(text, c.bytes)) {
            for (int32_t k = 0; k < c.bytes; ++k) out.add(bpe.byte_ids[text[k]]);
        } else if (bpe.unknown_id < 0) {
            return kNotEncodable;
        } else {
            if (unknown && !bpe.fuse_unknown) out.add(bpe.unknown_id);
            unknown = true;
        }
    }
    if (unknown) out.add(bpe.unknown_id);
    return out.count > capacity ? kTooLong : out.count;
}

}  // namespace mcu_tokenizing
