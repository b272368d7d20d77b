// The lines that a host or a person sends: "@run tokens=100 temperature=0 seed=0 ids=12,7,99".
#pragma once

#include <stdint.h>

#include "runtime/sampler.h"

// How the next token is chosen. Temperature 0 always takes the likeliest token; top_k 0 chooses among all.
struct Sampling {
    int32_t tokens;  // how many to generate at most
    float temperature;
    int32_t top_k;
    uint64_t seed;
    bool past_end;  // go on behind an end-of-text token: for measuring runs of a given length

    // As runtime/sampler.h says; these values change nothing.
    float top_p = 1.0f;
    float min_p = 0.0f;
    float repetition_penalty = 1.0f;
    const mcu_logit_bias* biases = nullptr;
    int32_t bias_count = 0;
};

struct Request {
    uint32_t number;  // which request this is, to whoever sent it; 0: not given
    Sampling sampling;
    int32_t steps;  // for models with tensor inputs; 0: not given

    // The prompt, as one of: text (UTF-8, inside the line that was parsed) or token ids.
    const char* text;  // nullptr: not given
    int32_t text_bytes;
    bool has_ids;
    int32_t id_count;

    // The logit biases, as they stand in the line that was parsed: whether they are any, request_biases() says.
    const char* biases;  // nullptr: not given
    int32_t biases_bytes;

    // The texts that end the answer: for each its length in a byte, 1 to kMostStopBytes, and its bytes, inside the line
    // that was parsed; for a language model with a tokenizer.
    const uint8_t* stops;  // nullptr: not given, the project's own end it
    int32_t stops_bytes;

    // For models that read texts: a second one beside `text`, as the first.
    const char* pair;  // nullptr: not given
    int32_t pair_bytes;

    // For a model with a chat template: how the conversation goes on.
    int32_t chat;  // 0: it begins, behind the token ids if there are any; 1: it goes on; -1: this is no part of one
    int32_t at;    // how many tokens of it the model has read; -1: not given
    const char* system;  // what it begins with, inside the line; nullptr: not given
    int32_t system_bytes;
    bool is_typed;  // a person's line
    bool forgets;   // "@new": the next line begins a conversation

    bool wants_chooser;  // says more of how tokens are chosen than temperature and top_k
};

// Whether the line asks if the firmware waits for a request.
bool request_is_ping(const char* line, int32_t bytes);

// Parses one line of `bytes` bytes without its line end. A line that does not begin with '@' is a prompt as it
// stands, with `defaults`; another line has tokens, temperature, top_k and seed of these where it leaves them out.
// Token ids go to `ids`, at most `id_capacity` of them; hexadecimal text is decoded inside `line`.
//
// Returns nullptr, or why the line is no request: a word that goes into `@mcu verdict=error reason=...`.
// request->number is that of a line whose CRC is right, also where something else in it is wrong; else 0.
//
// A line may end with ` crc=` and the CRC-32 of all before it, as eight hexadecimal digits; a line with a number must.
//
// Keys of `@run`, each at most once: request (0 to 2^32-1), tokens, top_k, steps (0 to 2^31-1), seed (0 to 2^64-1),
// past_end (0 or 1), temperature (decimal, 0 to 1000, at most six digits behind the point), ids (numbers between
// commas, may be empty), text (hexadecimal digits of UTF-8 bytes, may be empty; not with ids), pair (the same; only
// with text); and where the model has tokens top_p and repetition_penalty (decimal, above 0, to 1 and 1000), min_p
// (decimal, 0 to 1), logit_bias, and where it has a tokenizer, too, stop (texts of 1 to kMostStopBytes bytes as
// hexadecimal digits between commas, may be empty), and where it has a chat template chat (0 or 1), at (0 to 2^31-1)
// and system (as text). With chat=0 there may be ids and text.
const char* request_parse(char* line, int32_t bytes, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request);

// The biases of a request whose `biases` are not null: how many, at most `capacity` written to `out`; -1 if they are no
// ID:VALUE between commas, the value decimal, -1000 to 1000, if there are more, or if a token has two of them or is
// none.
int32_t request_biases(const Request& request, mcu_logit_bias* out, int32_t capacity);
