// Why this file exists: see commands.h; this half is the words of the command line, ours and those
// of Mayastor's program. Nothing is opened here.
#include <algorithm>
#include <array>
#include <charconv>

#include "apps/capstan_nvme/commands.h"
#include "base/size_text.h"

namespace capstan::apps {
namespace {

constexpr std::uint64_t kDepthMax = 1024, kSecondsMax = 86'400;

std::unexpected<Error> usage(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

Result<std::uint64_t> number(const std::string& flag, const std::string& text, std::uint64_t max) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stopped != end || value > max) {
    return usage(flag + ": '" + text + "' is no number up to " + std::to_string(max));
  }
  return value;
}

struct CommandRow {
  const char* name;
  std::size_t words;  // with the command itself
  bool file_too;      // one word more may follow: a file
};
constexpr std::array kCommands = std::to_array<CommandRow>({{"discover", 2, false},
                                                            {"connect-test", 2, false},
                                                            {"id", 2, false},
                                                            {"read", 2, true},
                                                            {"write", 2, true},
                                                            {"bench", 2, false}});

Result<void> take_flag(NvmeInvocation& call, const std::string& flag, const std::string& value) {
  if (flag == "--hostnqn") {
    call.host_nqn = value;
  } else if (flag == "--offset") {
    TRY_SET(call.offset, parse_size(value));
  } else if (flag == "--length") {
    TRY_SET(call.length, parse_size(value));
  } else if (flag == "--block-size") {
    TRY_SET(call.block_bytes, parse_size(value));
  } else if (flag == "--pattern") {
    call.pattern = value;
  } else if (flag == "--depth") {
    TRY_SET(call.depth, number(flag, value, kDepthMax));
  } else if (flag == "--seconds") {
    TRY_SET(call.seconds, number(flag, value, kSecondsMax));
  } else {
    return usage("unknown option '" + flag + "'");
  }
  return {};
}

Result<void> check(const NvmeInvocation& call) {
  static constexpr std::array kPatterns = {"randread", "randwrite", "read", "write"};
  if (std::ranges::find(kPatterns, call.pattern) == kPatterns.end()) {
    return usage("--pattern: '" + call.pattern + "' is none of randread, randwrite, read, write");
  }
  if (call.depth == 0) return usage("--depth is at least 1");
  if (call.seconds == 0) return usage("--seconds is at least 1");
  return {};
}

}  // namespace

std::string nvme_help() {
  return "usage: capstan nvme COMMAND [options] ...\n"
         "\n"
         "Devices that other machines share over NVMe/TCP. No node is asked.\n"
         "\n"
         "  discover ADDRESS[:PORT]   what the target there offers this host (port 8420)\n"
         "  connect-test URI          connects, says what there is, and leaves\n"
         "  id URI                    all that controller and namespace say about themselves\n"
         "  read URI [FILE]           content to a file or standard output\n"
         "  write URI [FILE]          a file or standard input to the device\n"
         "  bench URI                 how many requests a second, and how long each takes\n"
         "\n"
         "  URI: nvmf://ADDRESS[:PORT]/NQN, as `capstan replica share` prints it\n"
         "\n"
         "  --hostnqn NQN      the name under which this host connects; else $HOSTNQN\n"
         "  --offset BYTES     where read and write begin; with a unit if you like, as in 4KiB\n"
         "  --length BYTES     how much is read (the rest of the device)\n"
         "  --pattern P        of bench: randread, randwrite, read, write (randread)\n"
         "  --block-size N     of bench: bytes of one request (4096)\n"
         "  --depth N          of bench: requests at a time (32)\n"
         "  --seconds N        of bench: how long (5)\n"
         "  --json             results as JSON\n"
         "\n"
         "write and bench with writes destroy what is on the device.\n";
}

Result<NvmeInvocation> parse_nvme_arguments(const std::vector<std::string>& arguments) {
  NvmeInvocation call;
  std::vector<std::string> words;
  bool flags = true;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (flags && word == "--") {
      flags = false;
    } else if (flags && word == "--json") {
      call.json = true;
    } else if (flags && word == "--quiet") {
      call.quiet = true;
    } else if (flags && word.starts_with("--")) {
      if (at + 1 == arguments.size()) return usage(word + " needs a value");
      TRY(take_flag(call, word, arguments[++at]));
    } else {
      words.push_back(word);
    }
  }
  if (words.empty()) return usage("a command is needed");
  const auto row = std::ranges::find(kCommands, words[0], &CommandRow::name);
  if (row == kCommands.end()) return usage("unknown command '" + words[0] + "'");
  if (words.size() < row->words) return usage(words[0] + " needs an address or a URI");
  if (words.size() > row->words + (row->file_too ? 1U : 0U)) {
    return usage("'" + words.back() + "' is one word too many");
  }
  call.command = words[0];
  call.target = words[1];
  call.file = words.size() > 2 ? words[2] : "-";
  TRY(check(call));
  return call;
}

Result<NvmeInvocation> parse_initiator_arguments(const std::vector<std::string>& arguments) {
  NvmeInvocation call;
  call.initiator = true;
  std::vector<std::string> words;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "-o" || word == "--offset") {
      if (at + 1 == arguments.size()) return usage(word + " needs a value");
      TRY_SET(call.offset, number(word, arguments[++at], UINT64_MAX));
    } else if (word.starts_with("--offset=")) {
      TRY_SET(call.offset, number("--offset", word.substr(9), UINT64_MAX));
    } else if (word.starts_with("-") && word != "-") {
      return usage("unknown option '" + word + "'");
    } else {
      words.push_back(word);
    }
  }
  static constexpr const char* kUsage =
      "usage: initiator [-o BYTES] URI read|write FILE | connect | id-ctrlr FILE | nvme-admin "
      "OPCODE | create-snapshot";
  if (words.size() < 2) return usage(kUsage);
  call.target = words[0];
  call.command = words[1];
  const bool file = call.command == "read" || call.command == "write" || call.command == "id-ctrlr";
  const bool one = file || call.command == "nvme-admin";
  if (!one && call.command != "connect" && call.command != "create-snapshot") return usage(kUsage);
  if (words.size() != (one ? 3U : 2U)) return usage(kUsage);
  if (file) call.file = words[2];
  if (call.command == "nvme-admin") {
    TRY_SET(const std::uint64_t code, number("OPCODE", words[2], 255));
    call.opcode = static_cast<std::uint8_t>(code);
  }
  return call;
}

}  // namespace capstan::apps
