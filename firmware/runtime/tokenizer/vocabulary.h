// Looking tokens up by their bytes, for WordPiece and Unigram.
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/tables.h"

namespace mcu_tokenizing {

// What is looked for: `prefix_bytes` bytes of `prefix`, then `text_bytes` bytes of `text`.
struct Query {
    const uint8_t* prefix;
    int32_t prefix_bytes;
    const uint8_t* text;
    int32_t text_bytes;
};

struct Found {
    int32_t place;  // in the order of the vocabulary; kNotFound: no token
    int32_t bytes;  // how many of the query's it takes
};

// The longest token that the query begins with.
Found find_longest(const mcu_vocabulary_data& tokens, const Query& query);

// The id of the token at a place.
int32_t id_at(int32_t place);

// The bytes of the token at a place, which stay until the next call; their number.
int32_t token_at(int32_t place, const uint8_t** bytes);

}  // namespace mcu_tokenizing
