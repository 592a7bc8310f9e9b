// Why this file exists: see node_state.h.
#include "services/node_state.h"

#include <google/protobuf/util/json_util.h>

#include "base/limits.h"
#include "services/restore_limits.h"

namespace capstan::services {

namespace json = google::protobuf::util;

namespace {
constexpr std::uint32_t kVersion = 1;

// What the parser says of it, without the piece of the file that it quotes in further lines.
std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

// Says since when the file is in use, while it is.
class Busy {
 public:
  explicit Busy(std::optional<core::Nanos>& since) : since_(since) {
    since_ = core::Reactor::current()->now();
  }
  ~Busy() { since_.reset(); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::optional<core::Nanos>& since_;
};
}  // namespace

NodeState::NodeState(core::Env& env, std::string directory)
    : env_(env), directory_(std::move(directory)) {}

std::string NodeState::trouble() const {
  const core::Nanos now = core::Reactor::current()->now();
  if (!busy_since_ || now < *busy_since_ + limits::kStateStalledNanos) return {};
  return "node state '" + path() + "' could not be read or written for " +
         std::to_string((now - *busy_since_) / core::kSecond) +
         " s: its disk does not answer, and whatever has to be recorded waits for it; look after "
         "the disk of the state directory";
}

core::Task<Result<void>> NodeState::load() {
  if (!persistent()) co_return {};
  const Busy busy(busy_since_);
  auto made = co_await env_.files().make_directories(directory_);
  if (!made) {
    co_return std::unexpected(
        std::move(made).error().within("state directory '" + directory_ + "'"));
  }
  auto text = co_await env_.files().read_file(path(), limits::kNodeStateBytes);
  if (!text) {
    if (text.error().code == Code::kNotFound) co_return {};
    co_return std::unexpected(std::move(text).error().within("node state"));
  }
  node::v1::NodeState state;
  json::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed = json::JsonStringToMessage(*text, &state, options);
  if (!parsed.ok()) {
    co_return fail(Code::kDataLoss, "node state '" + path() + "' is damaged (" +
                                        first_line(std::string(parsed.message())) +
                                        "); repair it, or move it away to start with no pools");
  }
  if (state.version() != kVersion) {
    co_return fail(Code::kFailedPrecondition,
                   "node state '" + path() + "' has version " + std::to_string(state.version()) +
                       ", this program knows version " + std::to_string(kVersion) +
                       "; use the program that wrote it");
  }
  for (auto& record : *state.mutable_pools()) pools_[record.name()] = std::move(record);
  co_return {};
}

core::Task<Result<void>> NodeState::put(node::v1::PoolRecord record) {
  // Calls on one pool follow each other, so nobody else is changing this record: one that stands
  // does not wait for others that are being written, perhaps to a disk that hangs.
  const auto known = pools_.find(record.name());
  if (known != pools_.end() && known->second.SerializeAsString() == record.SerializeAsString()) {
    co_return {};
  }
  const auto guard = co_await writing_.lock();
  Pools pools = pools_;
  pools[record.name()] = std::move(record);
  co_return co_await replace(std::move(pools));
}

core::Task<Result<void>> NodeState::remove(std::string name) {
  const auto guard = co_await writing_.lock();
  Pools pools = pools_;
  if (pools.erase(name) == 0) co_return {};
  co_return co_await replace(std::move(pools));
}

core::Task<Result<void>> NodeState::replace(Pools pools) {
  if (persistent()) {
    node::v1::NodeState state;
    state.set_version(kVersion);
    for (const auto& [name, record] : pools) *state.add_pools() = record;
    json::JsonPrintOptions options;
    options.add_whitespace = true;
    options.preserve_proto_field_names = true;
    std::string text;
    const auto printed = json::MessageToJsonString(state, &text, options);
    if (!printed.ok()) {
      co_return fail(Code::kInternal,
                     "node state cannot be written as JSON: " + std::string(printed.message()));
    }
    const Busy busy(busy_since_);
    auto written = co_await env_.files().replace_file(path(), std::move(text));
    if (!written) {
      co_return std::unexpected(
          std::move(written).error().within("record in node state '" + path() + "'"));
    }
  }
  pools_ = std::move(pools);
  co_return {};
}

}  // namespace capstan::services
