// The grammar that every answer follows: an automaton over bytes, generated into model/grammar.cpp from a regular
// expression or a JSON schema (generate --grammar, --json-schema). The bytes of each token that could come are walked
// through it.
//
// mcu_sdk/model/grammar/tokens.py is the specification. An answer always ends in time: a token may come only if the
// rest can be said in the tokens that are left.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MCU_GRAMMAR_NEVER 0xFFFFu

// State 0 is the first.
struct mcu_grammar_data {
    const uint8_t* classes;  // [256] of each byte
    int32_t class_count;
    const uint16_t* next;  // [states][class_count] the next state, or MCU_GRAMMAR_NEVER
    const uint16_t*
        left;  // [states] how few tokens lead to the end of an answer: 0 where it may end; MCU_GRAMMAR_NEVER
};

extern const struct mcu_grammar_data mcu_grammar;

// The tokens of the shortest answer, without one that ends it.
int32_t mcu_grammar_shortest(void);

// The state behind a token; -1 if it cannot come, or ends the answer.
int32_t mcu_grammar_after(int32_t state, int32_t token);

// Makes NaN of the logits of tokens that may not come, where `tokens_left` more can, and -infinity of NaNs of those
// that may: whatever chooses by runtime/sampler.h then takes one that may. Returns how many may; 0 behind the end of an
// answer, and where it is complete and the model has no token to end it. Time: about 6 steps through a table for each
// token that begins as it could, one for any other.
int32_t mcu_grammar_bar(float* logits, int32_t state, int32_t tokens_left);

#ifdef __cplusplus
}
#endif
