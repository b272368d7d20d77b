// Running a model of tensors: on made-up inputs, as proof that a device computes what the host computes, or on a
// host's.
#pragma once

#include <stdint.h>

#include "runtime/request.h"

// The numbers behind the made-up inputs: xorshift32 (13, 17, 5). A seed of 0 would stay 0; it becomes 1.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(static_cast<uint32_t>(seed)) {
        if (state_ == 0) state_ = 1;
    }
    uint32_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return state_;
    }

  private:
    uint32_t state_;
};

// Fills every input from `random`, input by input, element by element, one number x each:
//   int8, uint8      the top 8 bits of x, all values
//   int16            the top 16 bits of x, all values
//   float32, float64 the top 24 bits of x as a signed number, divided by 2^23: [-1, 1)
//   float16          the top 11 bits of x as a signed number, divided by 2^10: [-1, 1)
//   int32, int64     the top 2 bits of x: 0 to 3, since integers of this width are indices as a rule
//   bool             the top bit of x
void tensor_model_fill(Random* random);

// Waits for `@run steps=N seed=S` on the console or, where the model reads texts, for `@run text=...`; answers `@put`
// and `@get` (tensor_transfer.h), and refuses other lines with a verdict. False when the input has ended.
bool tensor_model_next(Request* request);

// Resets the model, runs request.steps steps, each on new inputs, or one on the request's text, and reports
// (tensor_series.h).
void tensor_model_run(const Request& request);
