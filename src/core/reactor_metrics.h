// Why this file exists: what every core of a node is doing, in one registry on the core that
// answers questions. A core's counters belong to it, so they are fetched by message; the metrics
// show them as of the last refresh().
// Thread-safety: one core, any. `env` and `metrics` outlive this.
#pragma once

#include <vector>

#include "core/env.h"
#include "core/metrics.h"

namespace capstan::core {

class ReactorMetrics {
 public:
  // Registers reactor_*{core="0"}, {core="1"} … of all cores.
  ReactorMetrics(Env& env, Metrics& metrics);
  ReactorMetrics(const ReactorMetrics&) = delete;
  ReactorMetrics& operator=(const ReactorMetrics&) = delete;

  // Asks every core; a core that is busy answers late.
  Task<void> refresh();
  // By core, as of the last refresh().
  const std::vector<Reactor::Counters>& counters() const { return counters_; }

 private:
  void publish(unsigned core, Metrics& metrics);

  Env& env_;
  std::vector<Reactor::Counters> counters_;
  std::vector<Metrics::Handle> handles_;
};

}  // namespace capstan::core
