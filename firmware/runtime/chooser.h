// Chooses the tokens of an answer as its request, and the project's grammar, ask for them.
#pragma once

#include <stdint.h>

#include "runtime/request.h"
#include "runtime/stop.h"

// Instead of a token: the answer is complete.
inline constexpr int32_t kNoToken = -1;

class Chooser {
  public:
    // Begins an answer. ids: [count] the prompt, behind which the caller keeps what next() returned. Returns nullptr,
    // or why there is no answer: a word for `@mcu verdict=error reason=...`.
    const char* start(const int32_t* ids, int32_t count, const Sampling& sampling);

    // The next token, of logits[model::kVocabSize], which are used up; kNoToken where the grammar lets none come, and
    // behind a stop text.
    int32_t next(float* logits);

    // What the answer may end with, until the next one.
    void end_with(const StopTexts* stops) { stops_ = stops; }

  private:
    const int32_t* ids_ = nullptr;
    int32_t count_ = 0;
    bool is_first_ = true;
    mcu_sampling how_ = {};
    uint64_t random_ = 0;
    bool follows_grammar_ = false;
    int32_t state_ = 0;  // of the grammar
    int32_t tokens_left_ = 0;
    const StopTexts* stops_ = nullptr;
};
