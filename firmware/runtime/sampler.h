// Choosing the next token from logits: greedy, or drawn at a temperature from those that are likely. No heap, no
// scratch.
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

struct mcu_logit_bias {
    int32_t id;
    float value;  // added to the logit of this token
};

struct mcu_sampling {
    float temperature;         // as for mcu_sample
    int32_t top_k;             // as for mcu_sample
    float top_p;               // 1 or more, or NaN: off
    float min_p;               // 0 or less, or NaN: off
    float repetition_penalty;  // 1, or what is below 2^-100 or NaN: off
    const struct mcu_logit_bias* biases;
    int32_t bias_count;
};

// mcu_sample with all that a request can ask for, in the order of transformers: biases are added; the logit x of each
// token of read[0..read_count), once, becomes x / repetition_penalty, or x * repetition_penalty if it is negative; then
// temperature, top_k, top_p, min_p, and the draw.
//
// Weights are those of mcu_sample. top_p: of the weights in falling order, the first of equal ones first, those stay
// before which there is less than top_p of the sum; the greatest stays always. min_p: those stay that are at least
// min_p * 2^24, which is the greatest weight. A logit that is changed, before and after, is 0 where its magnitude is
// below 2^-100: nothing subnormal can come of it. Ids outside of [0, n) change nothing.
//
// What `logits` holds is used up. Time beyond mcu_sample's: 25n comparisons for top_p, read_count^2 / 2 for the
// penalty.
int32_t mcu_choose(float* logits, int32_t n, const struct mcu_sampling* how, const int32_t* read, int32_t read_count,
                   uint64_t* state);

#ifdef __cplusplus
}
#endif
