// Functions over arrays of float32: one element after the other, or four at a time where the core has lanes for them.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM_FLOAT)
#include "kernels/math/lanes_helium.h"
#else
#include "kernels/math/lanes_portable.h"
#endif
