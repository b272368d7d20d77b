// Unigram: of all ways to write a word as tokens, the one with the largest sum of scores (Viterbi).
//
// Sums are those of the `tokenizers` library, in double and in its order, so that ties and rounding are the same: IEEE
// 754 says what an addition gives, in hardware or not. Of two equal sums the one stays that was found first, which is
// the one whose last token begins further left.
#include "runtime/tokenizer/encode.h"
#include "runtime/tokenizer/unicode.h"
#include "runtime/tokenizer/vocabulary.h"

namespace mcu_tokenizing {

namespace {

// The best way to write the word up to a position.
struct Node {
    double score;
    int32_t start;  // where its last token begins; kNotFound: no way has been found
    int32_t place;  // of that token in the vocabulary; kNotFound: one unknown character
};

static_assert(sizeof(Node) == 16, "docs/tokenizers.md says how much room a word takes");

double score_at(int32_t place) { return unigram.narrow != nullptr ? unigram.narrow[place] : unigram.wide[place]; }

void offer(Node& node, double score, int32_t start, int32_t place) {
    if (node.start == kNotFound || score > node.score) node = {score, start, place};
}

// Every token that begins at `start`, the longest first, and the unknown character where none has its length.
void extend(Node* nodes, const uint8_t* text, int32_t bytes, int32_t start) {
    const double before = nodes[start].score;
    const int32_t character = decode_utf8(text + start, bytes - start).bytes;
    bool known = false;
    for (int32_t most = bytes - start; most > 0;) {
        const Found found = find_longest(vocabulary, {nullptr, 0, text + start, most});
        if (found.place == kNotFound) break;
        offer(nodes[start + found.bytes], score_at(found.place) + before, start, found.place);
        known = known || found.bytes == character;
        most = found.bytes - 1;
    }
    if (!known) offer(nodes[start + character], unigram.unknown_score + before, start, kNotFound);
}

// Turns the links to the start of each token of the best way into links to its end.
void turn_round(Node* nodes, int32_t bytes) {
    int32_t end = bytes;
    int32_t start = nodes[end].start;
    while (end > 0) {
        const int32_t before = nodes[start].start;
        nodes[start].start = end;
        end = start;
        start = before;
    }
}

bool is_unknown(const Node& node) { return node.place == kNotFound || id_at(node.place) == unigram.unknown_id; }

// Text that is no token on the best way: the token that it is all the same, or its bytes' tokens, or the unknown token.
int32_t append_unknown(Encoder& encoder, const uint8_t* text, int32_t bytes) {
    const Found found = find_longest(vocabulary, {nullptr, 0, text, bytes});
    if (found.bytes == bytes) return append(encoder, id_at(found.place));
    bool all = has(unigram.byte_ids);
    for (int32_t i = 0; all && i < bytes; ++i) all = at(unigram.byte_ids, text[i]) != MCU_NO_BYTE;
    if (!all) return append(encoder, unigram.unknown_id);
    for (int32_t i = 0; i < bytes; ++i) {
        const int32_t error = append(encoder, static_cast<int32_t>(at(unigram.byte_ids, text[i])));
        if (error != 0) return error;
    }
    return 0;
}

}  // namespace

int32_t encode_unigram(Encoder& encoder, const Piece& word) {
    const uint8_t* text = word.text + word.begin;
    const int32_t bytes = word.end - word.begin;
    const int32_t free = (encoder.used + 7) / 8 * 8;
    if (bytes >= (mcu_tokenizer.work_bytes - free) / static_cast<int32_t>(sizeof(Node))) return kTooLong;
    Node* nodes = reinterpret_cast<Node*>(mcu_tokenizer.work + free);
    for (int32_t i = 0; i <= bytes; ++i) nodes[i] = {0, kNotFound, kNotFound};
    for (int32_t i = 0; i < bytes; i += decode_utf8(text + i, bytes - i).bytes) extend(nodes, text, bytes, i);
    turn_round(nodes, bytes);
    for (int32_t start = 0; start < bytes;) {
        int32_t end = nodes[start].start;
        int32_t error = 0;
        if (!is_unknown(nodes[end])) {
            error = append(encoder, id_at(nodes[end].place));
        } else {
            while (end < bytes && is_unknown(nodes[nodes[end].start])) end = nodes[end].start;
            // A run of them is one.
            error = unigram.unknown_id < 0 ? kNotEncodable : append_unknown(encoder, text + start, end - start);
        }
        if (error != 0) return error;
        start = end;
    }
    return 0;
}

}  // namespace mcu_tokenizing
