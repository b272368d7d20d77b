// A model of tensors that reads texts: `@run text=...` on the console.
#pragma once

#include "runtime/request.h"

// One step on the request's text, after series_begin(), and its report: how many tokens it is, how many were cut off,
// their ids, of a classifier the likeliest label with its share as text, and what tensor_series.h says.
void text_model_run(const Request& request);
