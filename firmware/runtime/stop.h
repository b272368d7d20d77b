// Texts that end an answer. What they are is no part of it: text is held back for as long as it may become one of them.
//
// mcu_sdk/model/stops.py is the specification.
#pragma once

#include <stdint.h>

inline constexpr int32_t kMostStopBytes = 64;  // of one text

class StopTexts {
  public:
    // Begins an answer. texts: [bytes] a length, 1 to kMostStopBytes, and so many bytes, for each text; they stay until
    // the answer has ended.
    void start(const uint8_t* texts, int32_t bytes);

    // Takes the answer's next byte, while !found(). Returns how many bytes of held() can no longer become such a text,
    // or stand before it where it is there: whoever shows them drops them before the next byte.
    int32_t take(uint8_t byte);
    void drop(int32_t count);

    const uint8_t* held() const { return held_; }
    int32_t held_count() const { return held_count_; }

    // Whether there are any.
    bool any() const { return bytes_ > 0; }

    // Whether the answer has ended with one of them: what is then held is its text.
    bool found() const { return found_; }

  private:
    const uint8_t* texts_ = nullptr;
    int32_t bytes_ = 0;
    uint8_t held_[kMostStopBytes] = {};
    int32_t held_count_ = 0;
    bool found_ = false;
};
