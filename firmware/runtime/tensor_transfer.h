// A host's own inputs, and the outputs that the model makes of them: the lines `@put` and `@get`.
//
//     @put request=78 at=0 data=AACAPwAAAEA= crc=2c5aadca
//     @get request=79 output=0 at=0 bytes=8 crc=2252a019
//
// Bytes as they lie in memory, in base64, in pieces that a line holds. `at` counts the bytes of all inputs, one behind
// the other, step after step; at=0 makes the model forget and begins a series of steps. The line that completes the
// inputs of a step runs it. A line that is sent twice does no harm: its answer may have got lost. What gets lost is
// noticed by the next one, which is refused as `out_of_order`, with the position that was expected.
//
// Of a language model the inputs are those of its encoder, once: the answer that a `@run` asks for is about them.
#pragma once

#include <stdint.h>

// Takes a line, of `bytes` bytes, that is `@put` or `@get`, and answers it; its data are decoded inside `line`. Returns
// false for any other line.
bool tensor_transfer_take(char* line, int32_t bytes);

// Ends a series: the model has been used for something else.
void tensor_transfer_forget();

// Whether all the inputs of a language model's encoder are there.
bool tensor_transfer_is_complete();
