// memcpy, memmove and memset in few bytes, for firmware that is built for size; libc's take about 500.
#include <stddef.h>
#include <stdint.h>

// The compiler must not make a call of memcpy out of the loop that memcpy is.
#if defined(__clang__)
#define PLAIN_LOOPS __attribute__((no_builtin("memcpy", "memmove", "memset")))
#else
#define PLAIN_LOOPS __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

using Word __attribute__((may_alias)) = uint32_t;

// Words where both ends are aligned alike, else bytes.
extern "C" PLAIN_LOOPS void* memcpy(void* __restrict to, const void* __restrict from, size_t count) {
    uint8_t* out = static_cast<uint8_t*>(to);
    const uint8_t* in = static_cast<const uint8_t*>(from);
    if (((reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(in)) & 3) == 0) {
        for (; count >= 4; count -= 4, out += 4, in += 4) {
            *reinterpret_cast<Word*>(out) = *reinterpret_cast<const Word*>(in);
        }
    }
    for (; count > 0; --count) *out++ = *in++;
    return to;
}

extern "C" PLAIN_LOOPS void* memmove(void* to, const void* from, size_t count) {
    uint8_t* out = static_cast<uint8_t*>(to);
    const uint8_t* in = static_cast<const uint8_t*>(from);
    if (out <= in) {
        for (; count > 0; --count) *out++ = *in++;
    } else {
        while (count-- > 0) out[count] = in[count];
    }
    return to;
}

extern "C" PLAIN_LOOPS void* memset(void* to, int value, size_t count) {
    uint8_t* out = static_cast<uint8_t*>(to);
    const uint8_t byte = static_cast<uint8_t>(value);
    for (; count > 0 && (reinterpret_cast<uintptr_t>(out) & 3) != 0; --count) *out++ = byte;
    for (; count >= 4; count -= 4, out += 4) *reinterpret_cast<Word*>(out) = byte * 0x01010101u;
    for (; count > 0; --count) *out++ = byte;
    return to;
}
