// Why this file exists: see lane.h.
#include "storage/nvme/lane.h"

#include <utility>

#include "storage/nvme/away.h"

namespace capstan::storage::nvme {

namespace {
constexpr std::size_t kUsualLetters = 32;  // of one message; more make it grow
}  // namespace

Lane::Lane(core::Reactor& home, core::Reactor& there, unsigned core)
    : home_(home), there_(there), core_(core), to_there_(there), to_home_(home) {}

Lane::~Lane() = default;

void Lane::Direction::write(Letter letter) {
  if (letters_.empty()) {
    letters_.reserve(kUsualLetters);
    if (!wake_.is_set()) wake_.set();
  }
  letters_.push_back(letter);
}

void Lane::Direction::flush() {
  if (letters_.empty()) return;
  to_.post([letters = std::exchange(letters_, {})] {
    for (const Letter& letter : letters) letter.away->deliver(letter);
  });
}

// Runs again once whatever is ready in a turn has run: that is when the turn's letters leave.
core::Task<bool> Lane::Direction::run() {
  core::name_task("nvme lane");
  while (true) {
    flush();
    if (closing_) co_return true;
    wake_.reset();
    co_await wake_.wait();
  }
}

void Lane::Direction::close() {
  closing_ = true;
  wake_.set();
}

core::Task<void> Lane::run_home() {
  static_cast<void>(co_await to_there_.run());
}

core::Task<void> Lane::run() {
  core::Scope scope;
  scope.spawn(run_home());
  static_cast<void>(co_await core::on<bool>(there_, [this] { return to_home_.run(); }));
  co_await scope.join();
}

void Lane::close() {
  to_there_.close();
  there_.post([this] { to_home_.close(); });
}

}  // namespace capstan::storage::nvme
