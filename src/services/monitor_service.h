// Why this file exists: MonitorRpc, the streams by which clients follow the node's state
// (state_feed.h) and its counters. Thread-safety: core 0. The engine outlives the service, the
// service the calls of the directory.
#pragma once

#include <set>
#include <string>

#include "monitor/monitor.pb.h"
#include "rpc/directory.h"
#include "services/engine.h"
#include "services/state_feed.h"

namespace capstan::services {

class MonitorService {
 public:
  explicit MonitorService(Engine& engine) : engine_(engine), feed_(engine), state_(feed_) {}

  template <class Message>
  using Sink = rpc::Sink<Message>;
  using Done = core::Task<Result<void>>;

  Done stats(rpc::Call& call, const monitor::v1::MonitorStatsRequest& request,
             Sink<monitor::v1::StatsSample> sink);
  model::StateMonitors& state() { return state_; }  // all but the counters
  StateFeed& feed() { return feed_; }

 private:
  monitor::v1::StatsSample sample(const std::set<std::string>& what) const;

  Engine& engine_;
  StateFeed feed_;
  model::StateMonitors state_;
};

Result<void> bind_monitor(rpc::Directory& directory, MonitorService& service);

}  // namespace capstan::services
