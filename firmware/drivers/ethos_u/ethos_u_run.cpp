// See ethos_u_run.h.
#include "drivers/ethos_u/ethos_u_run.h"

#include "drivers/ethos_u/ethos_u.h"

void ethos_u_run(const uint8_t* commands, int32_t command_bytes, const uint8_t* weights, int32_t weight_bytes,
                 uint8_t* scratch, int32_t scratch_bytes) {
    // Ports: weights (region 0) beside the stream on port 3, the scratch on port 0. Region 2, the fast scratch of a
    // memory mode that has one, is the scratch itself in the modes that boards list.
    constexpr uint32_t kPorts = 3u << 0 | 0u << 2 | 0u << 4;
    constexpr uint32_t kPolls = 1u << 30;
    ethos_u::clean_cache(commands, uint32_t(command_bytes));
    ethos_u::clean_cache(weights, uint32_t(weight_bytes));
    ethos_u::clean_cache(scratch, uint32_t(scratch_bytes));
    const ethos_u::Job job = {
        commands, uint32_t(command_bytes), {weights, scratch, scratch}, 3, kPorts, kPolls,
    };
    const ethos_u::Status status = ethos_u::invoke(job);
    ethos_u::invalidate_cache(scratch, uint32_t(scratch_bytes));
    if (status != ethos_u::Status::kOk) ethos_u_failed(ethos_u::message(status));
}
