// The data of a tokenizer, generated into model/tokenizer.cpp from the checkpoint's tokenizer.json
// (mcu_sdk/model/device_tokenizer.py). Each part is there only where the tokenizer has it.
#pragma once

#include <stdint.h>

// A column of unsigned numbers: 16 bits wide where all of them fit. At most one pointer is set.
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
    MCU_SPLIT_PATTERN = 1,  // where a pattern matches; argument: its index * 16 + 8 * inverted + an mcu_split_behavior
    MCU_SPLIT_SET = 2,      // at characters of a set; argument: its index * 8 + an mcu_split_behavior
    MCU_SPLIT_METASPACE = 3,  // writes the replacement for each space; argument: an mcu_prepend_scheme
};

#define MCU_SPLIT_STAGES 8  // the most stages that a tokenizer has

struct mcu_split_stage {
    uint8_t kind;  // an mcu_split_kind
    uint8_t argument;
};

// What becomes of a character of the set, or of a match.
enum mcu_split_behavior {
    MCU_SPLIT_REMOVED = 0,
    MCU_SPLIT_ISOLATED = 1,
    MCU_SPLIT_WITH_PREVIOUS = 2,  // the end of the piece before it; a piece of its own behind another of the set
    MCU_SPLIT_WITH_NEXT = 3,      // the begin of the piece behind it; a piece of its own before another of the set
    MCU_SPLIT_CONTIGUOUS = 4,     // runs of them are pieces
};

enum mcu_prepend_scheme {
    MCU_PREPEND_NEVER = 0,
    MCU_PREPEND_FIRST = 1,  // only where the text begins
    MCU_PREPEND_ALWAYS = 2,
};

enum mcu_added_flag {
    MCU_ADDED_NORMALIZED = 1,    // looked for in a second pass, in what the first pass left over
    MCU_ADDED_LSTRIP = 2,        // swallows the whitespace on its left
    MCU_ADDED_RSTRIP = 4,        // swallows the whitespace on its right
    MCU_ADDED_SPECIAL = 8,       // is not printed
    MCU_ADDED_SINGLE_WORD = 16,  // not where a character of a word is beside it
};

// What stands around one text or two.
struct mcu_template_item {
    int32_t id;    // a special token; MCU_TEMPLATE_A or _B: the tokens of the first or second text
    int32_t type;  // the token type id of these
};

enum mcu_template_text { MCU_TEMPLATE_A = -1, MCU_TEMPLATE_B = -2 };

// What every tokenizer has.
struct mcu_tokenizer_data {
    // Tokens that are recognised in the text before anything else: content, id, mcu_added_flag bits.
    int32_t added;
    const uint8_t* added_bytes;
    const uint32_t* added_offsets;  // added + 1
    const int32_t* added_ids;
    const uint8_t* added_flags;
    const uint32_t* added_first;  // a bit for each byte that one of them begins with: 8

    const int32_t* prefix_ids;  // put before every text (BOS)
    int32_t prefix_count;
    const int32_t* suffix_ids;  // put after every text
    int32_t suffix_count;

    const mcu_split_stage* stages;
    int32_t stage_count;
    const mcu_code_points* sets;  // of MCU_SPLIT_SET
    mcu_code_points spaces;       // \s beyond ASCII, where an added token asks for it
    mcu_code_points words;        // characters of words, where an added token asks for it
    const uint8_t* replacement;   // of MCU_SPLIT_METASPACE
    int32_t replacement_bytes;

    // For encoders: what mcu_tokenizer_encode_texts() puts together. Without them it takes prefix and suffix ids.
    const mcu_template_item* single;
    int32_t single_count;
    const mcu_template_item* pair;
    int32_t pair_count;
    int32_t pad_id;  // -1: the tokenizer has none

    uint8_t* work;  // room for changed text; aligned to 8 bytes
    int32_t work_bytes;
};

#define MCU_PATTERN_MATCHED 0x8000  // of an entry: what has been read before this character is a match

// A regular expression: table[(state - 1) * (classes + 1) + class of the next character, or `classes` at the end] is
// the next state, with MCU_PATTERN_MATCHED or not. State 1 is the first; in state 0 no match comes any more.
//
// Classes of code points: `ascii`, and for the others runs, each (length - 1) << bits | class, of seven bits a byte,
// the first the lowest, all but the last with bit 7. Blocks of 32 runs begin with the code points `starts` at `places`.
// A pattern without blocks reads bytes, of which `ascii` has all 256.
struct mcu_pattern_data {
    uint32_t classes;
    uint32_t bits;
    const uint8_t* ascii;  // 128, or 256
    const uint8_t* runs;
    const uint32_t* starts;
    mcu_column places;
    int32_t blocks;
    const uint16_t* table;
    const uint16_t* aheads;
    uint32_t ahead_count;
};

struct mcu_bpe_data {
    // The token of each byte of byte-level BPE; the unknown token, or -1: text with it is refused. Of BPE by
    // characters, what a character without a token becomes; -1 or nullptr where there is no such token.
    const int32_t* byte_ids;  // 256
    int32_t unknown_id;       // or -1
    bool fuse_unknown;        // a run of unknown bytes or characters is one unknown token

