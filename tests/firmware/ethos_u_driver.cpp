// Runs the Ethos-U driver over registers that standard input describes, and prints every access to them.
//
//   register OFFSET VALUE   what reads of this register give (0 unless told); the last line for a register stays, those
//                           before it are one read each
//   commands HEX            the command block
//   region ADDRESS          the next region's base pointer
//   ports VALUE | polls COUNT
//   invoke | run            ends the script: ethos_u::invoke with all of this, or ethos_u_run with the commands alone
//
// The block lies in memory of exactly its size, so that the sanitizer sees a read beyond it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "drivers/ethos_u/ethos_u.h"
#include "drivers/ethos_u/ethos_u_run.h"
#include "drivers/ethos_u/register_access.h"

namespace {

std::map<uint32_t, std::deque<uint32_t>> registers;
std::map<uint32_t, unsigned> reads;
ethos_u::Job job = {};
uint8_t weights[8];
uint8_t scratch[24];

const char* name_of(const void* address) {
    if (address == job.commands) return "commands";
    if (address == weights) return "weights";
    return address == scratch ? "scratch" : "other";
}

unsigned long long number() {
    char text[32];
    if (scanf("%31s", text) != 1) exit(2);
    return strtoull(text, nullptr, 0);
}

std::vector<uint8_t> hex() {
    std::string text;
    int c = getchar();
    while ((c = getchar()) != '\n' && c != EOF) text += char(c);
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes.push_back(uint8_t(strtoul(text.substr(i, 2).c_str(), nullptr, 16)));
    }
    return bytes;
}

void run() {
    ethos_u_run(job.commands, int32_t(job.command_bytes), weights, sizeof weights, scratch, sizeof scratch);
    printf("returned\n");
}

void invoke() {
    const ethos_u::Status status = ethos_u::invoke(job);
    printf("status %u %s\n", unsigned(status), ethos_u::message(status));
}

}  // namespace

uint32_t ethos_u_read_register(uint32_t offset) {
    ++reads[offset];
    std::deque<uint32_t>& values = registers[offset];
    if (values.empty()) return 0;
    const uint32_t value = values.front();
    if (values.size() > 1) values.pop_front();
    return value;
}

void ethos_u_write_register(uint32_t offset, uint32_t value) { printf("write %u %u\n", offset, value); }

void ethos_u_failed(const char* reason) { printf("failed %s\n", reason); }

namespace ethos_u {

void clean_cache(const void* begin, uint32_t bytes) { printf("clean %s %u\n", name_of(begin), bytes); }
void invalidate_cache(const void* begin, uint32_t bytes) { printf("invalidate %s %u\n", name_of(begin), bytes); }

}  // namespace ethos_u

int main() {
    uint8_t* commands = nullptr;
    char word[16];
    while (scanf("%15s", word) == 1) {
        const std::string key = word;
        if (key == "register") {
            const auto offset = uint32_t(number());
            registers[offset].push_back(uint32_t(number()));
        } else if (key == "commands") {
            const std::vector<uint8_t> bytes = hex();
            commands = static_cast<uint8_t*>(malloc(bytes.size()));
            if (!bytes.empty()) memcpy(commands, bytes.data(), bytes.size());
            job.commands = commands;
            job.command_bytes = uint32_t(bytes.size());
        } else if (key == "region") {
            job.regions[job.region_count++] = reinterpret_cast<const void*>(uintptr_t(number()));
        } else if (key == "ports") {
            job.region_ports = uint32_t(number());
        } else if (key == "polls") {
            job.polls = uint32_t(number());
        } else {
            printf("commands %llu\n", static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(commands)));
            printf("weights %llu\n", static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(weights)));
            printf("scratch %llu\n", static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(scratch)));
            (key == "run" ? run : invoke)();
            for (const auto& [offset, count] : reads) printf("reads %u %u\n", offset, count);
            free(commands);
            commands = nullptr;
            job = {};
            registers.clear();
            reads.clear();
            printf("end\n");
            fflush(stdout);
        }
    }
    return 0;
}
