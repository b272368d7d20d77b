// Text and numbers on the console, without printf. All that the firmware says comes through here.
#pragma once

#include <stdint.h>

void print_text(const char* text);
void print_bytes(const char* bytes, int32_t count);
void print_bytes(const uint8_t* bytes, int32_t count);
void print_unsigned(uint64_t value);
void print_signed(int64_t value);
void print_hex(uint64_t value, int32_t digits);  // lower case, exactly `digits` of them (1 to 16), no prefix

// "@mcu key=value\n", the protocol's way of stating a fact.
void print_fact(const char* key, uint64_t value);
void print_fact(const char* key, const char* value);

// Begins a CRC-32 of the bytes that are printed from here on; print_crc ends it with " crc=1a2b3c4d".
void print_crc_start();
void print_crc();
