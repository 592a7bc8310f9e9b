// Why this file exists: see ana.h.
#include "storage/nvme/ana.h"

#include <array>
#include <string>

#include "base/bytes.h"

namespace capstan::storage::nvme {

namespace {

constexpr std::size_t kHeaderBytes = 16, kDescriptorBytes = 32;
constexpr std::uint16_t kAnyPort = 0;  // listeners count from 1, and so do groups
constexpr std::uint32_t kAnyGroup = 0;

struct Name {
  AnaState state;
  std::string_view name;
};
constexpr std::array<Name, 5> kNames = {{{AnaState::kOptimized, "optimized"},
                                         {AnaState::kNonOptimized, "non_optimized"},
                                         {AnaState::kInaccessible, "inaccessible"},
                                         {AnaState::kPersistentLoss, "persistent_loss"},
                                         {AnaState::kChange, "change"}}};

}  // namespace

std::string_view ana_state_name(AnaState state) {
  for (const auto& each : kNames) {
    if (each.state == state) return each.name;
  }
  return "unknown";
}

std::optional<AnaState> parse_ana_state(std::string_view name) {
  for (const auto& each : kNames) {
    if (each.name == name) return each.state;
  }
  return std::nullopt;
}

Status ana_status(AnaState state) {
  switch (state) {
    case AnaState::kInaccessible: return status::kAnaInaccessible;
    case AnaState::kPersistentLoss: return status::kAnaPersistentLoss;
    case AnaState::kChange: return status::kAnaTransition;
    default: return status::kSuccess;
  }
}

AnaStates::Setting AnaStates::effective(std::uint16_t port, std::uint32_t group) const {
  Setting last;
  if (settings_.empty()) return last;
  for (const std::uint16_t at : {port, kAnyPort}) {
    for (const std::uint32_t of : {group, kAnyGroup}) {
      const auto found = settings_.find({at, of});
      if (found != settings_.end() && found->second.order >= last.order) last = found->second;
    }
  }
  return last;
}

void AnaStates::set(std::optional<std::uint16_t> port, std::optional<std::uint32_t> group,
                    AnaState state) {
  const std::uint16_t at = port.value_or(kAnyPort);
  const std::uint32_t of = group.value_or(kAnyGroup);
  // What is more special and older has no say any more.
  std::erase_if(settings_, [&](const auto& setting) {
    return (at == kAnyPort || setting.first.first == at) &&
           (of == kAnyGroup || setting.first.second == of);
  });
  settings_[{at, of}] = {state, ++changes_};
}

void AnaStates::forget(std::uint16_t port) {
  std::erase_if(settings_, [&](const auto& setting) { return setting.first.first == port; });
}

std::vector<std::uint8_t> store_ana_log(std::uint64_t changes, const std::vector<AnaGroup>& groups,
                                        bool brief) {
  std::vector<std::uint8_t> page(kHeaderBytes);
  store_le(page.data(), changes);
  store_le(page.data() + 8, static_cast<std::uint16_t>(groups.size()));
  for (const auto& group : groups) {
    const std::size_t at = page.size(), ids = brief ? 0 : group.namespaces.size();
    page.resize(at + kDescriptorBytes + 4 * ids);
    std::uint8_t* to = page.data() + at;
    store_le(to, group.id);
    store_le(to + 4, static_cast<std::uint32_t>(ids));
    store_le(to + 8, group.changes);
    to[16] = static_cast<std::uint8_t>(group.state);
    for (std::size_t i = 0; i < ids; ++i) {
      store_le(to + kDescriptorBytes + 4 * i, group.namespaces[i]);
    }
  }
  return page;
}

Result<std::vector<AnaGroup>> load_ana_log(ByteView page) {
  const auto cut = [] {
    return fail(Code::kInvalidArgument, "an ANA log page that ends before what it announces");
  };
  if (page.size() < kHeaderBytes) return cut();
  const std::size_t count = load_le<std::uint16_t>(page.data() + 8);
  page = page.subspan(kHeaderBytes);
  std::vector<AnaGroup> groups;
  for (std::size_t i = 0; i < count; ++i) {
    if (page.size() < kDescriptorBytes) return cut();
    AnaGroup group{load_le<std::uint32_t>(page.data()),
                   static_cast<AnaState>(page[16] & 0xF),
                   load_le<std::uint64_t>(page.data() + 8),
                   {}};
    const std::size_t ids = load_le<std::uint32_t>(page.data() + 4);
    page = page.subspan(kDescriptorBytes);
    if (page.size() / 4 < ids) return cut();
    for (std::size_t each = 0; each < ids; ++each) {
      group.namespaces.push_back(load_le<std::uint32_t>(page.data() + 4 * each));
    }
    page = page.subspan(4 * ids);
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace capstan::storage::nvme
