// A delegate's call in the plan: commands, weights and scratch to the NPU.
#pragma once

#include <stdint.h>

// Runs the command block over weights (region 0) and scratch (region 1) and returns when the NPU is done. What goes
// wrong is told to ethos_u_failed, with a word for the console.
extern "C" void ethos_u_run(const uint8_t* commands, int32_t command_bytes, const uint8_t* weights,
                            int32_t weight_bytes, uint8_t* scratch, int32_t scratch_bytes);

// Ends the run (firmware) or keeps the word (a library on the host). `npu_status` is the register STATUS and
// `stream_position` the bytes of the stream that were read; both 0 where it never ran.
extern "C" void ethos_u_failed(const char* reason, uint32_t npu_status, uint32_t stream_position);
