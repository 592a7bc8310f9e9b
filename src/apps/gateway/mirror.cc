// Why this file exists: see mirror.h.
#include "apps/gateway/mirror.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace capstan::gateway {

using model::StateModel;
using What = StateModel::What;

namespace {

bool read_number(std::string_view text, std::uint64_t& number) {
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  return !text.empty() && read.ec == std::errc() && read.ptr == end;
}

struct Revision {
  std::uint64_t epoch = 0, rev = 0;
};

std::optional<Revision> read_revision(std::string_view text) {
  const auto dash = text.find('-');
  Revision read;
  if (dash == std::string_view::npos || !read_number(text.substr(0, dash), read.epoch) ||
      !read_number(text.substr(dash + 1), read.rev)) {
    return std::nullopt;
  }
  return read;
}

}  // namespace

Mirror::~Mirror() {
  model_.break_off({Code::kUnavailable, 0, "the gateway stops", {}});
}

bool Mirror::follows(const monitor::v1::StateChange& change) const {
  return epoch_ != 0 && change.epoch() == epoch_ && change.base_rev() == model_.rev() &&
         change.rev() >= model_.rev();
}

void Mirror::put_objects(const monitor::v1::StateChange& change) {
  for (const auto& pool : change.pools()) {
    model_.put({What::kPool, pool.name()},
               {.pool = std::make_shared<const mayastor::v1::Pool>(pool)});
  }
  for (const auto& replica : change.replicas()) {
    model_.put({What::kReplica, replica.uuid()},
               {.replica = std::make_shared<const mayastor::v1::Replica>(replica)});
  }
  if (!change.has_progress()) return;
  model_.put({What::kProgress, {}},
             {.progress = std::make_shared<const monitor::v1::Bootstrapped>(change.progress())});
}

Result<void> Mirror::apply(const monitor::v1::StateChange& change) {
  if (change.full()) {
    epoch_ = change.epoch();
    model_.pin(change.rev());
    model_.begin_look(true);
    put_objects(change);
    model_.end_look();
  } else if (follows(change)) {
    model_.pin(change.rev());
    put_objects(change);
    for (const auto& name : change.removed_pools()) model_.remove({What::kPool, name});
    for (const auto& uuid : change.removed_replicas()) model_.remove({What::kReplica, uuid});
  } else {
    Error error{Code::kDataLoss,
                0,
                "the node went on from " + model::revision_text(change.epoch(), change.base_rev()) +
                    ", the mirror was at " + revision() + "; it is built anew",
                {}};
    lose(error);
    epoch_ = 0;
    model_.clear();
    return std::unexpected(std::move(error));
  }
  in_sync_ = settled_ = true;
  return {};
}

void Mirror::lose(const Error& why) {
  in_sync_ = false;
  model_.break_off({Code::kUnavailable,
                    0,
                    "the gateway does not follow the node any more: " + why.text() +
                        "; begin again, it is asked itself until then",
                    {}});
}

bool Mirror::knows_progress() const {
  return model_.objects().contains({What::kProgress, {}});
}

std::string Mirror::since() const {
  return epoch_ == 0 ? std::string() : revision();
}

void Mirror::expect_change(std::string_view rev) {
  const auto told = read_revision(rev);
  if (!told) {
    settled_ = false;
  } else if (told->epoch != awaited_epoch_) {
    awaited_epoch_ = told->epoch;
    awaited_rev_ = told->rev;
  } else {
    awaited_rev_ = std::max(awaited_rev_, told->rev);
  }
}

bool Mirror::serves(std::string_view min_rev) const {
  if (!in_sync_ || !settled_) return false;
  if (awaited_epoch_ == epoch_ && awaited_rev_ > rev()) return false;
  if (min_rev.empty()) return true;
  const auto least = read_revision(min_rev);
  return least && least->epoch == epoch_ && least->rev <= rev();
}

Result<std::unique_ptr<Mirror::Subscription>> Mirror::subscribe(std::set<What> kinds) {
  if (!in_sync_) return fail(Code::kUnavailable, "the gateway is not in sync with the node");
  return model_.subscribe(std::move(kinds));
}

}  // namespace capstan::gateway
