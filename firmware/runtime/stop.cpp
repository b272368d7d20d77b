// See stop.h.
#include "runtime/stop.h"

namespace {

// Not memcmp: a firmware would have it from the library for this alone.
bool same(const uint8_t* a, const uint8_t* b, int32_t count) {
    int32_t i = 0;
    while (i < count && a[i] == b[i]) ++i;
    return i == count;
}

}  // namespace

void StopTexts::start(const uint8_t* texts, int32_t bytes) {
    texts_ = texts;
    bytes_ = bytes;
    held_count_ = 0;
    found_ = false;
}

// What is held is the longest end of the answer that some text begins with, so a text that is complete is held whole.
int32_t StopTexts::take(uint8_t byte) {
    held_[held_count_++] = byte;
    int32_t whole = 0;  // bytes of the longest text that is complete
    int32_t begun = 0;  // of the longest that has begun
    for (const uint8_t* text = texts_; text < texts_ + bytes_; text += 1 + text[0]) {
        const int32_t size = text[0];
        int32_t count = size < held_count_ ? size : held_count_;
        while (count > 0 && !same(held_ + held_count_ - count, text + 1, count)) --count;
        if (count == size && size > whole) whole = size;
        if (count > begun) begun = count;
    }
    found_ = whole > 0;
    return held_count_ - (found_ ? whole : begun);
}

void StopTexts::drop(int32_t count) {
    held_count_ -= count;
    for (int32_t i = 0; i < held_count_; ++i) held_[i] = held_[i + count];  // memmove takes 256 bytes
}
