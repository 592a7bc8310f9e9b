// Why this file exists: the values of options that have an inner syntax: core masks and lists,
// retry delays. Pure text in, value out.
#include <algorithm>
#include <bitset>
#include <charconv>

#include "apps/io_engine/config.h"
#include "apps/serving/text_parts.h"
#include "base/limits.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kCpusMax = 1024;  // one higher than the highest that can be named

Result<std::vector<unsigned>> checked(const std::bitset<kCpusMax>& cores, std::string_view text) {
  if (cores.none()) {
    return fail(Code::kInvalidArgument,
                "'" + std::string(text) + "' names no core. Name at least core 0");
  }
  if (cores.count() > limits::kReactorsMax) {
    return fail(Code::kInvalidArgument, "'" + std::string(text) + "' names more than " +
                                            std::to_string(limits::kReactorsMax) + " cores");
  }
  std::vector<unsigned> numbers;
  for (unsigned core = 0; core < cores.size(); ++core) {
    if (cores[core]) numbers.push_back(core);
  }
  return numbers;
}

}  // namespace

Result<std::vector<unsigned>> parse_list(std::string_view list) {
  std::bitset<kCpusMax> cores;
  for (const std::string_view part : split(list, ',')) {
    const auto dash = part.find('-');
    std::size_t first = 0, last = 0;
    bool good = read_number(part.substr(0, dash), first);
    last = first;
    if (dash != std::string_view::npos) good = good && read_number(part.substr(dash + 1), last);
    if (!good || first > last || last >= cores.size()) {
      return fail(Code::kInvalidArgument,
                  "'" + std::string(list) + "' is no list of cores. Write it as in 0,2-4");
    }
    for (std::size_t core = first; core <= last; ++core) cores.set(core);
  }
  return checked(cores, list);
}

Result<std::vector<unsigned>> parse_mask(std::string_view mask) {
  if (mask.starts_with('[') && mask.ends_with(']')) {
    return parse_list(mask.substr(1, mask.size() - 2));
  }
  std::string_view digits = mask;
  if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  std::bitset<kCpusMax> cores;
  for (const char& digit : digits) {
    unsigned bits = 0;
    if (!read_number(std::string_view(&digit, 1), bits, 16) || digits.size() > kCpusMax / 4) {
      return fail(Code::kInvalidArgument, "'" + std::string(mask) +
                                              "' is no core mask. Write hexadecimal digits, as in "
                                              "0x3 for cores 0 and 1");
    }
    cores = cores << 4 | std::bitset<kCpusMax>(bits);
  }
  return checked(cores, mask);
}

Result<std::array<std::uint16_t, 3>> parse_crdt(std::string_view text, std::uint16_t most) {
  std::array<std::uint16_t, 3> delays{};
  const auto parts = split(text, ',');
  bool good = parts.size() == 1 || parts.size() == 3;
  for (std::size_t i = 0; good && i < parts.size(); ++i) {
    good = read_number(parts[i], delays[i]) && delays[i] <= most;
  }
  if (!good) {
    return fail(Code::kInvalidArgument,
                "'" + std::string(text) +
                    "' is not accepted. Give one or three whole numbers up to " +
                    std::to_string(most) + ", as in 20 or 20,0,0");
  }
  return delays;
}

}  // namespace capstan::apps
