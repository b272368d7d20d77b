// Choosing the next token from logits: greedy, or drawn at a temperature from the top k. No heap, no scratch.
//
// mcu_sdk/model/sampling.py is the specification: the same logits, settings and state give the same token and the
// same next state there and on every target, whatever the float unit does with subnormals.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The index of the greatest of logits[0..n), n > 0; the first of equals. Zeros of both signs and subnormals are
// equal; NaN is below everything (all NaN: 0).
int32_t mcu_argmax(const float* logits, int32_t n);

// Draws an index of logits[0..n), n > 0.
//
// temperature: below 1e-6, negative or NaN is greedy (mcu_argmax) and leaves *state alone.
// top_k: only the top_k greatest logits can be drawn; of equal ones at the limit, the first. 0 or less: all.
// state: of the generator, any value; the seed is the first one.
//
// Logit x has the weight exp((x - max) / temperature) * 2^24, rounded down to an integer by fixed-point arithmetic
// (sampler.cpp), and a token's chance is its weight over the sum of all, exactly. The random number is SplitMix64
// (Steele, Lea, Flood 2014): one step per draw. The first index at which the running sum of weights exceeds
// floor(random * sum / 2^64) is drawn. An infinite maximum is drawn with certainty.
// Time: 2n exponentials of a few integer multiplications, and 32n comparisons if top_k is less than n.
int32_t mcu_sample(const float* logits, int32_t n, float temperature, int32_t top_k, uint64_t* state);

#ifdef __cplusplus
}
#endif
