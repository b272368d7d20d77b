// The inputs of a model of tensors that reads texts (an encoder), filled from one text or two by the tokenizer.
#pragma once

#include "runtime/tokenizer.h"

// Writes the inputs of the next step: token ids, the mask of those that count and, where the model has it, the segment
// of each; the rest of the sequence is padding. `pair.utf8` null: there is one text.
//
// Returns how many ids there are, and how many tokens were cut off; `count` is -1 or -2 as in tokenizer.h, and
// kIdOutOfRange for a token that the model does not have.
mcu_encoded text_inputs_fill(mcu_text text, mcu_text pair);

inline constexpr int32_t kIdOutOfRange = -3;
