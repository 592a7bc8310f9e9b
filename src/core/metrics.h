// Why this file exists: metrics are fields of the objects they measure: a plain counter is added
// to, a handle registers how to read it and unregisters in its destructor. The registry writes
// Prometheus text (prometheus.io exposition format 0.0.4).
// Thread-safety: one registry per core; the node reads all of them by message.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <utility>
#include <vector>

namespace capstan::core {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Metrics {
 public:
  enum class Kind { kCounter, kGauge, kSummary };
  struct Entry {
    std::string name, help;
    Kind kind;
    Labels labels;
    std::function<double()> read;        // of a summary: the sum
    std::function<double()> count = {};  // of a summary alone
  };

  class Handle {
   public:
    Handle() = default;
    Handle(Metrics* owner, std::list<Entry>::iterator entry) : owner_(owner), entry_(entry) {}
    Handle(Handle&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), entry_(other.entry_) {}
    Handle& operator=(Handle&& other) noexcept;
    ~Handle() { release(); }
    void release();

   private:
    Metrics* owner_ = nullptr;
    std::list<Entry>::iterator entry_;
  };

  // `name` without the "capstan_" prefix; a counter's name ends in "_total". Only names that others
  // have given (http-rpc section 18), which begin with "storage_", get no prefix.
  [[nodiscard]] Handle add(Kind kind, std::string name, std::string help, Labels labels,
                           std::function<double()> read);
  // Two samples, <name>_sum and <name>_count.
  [[nodiscard]] Handle add_summary(std::string name, std::string help, Labels labels,
                                   std::function<double()> sum, std::function<double()> count);
  const std::list<Entry>& entries() const { return entries_; }
  std::string prometheus_text() const;

 private:
  std::list<Entry> entries_;
};

}  // namespace capstan::core
