// Formulas over the int32 sums of an int8 product: for one sum, and for four at a time where the core has vectors.
//
// A formula is a function of (lanes, channel, sum): `lanes` loads, computes and stores as many values as `sum` has.
#pragma once

#include "kernels/math/variant.h"

#if defined(MCU_HELIUM)
#include "kernels/linear/sums_helium.h"
#else
#include "kernels/linear/sums_portable.h"
#endif
