// mcu::ring_slot: where each of `count` positions is kept in a cache of `length` slots: itself in the first `length`,
// then around the slots sinks .. length - 1. 0 <= sinks < length.
// Specification: mcu_sdk/operators/reference/sliding_attention.py.
#pragma once

#include <stdint.h>

extern "C" void mcu_ring_slot(const int64_t* position, int64_t* out, int32_t count, int32_t sinks, int32_t length);
