// The encoder of a model whose decoder attends to what it read: once before every answer.
#pragma once

#include <stdint.h>

#include "model/model.h"

// Lets the encoder read token ids [count], 1 to model::kEncoderLength of them: it writes the caches that every step of
// the decoder reads. What fills its inputs up does not count.
void encoder_read(const int32_t* ids, int32_t count);

// The place of the last of its rows that counts: an input of every step. -1 before anything was read.
int64_t encoder_last();
