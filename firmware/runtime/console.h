// The console protocol, as far as it is the same for every model.
//
// The firmware prints lines `@mcu key=value ...`; anything else is the model's own text. It says `@mcu ready=1` and
// waits for a line with a request (request.h); to the line `@ping` it says again that it is ready, with the SHA-256 of
// its model, its build id and a CRC. An answer ends with what it was computed by, `@mcu verdict=ok`, or `@mcu
// verdict=error reason=...`, and the byte EOT (0x04). The byte EOT on the input ends the program.
#pragma once

#include <stdint.h>

#include "runtime/request.h"

inline constexpr char kEndOfTransmission = '\x04';
inline constexpr char kForgetLine = '\x15';  // Ctrl-U, as in a terminal

// Starts the counter and says that requests can come. No more than that: a board that wakes up often
// should be at work soon.
void console_start();

// What the first and the last step took and all together, in instructions or cycles, where that can be counted. The
// first call takes a while (counter_check).
void console_print_counts(uint64_t first, uint64_t last, uint64_t total);

// The same of one more count, such as "_read=".
void console_print_count(const char* what, uint64_t count);

// Reads a line into `line`, without its end ("\n" or "\r\n"). Returns its length, -1 if it is longer than
// `capacity` (all of it is read), -2 at the end of the input. Ctrl-U forgets what came of the line so far.
int32_t console_read_line(char* line, int32_t capacity);

// Waits for a line that is neither empty nor a ping, which it answers; refuses longer ones than `capacity` bytes.
// Returns the line's length, or -1 at the end of the input.
int32_t console_next_line(char* line, int32_t capacity);

// Begins the answer to a line that is a request, of `length` bytes; refuses another one with a verdict, and is false.
// The parameters are those of request_parse (request.h).
bool console_take_request(char* line, int32_t length, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request);

// Waits for a line that is a request, and begins its answer; refuses others with a verdict. False at the end of the
// input. The parameters are those of request_parse (request.h); `capacity` is how many bytes `line` holds.
bool console_read_request(char* line, int32_t capacity, const Sampling& defaults, int32_t* ids, int32_t id_capacity,
                          Request* request);

// Ends an answer: which model this is, its memory, verdict, EOT.
void console_succeed();
void console_done();  // the same without the facts, for what is no run
void console_fail(const char* reason);
