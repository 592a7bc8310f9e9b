// Why this file exists: the figures behind `capstan top`: counters of a node at one moment, read
// from its metrics and statistics, and what happened between two such moments. No I/O.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "stats.pb.h"

namespace capstan::apps {

struct WireCounters {
  double started = 0, ended = 0, failed = 0, seconds = 0, in_flight = 0;
};
// By wire, from Prometheus text; lines of other metrics and malformed ones are skipped.
std::map<std::string, WireCounters> read_wire_counters(std::string_view metrics);

struct IoCounters {
  std::uint64_t reads = 0, bytes_read = 0, writes = 0, bytes_written = 0;
  double read_seconds = 0, write_seconds = 0;  // sums over all of them
};
IoCounters io_counters(const mayastor::v1::IoStats& stats);

struct Sample {
  double at = 0;  // seconds of any clock
  std::map<std::string, WireCounters> wires;
  std::map<std::string, IoCounters> pools, replicas;  // by name, by UUID
};

struct WireRate {
  std::string wire;
  double calls = 0, errors = 0;            // a second
  double mean_seconds = 0, in_flight = 0;  // of calls that ended in between
};
struct IoRate {
  double reads = 0, bytes_read = 0, writes = 0, bytes_written = 0;  // a second
  double read_seconds = 0, write_seconds = 0;                       // of one, on average
};
// Counters that went back began anew with the node.
std::vector<WireRate> wire_rates(const Sample& before, const Sample& now);
IoRate io_rate(const std::map<std::string, IoCounters>& before,
               const std::map<std::string, IoCounters>& now, const std::string& key,
               double seconds);

}  // namespace capstan::apps
