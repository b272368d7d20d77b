// FNV-1a, 64 bits: one number for all outputs of a run, so that two runs can be compared by a line of text.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

    // Adds n floats as `add` does, but every NaN as the same one: IEEE 754 leaves its sign and its payload to the
    // processor, and they differ between an x86, an Arm core and its vectors.
    void add_f32(const void* data, size_t n) { add_floats<uint32_t>(data, n, 0x7F800000u, 0x7FC00000u); }
    void add_f16(const void* data, size_t n) { add_floats<uint16_t>(data, n, 0x7C00u, 0x7E00u); }
    void add_f64(const void* data, size_t n) {
        add_floats<uint64_t>(data, n, 0x7FF0000000000000u, 0x7FF8000000000000u);
    }

    uint64_t value() const { return value_; }

  private:
    template <typename Bits>
    void add_floats(const void* data, size_t n, Bits infinity, Bits nan) {
        const uint8_t* next = static_cast<const uint8_t*>(data);
        for (size_t i = 0; i < n; ++i, next += sizeof(Bits)) {
            Bits bits;
            memcpy(&bits, next, sizeof(Bits));
            if (static_cast<Bits>(bits << 1) > static_cast<Bits>(infinity << 1)) bits = nan;  // without the sign
            add(&bits, sizeof(Bits));
        }
    }

    uint64_t value_ = 0xcbf29ce484222325u;
};
