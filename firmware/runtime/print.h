// Text and numbers on the console, without printf.
#pragma once

#include <stdint.h>

void print_text(const char* text);
void print_bytes(const uint8_t* bytes, int32_t count);
void print_unsigned(uint64_t value);
void print_signed(int64_t value);
void print_hex(uint64_t value, int32_t digits);  // lower case, exactly `digits` of them (1 to 16), no prefix

// "@mcu key=value\n", the protocol's way of stating a fact.
void print_fact(const char* key, uint64_t value);
void print_fact(const char* key, const char* value);
