// See print.h.
#include "runtime/print.h"

#include "platform/platform.h"
#include "runtime/crc.h"
#include "runtime/divide.h"

namespace {

bool counting = false;  // whether the bytes go into the CRC
uint32_t crc = kCrcOfNothing;

}  // namespace

void print_bytes(const char* bytes, int32_t count) {
    if (counting) crc = crc_add(crc, bytes, count);
    platform_write(bytes, count);
}

void print_bytes(const uint8_t* bytes, int32_t count) { print_bytes(reinterpret_cast<const char*>(bytes), count); }

void print_text(const char* text) {
    for (; *text != '\0'; ++text) print_bytes(text, 1);
}

void print_unsigned(uint64_t value) {
    char digits[20];
    int32_t first = 20;
    do {
        uint32_t digit;
        value = divide_by_small(value, 10, &digit);
        digits[--first] = static_cast<char>('0' + digit);
    } while (value != 0);
    print_bytes(digits + first, 20 - first);
}

void print_signed(int64_t value) {
    if (value < 0) print_text("-");
    const uint64_t bits = static_cast<uint64_t>(value);
    print_unsigned(value < 0 ? 0 - bits : bits);
}

void print_hex(uint64_t value, int32_t digits) {
    char text[16];
    for (int32_t i = digits; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
    print_bytes(text, digits);
}

void print_fact(const char* key, const char* value) {
    print_text("@mcu ");
    print_text(key);
    print_text("=");
    print_text(value);
    print_text("\n");
}

void print_fact(const char* key, uint64_t value) {
    print_text("@mcu ");
    print_text(key);
    print_text("=");
    print_unsigned(value);
    print_text("\n");
}

void print_crc_start() {
    counting = true;
    crc = kCrcOfNothing;
}

void print_crc() {
    counting = false;
    print_text(" crc=");
    print_hex(crc, 8);
}
