// Why this file exists: the node's state as a gateway knows it, fed by MonitorRpc/MonitorState, and
// the rules by which it may be shown: only while it is known to be the node's, and never older than
// a client asks for.
//
// An element is applied before anybody is told. A gap (another epoch, or an element that does not
// follow the one we have) drops the model. While the link is down nothing is shown and those who
// watch are broken off, because nobody could tell them what they miss. After a write that went
// through this gateway lists are asked of the node until the mirror has got to the revision that
// came with the write's answer, or, where none came, has heard of the node again, so that whoever
// wrote sees what they wrote.
// Source: http-rpc section 20.6.
// Thread-safety: one core. Subscriptions end before the mirror does.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "model/state_monitors.h"
#include "monitor/monitor.pb.h"

namespace capstan::gateway {

class Mirror final : public model::StateSource {
 public:
  ~Mirror() override;

  // The next element. kDataLoss: something is missing, subscribe anew (since() is empty then).
  Result<void> apply(const monitor::v1::StateChange& change);
  // The link is down: breaks off everybody with `why`.
  void lose(const Error& why);
  // What to subscribe with.
  std::string since() const;

  bool in_sync() const { return in_sync_; }
  // Whether a read may be answered from here; `min_rev`: "<epoch>-<rev>" that it must have seen,
  // empty: any. What cannot be read cannot be promised.
  bool serves(std::string_view min_rev) const;
  // Whether this node tells how far it is in opening its pools.
  bool knows_progress() const;
  // A write went through; `rev`: "<epoch>-<rev>" that has its effect, empty when nobody said.
  void expect_change(std::string_view rev);

  // kUnavailable while it is not in sync.
  Result<std::unique_ptr<Subscription>> subscribe(std::set<What> kinds) override;
  std::uint64_t epoch() const override { return epoch_; }
  std::uint64_t rev() const override { return model_.rev(); }
  std::string revision() const { return model::revision_text(epoch_, rev()); }
  const model::StateModel& model() const { return model_; }

 private:
  bool follows(const monitor::v1::StateChange& change) const;
  void put_objects(const monitor::v1::StateChange& change);

  model::StateModel model_;
  std::uint64_t epoch_ = 0;  // 0: nothing is known
  bool in_sync_ = false, settled_ = false;
  std::uint64_t awaited_epoch_ = 0, awaited_rev_ = 0;  // of the newest write; another epoch has it
};

}  // namespace capstan::gateway
