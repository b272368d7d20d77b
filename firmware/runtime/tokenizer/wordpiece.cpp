// WordPiece: the longest token that a word begins with, then that of the rest, and so on; the unknown token for a word
// for which there is none, or that is too long.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/vocabulary.h"

namespace mcu_tokenizing {

namespace {

int32_t count_characters(const uint8_t* text, int32_t bytes) {
    int32_t count = 0;
    for (int32_t i = 0; i < bytes; ++i) count += (text[i] & 0xC0u) != 0x80u ? 1 : 0;
    return count;
}

// The token that begins at byte `begin` of the word. It has to be longer than the prefix alone.
Found token_at(const uint8_t* text, int32_t bytes, int32_t begin) {
    const int32_t prefix = begin > 0 ? wordpiece.prefix_bytes : 0;
    const Found found = find_longest(vocabulary, {wordpiece.prefix, prefix, text + begin, bytes - begin});
    return found.bytes > prefix ? Found{found.place, found.bytes - prefix} : Found{kNotFound, 0};
}

}  // namespace

int32_t encode_wordpiece(Encoder& encoder, const Piece& word) {
    const uint8_t* text = word.text + word.begin;
    const int32_t bytes = word.end - word.begin;
    const int32_t before = encoder.count;
    const bool cuts = encoder.cuts;
    encoder.cuts = true;  // tokens that turn out to be the unknown one need no room
    bool known = count_characters(text, bytes) <= wordpiece.most_characters;
    for (int32_t begin = 0; known && begin < bytes;) {
        const Found found = token_at(text, bytes, begin);
        known = found.place != kNotFound;
        if (known) append(encoder, id_at(found.place));
        begin += found.bytes;
    }
    encoder.cuts = cuts;
    if (known) return !cuts && encoder.count > encoder.capacity ? kTooLong : 0;
    encoder.count = before;
    return wordpiece.unknown_id < 0 ? kNotEncodable : append(encoder, wordpiece.unknown_id);
}

}  // namespace mcu_tokenizing
