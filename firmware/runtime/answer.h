// What makes an answer recognizable: the number of the request that it belongs to, and a CRC-32 of its bytes.
//
// A serial line may lose bytes, and may still hold what an earlier run was told. So a request of the SDK carries a
// number, which its answer repeats, and both carry a CRC (docs/run-protocol.md). To a request without a number, as a
// person types it, the answer has neither.
#pragma once

#include <stdint.h>

// Says that the request `number` was taken and that its answer begins; 0: it has none, nothing is said.
void answer_start(uint32_t number);

// Ends the line of the verdict, with number and CRC, and the answer.
void answer_end();

// Between answers: begins a line that has a CRC-32 of its own, and ends it with ` crc=1a2b3c4d`.
void answer_line_start();
void answer_line_end();
