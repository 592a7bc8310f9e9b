// Why this file exists: capstan-nvme, the command line for devices that other machines share over
// NVMe/TCP: what a target offers, what it says about itself, reading and writing, and how fast that
// is. It is a program of its own because the client of nodes knows nothing of storage: `capstan
// nvme` becomes this program. No node is asked.
//
// Called as `initiator` it takes the arguments of Mayastor's test program of that name
// (io-engine-behaviour section 21.4) and ends with 0 or 255.
// Results go to standard output, everything else to standard error. Thread-safety: one core.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/env.h"

namespace capstan::apps {

enum NvmeExit { kNvmeDone = 0, kNvmeFailed = 1, kNvmeUsage = 2, kInitiatorFailed = 255 };

struct NvmeInvocation {
  std::string
      command;  // discover, connect-test, id, read, write, bench; initiator's in its own words
  std::string target;  // host[:port] of discover, else a device URI
  std::string file;    // of read and write; "-": standard input or output
  bool initiator = false, json = false, quiet = false;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;  // read: the rest of the device
  std::string host_nqn;
  std::uint8_t opcode = 0;  // of initiator's nvme-admin
  // bench
  std::string pattern = "randread";
  std::uint64_t block_bytes = 4096, depth = 32, seconds = 5;
};

std::string nvme_help();
// `arguments` without the program's name. Errors are usage errors.
Result<NvmeInvocation> parse_nvme_arguments(const std::vector<std::string>& arguments);
Result<NvmeInvocation> parse_initiator_arguments(const std::vector<std::string>& arguments);

// What goes to standard output and standard error, and the exit code. Content of devices is written
// to standard output on the way.
struct NvmeAnswer {
  std::string out, err;
  int code = kNvmeFailed;
};
// All addresses of a name, as text, at least one (core/os_resolve.h); may block.
using NameLookup = std::function<Result<std::vector<std::string>>(const std::string& name)>;
core::Task<NvmeAnswer> nvme_command(core::Env& env, NameLookup lookup, NvmeInvocation call);

}  // namespace capstan::apps
