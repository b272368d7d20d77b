// The mode of the floating-point unit that every kernel expects, around calls into a library (class FloatMode).
#pragma once

#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
#include "platform/cortex_m/float_mode.h"
#else
#include "platform/host/float_mode.h"
#endif
