// The encoder of a model whose decoder attends to what it read: once before every answer.
#pragma once

#include <stdint.h>

#include "model/model.h"

// Lets the encoder read token ids [count], 1 to model::kEncoderLength of them: it writes the caches that every step of
// the decoder reads. What fills its inputs up does not count.
void encoder_read(const int32_t* ids, int32_t count);

// Lets it take the tensors that lie in model::kEncoderInputs, which are used up; where one of them is a mask of its
// rows (model::kEncoderMaskInput), the ones at its beginning count.
void encoder_take();

// The place of the last of its rows that counts: an input of the steps that have a third. -1 before anything was read.
int64_t encoder_last();
