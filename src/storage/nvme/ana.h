// Why this file exists: asymmetric namespace access as values: the state of every group of
// namespaces as seen over each listener, and the log page that tells hosts of it. No I/O.
// Source: nvme-tcp section 11.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/nvme/nvme_codec.h"

namespace capstan::storage::nvme {

enum class AnaState : std::uint8_t {
  kOptimized = 1,
  kNonOptimized = 2,
  kInaccessible = 3,
  kPersistentLoss = 4,
  kChange = 0xF,
};
// "optimized", "non_optimized" …; and the other way round.
std::string_view ana_state_name(AnaState state);
std::optional<AnaState> parse_ana_state(std::string_view name);
// What I/O is answered over a path in that state; a success when it may go on.
Status ana_status(AnaState state);

// Of one subsystem. A listener is known by its number.
class AnaStates {
 public:
  AnaState state(std::uint16_t port, std::uint32_t group) const {
    return effective(port, group).state;
  }
  // All listeners, or all groups, when there is none given; of them also those that come later.
  void set(std::optional<std::uint16_t> port, std::optional<std::uint32_t> group, AnaState state);
  // A listener that is gone.
  void forget(std::uint16_t port);
  // Grows with every change that the group has seen over that listener; and with any change at all.
  std::uint64_t changes(std::uint16_t port, std::uint32_t group) const {
    return effective(port, group).order;
  }
  std::uint64_t all_changes() const { return changes_; }
  void count_change() { ++changes_; }  // one that is not of a state: which namespace is where

 private:
  struct Setting {
    AnaState state = AnaState::kOptimized;
    std::uint64_t order = 0;
  };
  // The last setting that applies.
  Setting effective(std::uint16_t port, std::uint32_t group) const;

  std::map<std::pair<std::uint16_t, std::uint32_t>, Setting> settings_;
  std::uint64_t changes_ = 0;
};

struct AnaGroup {
  std::uint32_t id = 0;
  AnaState state = AnaState::kOptimized;
  std::uint64_t changes = 0;
  std::vector<std::uint32_t> namespaces;  // ascending
};
// `groups` ascending; `brief`: without the ids of namespaces.
std::vector<std::uint8_t> store_ana_log(std::uint64_t changes, const std::vector<AnaGroup>& groups,
                                        bool brief);
// kInvalidArgument when the page ends before what it announces.
Result<std::vector<AnaGroup>> load_ana_log(ByteView page);

}  // namespace capstan::storage::nvme
