// Why this file exists: see reactor_metrics.h.
#include "core/reactor_metrics.h"

#include <tuple>

namespace capstan::core {

static Task<Reactor::Counters> own_counters() {
  co_return Reactor::current()->counters();
}

ReactorMetrics::ReactorMetrics(Env& env, Metrics& metrics) : env_(env), counters_(env.cores()) {
  for (unsigned core = 0; core < env.cores(); ++core) publish(core, metrics);
}

void ReactorMetrics::publish(unsigned core, Metrics& metrics) {
  using Counters = Reactor::Counters;
  const std::tuple<const char*, const char*, std::uint64_t Counters::*> fields[] = {
      {"reactor_turns_total", "Turns of the loop", &Counters::turns},
      {"reactor_resumed_total", "Coroutines resumed", &Counters::resumed},
      {"reactor_sleeps_total", "Times the core went to sleep", &Counters::sleeps},
      {"reactor_spins_total", "Times the core looked for work before sleeping", &Counters::spins},
      {"reactor_spin_hits_total", "Times that found work", &Counters::spin_hits},
      {"reactor_stalls_total", "Tasks that held the core too long", &Counters::stalls},
      {"reactor_preempted_total", "Times the system took the core away for long",
       &Counters::preempted},
  };
  const Labels labels = {{"core", std::to_string(core)}};
  for (const auto& [name, help, field] : fields) {
    handles_.push_back(metrics.add(
        Metrics::Kind::kCounter, name, help, labels,
        [this, core, member = field] { return static_cast<double>(counters_[core].*member); }));
  }
  handles_.push_back(metrics.add(
      Metrics::Kind::kCounter, "reactor_busy_seconds_total", "Time spent working", labels,
      [this, core] { return static_cast<double>(counters_[core].busy_ns) / 1e9; }));
}

Task<void> ReactorMetrics::refresh() {
  for (unsigned core = 0; core < env_.cores(); ++core) {
    Reactor& reactor = env_.reactor(core);
    if (&reactor == Reactor::current()) {
      counters_[core] = reactor.counters();
    } else {
      counters_[core] = co_await on<Reactor::Counters>(reactor, own_counters);
    }
  }
}

}  // namespace capstan::core
