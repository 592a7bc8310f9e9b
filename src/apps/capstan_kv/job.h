// Why this file exists: what a command of capstan-kv works with, and the ways in which it reports:
// a sentence or JSON for the answer, a percentage on a terminal while something takes long.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "apps/capstan_kv/invocation.h"
#include "core/env.h"
#include "storage/kv/store.h"

namespace capstan::apps {

using KvDone = core::Task<Result<void>>;

struct KvJob {
  core::Env& env;
  storage::kv::Store& store;
  KvInvocation call;

  const std::string& word(std::size_t at) const { return call.words[at]; }
};

void kv_print(const std::string& line);
// Whether everything that was printed has left: an error when it was lost.
Result<void> kv_printed();
// {"name": value, …}; the values are JSON already.
using KvFields = std::initializer_list<std::pair<const char*, std::string>>;
std::string kv_json(KvFields fields);
std::string kv_json_text(std::string_view text);
// What a change answers: a sentence for people, the tail of the file as JSON.
void kv_report(const KvJob& job, const std::string& sentence, std::uint64_t tail);

// The share that is done, on standard error when that is a terminal; gone when destroyed.
class KvProgress {
 public:
  explicit KvProgress(const KvJob& job);
  ~KvProgress();
  KvProgress(const KvProgress&) = delete;
  KvProgress& operator=(const KvProgress&) = delete;
  // `total` 0: not known, then the megabytes are shown.
  void update(std::uint64_t done, std::uint64_t total);

 private:
  bool shown_;
  std::string last_;
};

// Copies a value in and out (value_files.cc).
core::Task<Result<std::uint64_t>> kv_write_value(KvJob& job);
KvDone kv_read_value(KvJob& job, storage::kv::Value value);

}  // namespace capstan::apps
