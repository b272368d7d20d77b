// In the shared library for programs on the host, what ExecuTorch's runtime refused is kept until it is asked for.
#include "executor/method.h"

namespace {

const char* failed_reason = nullptr;
const char* failed_in = nullptr;
uint32_t failed_error = 0;

}  // namespace

void executor_failed(const char* reason, const char* what, uint32_t error) {
    failed_reason = reason;
    failed_in = what;
    failed_error = error;
}

// The reason why the last step was none, the method or operator, and ExecuTorch's error; null, where it was one. Asking
// forgets it.
extern "C" __attribute__((visibility("default"))) const char* model_executor_failure(const char** what,
                                                                                     uint32_t* error) {
    const char* const reason = failed_reason;
    *what = failed_in;
    *error = failed_error;
    failed_reason = nullptr;
    return reason;
}
