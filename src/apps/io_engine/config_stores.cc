// Why this file exists: see config_stores.h.
#include "apps/io_engine/config_stores.h"

#include <set>

#include "base/duration_text.h"
#include "base/limits.h"

namespace capstan::apps {

namespace {

constexpr std::uint64_t kIntervalMin = 1'000'000;  // 1 ms

std::unexpected<Error> wrong(const std::string& what) {
  return fail(Code::kInvalidArgument, what);
}

Result<storage::kv::StoreOptions> read_policy(const Settings& settings) {
  using storage::kv::Durability;
  storage::kv::StoreOptions options;
  options.verify_reads = settings.on("kv-verify");
  const std::string policy = settings.text("kv-sync");
  if (policy == "none") return options;
  if (policy == "each") {
    options.durability = Durability::kEach;
    return options;
  }
  const auto interval = parse_duration(policy);
  if (!interval || *interval < kIntervalMin) {
    return wrong("option --kv-sync: '" + policy +
                 "' is no policy. Give none, each, or a time of at least 1ms as in 100ms");
  }
  options.durability = Durability::kInterval;
  options.interval = *interval;
  return options;
}

}  // namespace

Result<std::vector<services::StoreConfig>> read_stores(const Settings& settings) {
  TRY_SET(const auto options, read_policy(settings));
  std::vector<services::StoreConfig> stores;
  std::set<std::string> names, paths;
  for (const std::string& text : settings.at("kv").values) {
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const std::string path = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (name.empty() || path.empty() || name.find('/') != std::string::npos) {
      return wrong("option --kv: '" + text +
                   "' is no store. Write NAME=PATH, as in main=/var/lib/capstan/main.kv");
    }
    if (!names.insert(name).second || !paths.insert(path).second) {
      return wrong("option --kv: '" + text + "' has the name or the file of another store");
    }
    stores.push_back({name, path, options});
  }
  if (stores.size() > limits::kKvStoresMax) {
    return wrong("option --kv: " + std::to_string(stores.size()) + " stores; at most " +
                 std::to_string(limits::kKvStoresMax) + " can be opened");
  }
  return stores;
}

}  // namespace capstan::apps
