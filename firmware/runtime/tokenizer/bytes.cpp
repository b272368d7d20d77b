// Byte-level BPE begins with the tokens of a word's bytes.
#include "runtime/tokenizer/encode.h"

namespace mcu_tokenizing {

int32_t symbols_of_bytes(const Encoder& encoder, const Piece& word, int32_t* ids, int32_t capacity) {
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

}  // namespace mcu_tokenizing
