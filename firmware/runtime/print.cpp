// See print.h.
#include "runtime/print.h"

#include "runtime/answer.h"
#include "runtime/divide.h"

void print_text(const char* text) {
    for (; *text != '\0'; ++text) answer_write(text, 1);
}

void print_bytes(const uint8_t* bytes, int32_t count) { answer_write(reinterpret_cast<const char*>(bytes), count); }

void print_unsigned(uint64_t value) {
    char digits[20];
    int32_t first = 20;
    do {
        uint32_t digit;
        value = divide_by_small(value, 10, &digit);
        digits[--first] = static_cast<char>('0' + digit);
    } while (value != 0);
    answer_write(digits + first, 20 - first);
}

void print_signed(int64_t value) {
    if (value < 0) print_text("-");
    const uint64_t bits = static_cast<uint64_t>(value);
    print_unsigned(value < 0 ? 0 - bits : bits);
}

void print_hex(uint64_t value, int32_t digits) {
    char text[16];
    for (int32_t i = digits; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
    answer_write(text, digits);
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
