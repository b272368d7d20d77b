// Byte-level BPE on the device: text to token ids and back, without heap.
//
// The code is here and in tokenizer.cpp; the data is `mcu_tokenizer`, generated into model/tokenizer.cpp
// from the checkpoint's tokenizer.json (mcu_sdk/model/tokenizer_json.py). Ids equal those of the `tokenizers`
// library for every text that is encoded at all; docs/tokenizers.md says which texts are refused.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A column of unsigned numbers: 16 bits wide where all of them fit. Exactly one pointer is set.
struct mcu_column {
    const uint16_t* narrow;
    const uint32_t* wide;
};

// A set of code points: entries (first << 11 | count - 1) in rising order, at most 2048 code points each.
struct mcu_code_points {
    const uint32_t* entries;
    int32_t count;
};

// What cuts a piece of text into smaller pieces. Stages run one after the other, each on the pieces of the last.
enum mcu_split_kind {
    MCU_SPLIT_PREFIX_SPACE = 0,  // puts a space before the piece unless it begins with one
    MCU_SPLIT_GPT2 = 1,          // the regular expression of GPT-2
    MCU_SPLIT_CL100K = 2,        // that of cl100k, Llama 3, Qwen 2; argument: most digits in a piece
    MCU_SPLIT_DIGITS = 3,        // the Digits pre-tokenizer; argument: 1 for one piece per digit
};

#define MCU_SPLIT_STAGES 8  // the most stages that a tokenizer has

struct mcu_split_stage {
    uint8_t kind;  // an mcu_split_kind
    uint8_t argument;
};

enum mcu_added_flag {
    MCU_ADDED_NORMALIZED = 1,  // looked for in a second pass, in what the first pass left over
    MCU_ADDED_LSTRIP = 2,      // swallows the whitespace on its left
    MCU_ADDED_RSTRIP = 4,      // swallows the whitespace on its right
};

struct mcu_tokenizer_data {
    // Decoding: the bytes of token i are bytes[offsets[i]] up to bytes[offsets[i + 1]]; none for special tokens.
    int32_t vocabulary;
    const uint8_t* bytes;
    struct mcu_column offsets;  // vocabulary + 1

    // BPE. byte_ids[b] is the token of the single byte b, the unknown token, or -1: text with it is refused.
    const int32_t* byte_ids;  // 256
    int32_t unknown_id;       // or -1
    bool fuse_unknown;        // a run of unknown bytes is one unknown token

    // Merges, sorted by (left, right). The one with the lowest rank goes first. Where ranks and results rise
    // together, which is how trainers number tokens, there is no rank column and the result stands for it.
    int32_t merges;
    struct mcu_column left, right, result, rank;

    // For `ignore_merges`: the tokens that merging alone would not produce, sorted by their bytes.
    int32_t whole_words;
    struct mcu_column whole_word_ids;

    // Tokens that are recognised in the text before anything else: content, id, mcu_added_flag bits.
    int32_t added;
    const uint8_t* added_bytes;
    const uint32_t* added_offsets;  // added + 1
    const int32_t* added_ids;
    const uint8_t* added_flags;

    const int32_t* prefix_ids;  // put before every text (BOS)
    int32_t prefix_count;
    const int32_t* suffix_ids;  // put after every text
    int32_t suffix_count;

    const struct mcu_split_stage* stages;
    int32_t stage_count;

    // Unicode beyond ASCII, as the regex engine of the `tokenizers` library knows it; empty where not needed.
    struct mcu_code_points letters;  // \p{L}
    struct mcu_code_points numbers;  // \p{N}
    struct mcu_code_points spaces;   // \s
    struct mcu_code_points digits;   // of the Digits pre-tokenizer, ASCII included

    // For a tokenizer that normalizes to NFC. Text with a code point of `nfc_unsafe` (NFC_Quick_Check is not
    // Yes), or with combining marks out of order, is refused. combining: (first << 11 | count - 1 << 8 | class),
    // rising, 1 to 8 code points each; classes are numbered densely in canonical order.
    bool requires_nfc;
    struct mcu_code_points nfc_unsafe;
    struct mcu_code_points combining;
};

extern const bool mcu_tokenizer_present;
extern const struct mcu_tokenizer_data mcu_tokenizer;

// Encodes `bytes` bytes of UTF-8 at `text` into `ids`, special tokens before and after the text included.
//
// Returns the number of ids; -1 if `capacity` ids are too few; -2 if the text is not valid UTF-8 (overlong
// forms, surrogates and code points above U+10FFFF are not), or cannot be encoded, or there is no tokenizer.
// While a word is merged, every byte of it takes one place in `ids`. So bytes + the special tokens always suffice,
// or 2 * bytes + these for a tokenizer that puts spaces before pieces (MCU_SPLIT_PREFIX_SPACE). `ids` may be
// written to beyond the returned count, and also when the result is negative.
int32_t mcu_tokenizer_encode(const char* text, int32_t bytes, int32_t* ids, int32_t capacity);

// Points `*bytes` at the raw bytes of token `id` and returns how many they are. A token may hold part of a
// UTF-8 sequence: print bytes as they come. Special tokens, and ids that are no token, have 0 bytes.
int32_t mcu_tokenizer_decode(int32_t id, const uint8_t** bytes);

#ifdef __cplusplus
}
#endif
