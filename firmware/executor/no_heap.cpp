// On a board: the kernels of ExecuTorch's own libraries may ask for heap, and there is none. What libc makes of this is
// a null pointer, and what they make of that an error of theirs.
#include <stddef.h>
#include <stdint.h>

extern "C" void* _sbrk(ptrdiff_t) { return reinterpret_cast<void*>(UINTPTR_MAX); }
