// The steps of a model of tensors since it last forgot everything, and what is reported of them.
#pragma once

#include <stdint.h>

// Resets the model and begins to count.
void series_begin();

// One step on what lies in model::kInputs.
void series_step();

// Prints how many steps there were, `digest` (FNV-1a over the raw bytes of all outputs of every step, in order) and the
// instructions, and ends the answer with a verdict.
void series_report();

// Whether model::kOutputs holds what the last step made. The inputs of the next step may lie over it.
bool series_has_outputs();
void series_forget_outputs();
