// What the parts of a tokenizer share. A generated model/tokenizer.cpp chooses them: it defines open_text, next_piece,
// encode_word and decode_token by the ones that its tokenizer.json has, so that only these are compiled.
//
// Everything is in the namespace mcu_tokenizing, which a library renames by its model's name.
#pragma once

#include <stdint.h>

#include "runtime/tokenizer/tables.h"

namespace mcu_tokenizing {

constexpr int32_t kTooLong = -1;
constexpr int32_t kNotEncodable = -2;
constexpr int32_t kNotFound = -1;

// Of generated data, what the chosen parts read.
extern const mcu_pattern_data patterns[];
extern const mcu_bpe_data bpe;
extern const mcu_characters_data characters;
extern const mcu_listed_data listed;
extern const mcu_merged_data merged;
extern const mcu_vocabulary_data vocabulary;
extern const mcu_wordpiece_data wordpiece;
extern const mcu_unigram_data unigram;
extern const mcu_printing_data printing;

// Bytes [begin, end) of `text`. Where begin is -1, byte -1 is a space that the text itself does not have.
struct Piece {
    const uint8_t* text;
    int32_t begin;
    int32_t end;
};

struct Encoder {
    const uint8_t* text;  // of the level that is being cut; valid UTF-8
    int32_t* ids;         // [capacity]
    int32_t capacity;
    int32_t count;         // of ids; with `cuts` also of those that are beyond the capacity
    bool cuts;             // ids beyond the capacity are counted instead of refused
    int32_t used;          // bytes of mcu_tokenizer.work that hold the texts of the open levels
    const uint8_t* first;  // the piece that begins where the whole text does, or nullptr
    int32_t base;          // of the text that the piece's offsets count from: offset -1 of it may be the added space
    bool space;            // offset base - 1 is a space
    bool plain = false;    // special tokens in the text are text
};

// A byte of a piece, where there may be a space that its text does not have.
inline uint8_t byte_at(const Encoder& encoder, const Piece& word, int32_t position) {
    return encoder.space && position < encoder.base ? uint8_t{' '} : word.text[position];
}

// One way of cutting text: pass 0 takes added tokens out of the raw text, pass 1 out of the normalized text, then come
// the split stages; what is left are words.
struct Level {
    const uint8_t* text;
    int32_t begin;
    int32_t position;  // where the next piece begins
    int32_t end;
    int32_t token;   // the id of an added token that goes before that piece, or kNotFound
    int32_t used;    // Encoder::used for this level
    int32_t search;  // where the next added token is looked for; the end where none is
};

// The tokens of `bytes` bytes of valid UTF-8, without what stands around them. Returns 0, kTooLong or kNotEncodable.
int32_t encode_text(Encoder& encoder, const uint8_t* text, int32_t bytes);

// Adds an id: 0, or kTooLong.
int32_t append(Encoder& encoder, int32_t id);

// ---- chosen by the generated code

// Normalizes a piece of the raw text, at whose begin the whole text begins or not. Returns 0 or what is wrong.
int32_t open_text(Encoder& encoder, Piece* piece);

// The next piece of a split stage, which moves level.position behind it. Returns 0 or what is wrong.
int32_t next_piece(Encoder& encoder, Level& level, const mcu_split_stage& stage, Piece* piece);

// Adds the tokens of a word, which is not empty. Returns 0 or what is wrong.
int32_t encode_word(Encoder& encoder, const Piece& word);

// The tokens that BPE begins a word with, into ids[0..capacity); their number, or what is wrong.
int32_t word_symbols(const Encoder& encoder, const Piece& word, int32_t* ids, int32_t capacity);

// The bytes of a token, as mcu_tokenizer_decode() gives them.
int32_t decode_token(int32_t id, const uint8_t** bytes);

// ---- the parts

int32_t open_plain(Encoder& encoder, Piece* piece);       // plain.cpp: text as it is
int32_t open_normalized(Encoder& encoder, Piece* piece);  // normalize.cpp

int32_t next_pattern(Encoder& encoder, Level& level, const mcu_split_stage& stage, Piece* piece);  // patterns.cpp
int32_t next_of_sets(Encoder& encoder, Level& level, const mcu_split_stage& stage, Piece* piece);  // sets.cpp

int32_t encode_bpe(Encoder& encoder, const Piece& word);        // bpe.cpp
int32_t encode_wordpiece(Encoder& encoder, const Piece& word);  // wordpiece.cpp
int32_t encode_unigram(Encoder& encoder, const Piece& word);    // unigram.cpp

int32_t symbols_of_bytes(const Encoder& encoder, const Piece& word, int32_t* ids, int32_t capacity);  // bytes.cpp
int32_t symbols_of_characters(const Encoder& encoder, const Piece& word, int32_t* ids,
                              int32_t capacity);  // characters.cpp

int32_t decode_listed(int32_t id, const uint8_t** bytes);      // listed.cpp
int32_t decode_merged(int32_t id, const uint8_t** bytes);      // merged.cpp
int32_t decode_written(int32_t id, const uint8_t** bytes);     // written.cpp
int32_t decode_vocabulary(int32_t id, const uint8_t** bytes);  // vocabulary.cpp

}  // namespace mcu_tokenizing
