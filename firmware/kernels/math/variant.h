// Which variant of a kernel this core takes: the one place where the compiler is asked.
//
// Exactly one of name.cpp and name_helium.cpp defines a kernel, each asking here; headers in variants (name_helium.h,
// name_dsp.h, name_portable.h) are chosen by name.h.
#pragma once

#if defined(__ARM_FEATURE_MVE)
#define MCU_HELIUM 1  // integer vectors
#if __ARM_FEATURE_MVE & 2
#define MCU_HELIUM_FLOAT 1  // and vectors of float32
#endif
#elif defined(__ARM_FEATURE_DSP)
#define MCU_DSP 1  // two products of 16 bits an instruction: Cortex-M4, M7 and M33
#endif
