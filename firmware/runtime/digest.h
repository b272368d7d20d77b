// FNV-1a, 64 bits: one number for all outputs of a run, so that two runs can be compared by a line of text.
#pragma once

#include <stdint.h>

class Digest {
  public:
    Digest() = default;
    explicit Digest(uint64_t value) : value_(value) {}  // goes on from there

    // Adds the raw bytes of `data`; for numbers that means little-endian, as every target here is.
    void add(const void* data, uint32_t bytes) {
        const uint8_t* byte = static_cast<const uint8_t*>(data);
        uint64_t value = value_;
        for (uint32_t i = 0; i < bytes; ++i) value = (value ^ byte[i]) * 0x100000001b3u;
        value_ = value;
    }

    uint64_t value() const { return value_; }

  private:
    uint64_t value_ = 0xcbf29ce484222325u;
};
