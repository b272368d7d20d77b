// The checkpoint's tokenizer on the device: text to token ids and back, without heap.
//
// The code is in runtime/tokenizer/, of which a firmware has the parts that its tokenizer.json asks for; the data is
// generated into model/tokenizer.cpp (mcu_sdk/model/tokenizer_json.py). Ids equal those of the `tokenizers` library for
// every text that is encoded at all; docs/tokenizers.md says which texts are refused.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

extern const bool mcu_tokenizer_present;

// Encodes `bytes` bytes of UTF-8 at `text` into `ids`, special tokens before and after the text included.
//
// Returns the number of ids; -1 if `capacity` ids are too few, or the room for changed text (docs/tokenizers.md);
// -2 if the text is not valid UTF-8 (overlong forms, surrogates and code points above U+10FFFF are not), or cannot be
// encoded, or there is no tokenizer. While BPE merges a word, every byte of it takes one place in `ids`. So bytes + the
// special tokens always suffice, or 2 * bytes + these for a tokenizer that puts spaces before pieces. `ids` may be
// written to beyond the returned count, and also when the result is negative.
int32_t mcu_tokenizer_encode(const char* text, int32_t bytes, int32_t* ids, int32_t capacity);

// The same for a text in the middle of others: nothing is put around it, and special tokens in it are text.
int32_t mcu_tokenizer_encode_plain(const char* text, int32_t bytes, int32_t* ids, int32_t capacity);

// UTF-8; a null pointer is no text, which is not the same as an empty one.
struct mcu_text {
    const char* utf8;
    int32_t bytes;
};

struct mcu_encoded {
    int32_t count;    // of ids; or -1 or -2 as above
    int32_t dropped;  // tokens that were cut off
};

// Encodes one text, or two (`pair.utf8` not null), for an encoder: as the post-processor of tokenizer.json puts them
// together, cut to `capacity` ids as the library does by "longest_first" on the right. ids: [capacity];
// type_ids: [capacity] or null: the token type of each. For projects whose model reads texts; others give -2.
struct mcu_encoded mcu_tokenizer_encode_texts(struct mcu_text text, struct mcu_text pair, int32_t* ids,
                                              int32_t* type_ids, int32_t capacity);

// Points `*bytes` at the raw bytes of token `id` and returns how many they are; they stay until the next call. A token
// may hold part of a UTF-8 sequence: print bytes as they come. Special tokens of BPE, and ids that are no token, have 0
// bytes.
int32_t mcu_tokenizer_decode(int32_t id, const uint8_t** bytes);

#ifdef __cplusplus
}
#endif
