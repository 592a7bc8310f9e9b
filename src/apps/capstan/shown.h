// Why this file exists: how single things are shown on a terminal, the same in every command:
// times, states, shares of a whole, events, changes of a store.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "apps/capstan/printer.h"
#include "datastore/datastore.pb.h"
#include "node/node.pb.h"
#include "pool.pb.h"

namespace capstan::apps {

// "2026-11-21 03:05:13 UTC"
std::string time_text(const google::protobuf::Timestamp& time, bool millis = false);
std::string uptime_text(std::uint64_t ms);                     // "1d 2h 3m 4s"
std::string_view state_word(mayastor::v1::PoolState state);    // "online"
std::string percent(std::uint64_t part, std::uint64_t whole);  // "12.34%", "-" of nothing
std::string hash_text(std::uint64_t hash);                     // 16 hexadecimal digits

// One line, or one of JSON.
Result<void> print_event(Printer& out, const node::v1::Event& event);
Result<void> print_change(Printer& out, const datastore::v1::Change& change);

}  // namespace capstan::apps
