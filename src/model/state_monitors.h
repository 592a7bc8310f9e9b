// Why this file exists: the streams of MonitorRpc that follow a StateModel, wherever it is kept:
// the node serves its own, a gateway the same ones from its mirror to any number of clients.
// Lifetimes: the source outlives the monitors, those the calls of the directory. Thread-safety: one
// core.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "model/state_model.h"
#include "monitor/monitor.pb.h"
#include "rpc/directory.h"
#include "rpc/shared_message.h"

namespace capstan::model {

class StateSource {
 public:
  using Subscription = StateModel::Subscription;
  using What = StateModel::What;
  using Event = StateModel::Event;
  virtual ~StateSource() = default;
  virtual Result<std::unique_ptr<Subscription>> subscribe(std::set<What> kinds) = 0;
  virtual std::uint64_t epoch() const = 0;
  virtual std::uint64_t rev() const = 0;
};

class StateMonitors {
 public:
  explicit StateMonitors(StateSource& source) : source_(source) {}

  template <class Message>
  using Sink = rpc::Sink<Message>;
  using Done = core::Task<Result<void>>;

  // Ends when the node is ready.
  Done bootstrapped(rpc::Call& call, const monitor::v1::MonitorBootstrappedRequest& request,
                    Sink<monitor::v1::Bootstrapped> sink);
  Done pools(rpc::Call& call, const monitor::v1::MonitorPoolsRequest& request,
             rpc::SharedAnswers<monitor::v1::PoolChange> answers);
  Done replicas(rpc::Call& call, const monitor::v1::MonitorReplicasRequest& request,
                rpc::SharedAnswers<monitor::v1::ReplicaChange> answers);
  Done state(rpc::Call& call, const monitor::v1::MonitorStateRequest& request,
             Sink<monitor::v1::StateChange> sink);

 private:
  using What = StateModel::What;
  using Change = StateModel::Change;
  using Told = std::shared_ptr<const rpc::SharedMessage>;
  Told told(What kind, const Change& change);

  StateSource& source_;
  // What was told last: all who watch are told the same, mostly at the same time.
  What newest_kind_ = What::kPool;
  Change newest_;
  Told told_;
};

// The state of Bootstrapped after which it does not change any more.
inline constexpr std::string_view kReadyState = "ready";

// "<epoch>-<rev>": how a revision is named in `since` and in x-rev.
std::string revision_text(std::uint64_t epoch, std::uint64_t rev);

}  // namespace capstan::model