    // Merges by their rank; that of the lowest goes first. left[rank] and right[rank] side by side become result[rank],
    // or first_result + rank where there is no such column. `order`: the ranks, sorted by (left, right).
    int32_t merges;
    mcu_column left, right, order, result;
    int32_t first_result;

    // For `ignore_merges`: the tokens that merging alone would not produce, sorted by their bytes.
    int32_t whole_words;
    mcu_column whole_word_ids;
};

#define MCU_CHARACTER_INSIDE (1u << 22)  // not the first of its word
#define MCU_CHARACTER_LAST (1u << 23)    // the last of its word

// For BPE by characters: their tokens, sorted by code point and marks. `marks`: those by which tokens differ.
struct mcu_characters_data {
    int32_t count;
    mcu_column codes, ids;
    uint32_t marks;
};

// Decoding: the bytes of token i are bytes[offsets[i]] up to bytes[offsets[i + 1]]; none for special tokens.
struct mcu_listed_data {
    int32_t count;
    const uint8_t* bytes;
    mcu_column offsets;  // count + 1
};

#define MCU_MERGED_DEPTH 24  // the most parts that wait while a token is written from its merges

// Decoding by merges: made_by[id] is the merge that makes a token, or mcu_bpe_data's `merges`: none does. Without that
// column merge i makes token first_result + i. Bytes of the others as above, by place in other_ids; none where it is
// not there.
struct mcu_merged_data {
    int32_t count;  // of ids
    mcu_column made_by;
    int32_t others;
    mcu_column other_ids;
    const uint8_t* other_bytes;
    mcu_column other_offsets;  // others + 1
    uint8_t* token;            // room for the longest
};

// The tokens of WordPiece and Unigram, sorted by their bytes. Sixteen are a block; a token is the number of bytes that
// it shares with the one before it in the block (0 for the first), the number of bytes that follow, and these.
struct mcu_vocabulary_data {
    int32_t tokens;
    const uint8_t* entries;
    mcu_column blocks;  // where each block begins
    mcu_column ids;     // by place in the order
};

struct mcu_wordpiece_data {
    int32_t unknown_id;       // or -1: text that needs it is refused
    int32_t most_characters;  // a longer word is the unknown token
    const uint8_t* prefix;    // of a token that goes on within a word
    int32_t prefix_bytes;
};

#define MCU_NO_BYTE 0xFFFFu

struct mcu_unigram_data {
    const float* narrow;  // the scores by place in the vocabulary, where all of them are floats
    const double* wide;   // where they are not
    double unknown_score;
    int32_t unknown_id;   // or -1: text that needs it is refused
    mcu_column byte_ids;  // the token of each byte, or MCU_NO_BYTE; empty without byte fallback
};

// How Unigram's tokens are printed: places[id] is where the vocabulary has a token, or how many it has; a space for
// each mark; whether its byte tokens are bytes.
struct mcu_printing_data {
    int32_t count;  // of ids
    mcu_column places;
    const uint8_t* mark;
    int32_t mark_bytes;
    bool has_bytes;
};

// What a code point becomes, by runs: entries (first << 11 | count - 1) in rising order, and for each how
// (mcu_code_change).
struct mcu_code_map {
    const uint32_t* entries;
    const uint32_t* changes;
    int32_t count;
    const uint8_t* strings;
};

// Pairs of characters and what they become under NFC, by the first and then the second; without Hangul.
struct mcu_composition_data {
    int32_t count;
    mcu_column first, second, result;
};

// What a code point is to the ends of graphemes; entries (first << 11 | count - 1 << 3 | class) of at most 256 code
// points.
enum mcu_grapheme_class {
    MCU_GRAPHEME_OTHER = 0,
    MCU_GRAPHEME_EXTEND = 1,
    MCU_GRAPHEME_ZWJ = 2,
    MCU_GRAPHEME_SPACING = 3,
    MCU_GRAPHEME_CONTROL = 4,
    MCU_GRAPHEME_PREPEND = 5,
    MCU_GRAPHEME_PICTURE = 6,  // Extended_Pictographic
};

// SentencePiece's charsmap. `single`: what it makes of a code point; `keys`: texts of several code points, none of
// which begins with another one, and whose ids are offset * 64 + bytes in `texts`.
struct mcu_charsmap_data {
    mcu_code_map single;
    mcu_vocabulary_data keys;
    const uint8_t* texts;
    mcu_code_points graphemes;
};

// The low three bits of a change; the rest is its argument.
enum mcu_code_change {
    MCU_CODE_STRING = 0,      // strings[argument >> 6], (argument & 63) bytes, for each of the run
    MCU_CODE_DELTA = 1,       // the code point + argument (signed)
    MCU_CODE_DELTA_EVEN = 2,  // the same for every second of the run, from the first on; the others stay
    MCU_CODE_SPACED = 3,      // a space, the code point + argument (signed), a space
    MCU_CODE_HANGUL = 4,      // a Hangul syllable's two or three jamo
};

extern const mcu_tokenizer_data mcu_tokenizer;  // generated: model/tokenizer.cpp
