// Why this file exists: a simulated machine whose files fail, or stop, at one operation that a test
// chooses, for the tests of stores.
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/sim_env.h"
#include "core/sync.h"

namespace capstan::storage::kv {

// Counts the changing operations of the files below it and fails one of them.
struct Plan {
  std::uint64_t count = 0, fail_at = 0;
  bool full = false;        // the disk: nothing can be written, everything else works
  std::string failed = {};  // which one did, as "sync /store"
  Result<void> next(std::string what) {
    if (++count != fail_at) return {};
    failed = std::move(what);
    return fail_errno(ENOSPC, "planned fault");
  }
};

// Stops one operation until the test lets it go on.
struct Hold {
  std::string what;   // as "write /store"
  unsigned skip = 0;  // so many of them pass
  core::Event reached, released;
  core::Task<void> pass(std::string operation) {
    if (operation != what || skip-- != 0) co_return;
    what.clear();
    reached.set();
    co_await released.wait();
  }
};

class FaultyFile final : public core::File {
 public:
  FaultyFile(std::unique_ptr<core::File> file, std::string path, Plan& plan, Hold& hold)
      : file_(std::move(file)), path_(std::move(path)), plan_(plan), hold_(hold) {}
  const core::FileInfo& info() const override { return file_->info(); }
  Result<core::FileInfo> refresh() override { return file_->refresh(); }
  core::Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    CO_TRY(plan_.next("read " + path_));
    co_return co_await file_->read(offset, into);
  }
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override {
    co_await hold_.pass("write " + path_);
    auto planned = plan_.next("write " + path_);
    if (plan_.full) planned = fail_errno(ENOSPC, "planned");
    if (!planned) {  // half of it arrived
      (void)co_await file_->write(offset, from.first(from.size() / 2));
      co_return planned;
    }
    co_return co_await file_->write(offset, from);
  }
  core::Task<Result<void>> sync_data() override {
    co_await hold_.pass("sync " + path_);
    CO_TRY(plan_.next("sync " + path_));
    co_return co_await file_->sync_data();
  }
  core::Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) override {
    return file_->deallocate(offset, length);
  }
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
    return file_->write_zeroes(offset, length);
  }
  core::Task<Result<void>> truncate(std::uint64_t size) override {
    CO_TRY(plan_.next("truncate " + path_));
    co_return co_await file_->truncate(size);
  }
  Result<std::shared_ptr<core::FileMap>> map(std::uint64_t capacity) override {
    TRY(plan_.next("map " + path_));
    return file_->map(capacity);
  }
  Result<bool> write_cached(std::uint64_t offset, ByteView from) override {
    TRY(plan_.next("write_cached " + path_));
    if (plan_.full) return fail_errno(ENOSPC, "planned");
    return file_->write_cached(offset, from);  // the simulated one has no cache to write to
  }

 private:
  std::unique_ptr<core::File> file_;
  std::string path_;
  Plan& plan_;
  Hold& hold_;
};

class FaultyFiles final : public core::FileSystem {
 public:
  FaultyFiles(core::FileSystem& files, Plan& plan, Hold& hold)
      : files_(files), plan_(plan), hold_(hold) {}
  core::Task<Result<std::unique_ptr<core::File>>> open(std::string path,
                                                       core::OpenOptions options) override {
    CO_TRY(plan_.next("open " + path));
    CO_TRY_SET(auto file, co_await files_.open(path, options));
    co_return std::make_unique<FaultyFile>(std::move(file), path, plan_, hold_);
  }
  core::Task<Result<void>> rename(std::string from, std::string to) override {
    co_await hold_.pass("rename " + from);
    CO_TRY(plan_.next("rename " + from));
    co_return co_await files_.rename(std::move(from), std::move(to));
  }
  core::Task<Result<void>> remove(std::string path) override {
    co_await hold_.pass("remove " + path);
    CO_TRY(plan_.next("remove " + path));
    co_return co_await files_.remove(std::move(path));
  }
  core::Task<Result<void>> make_directories(std::string path) override {
    return files_.make_directories(std::move(path));
  }
  core::Task<Result<std::vector<std::string>>> list(std::string path) override {
    return files_.list(std::move(path));
  }
  core::Task<Result<void>> sync_directory(std::string path) override {
    co_await hold_.pass("sync_directory " + path);
    CO_TRY(plan_.next("sync_directory " + path));
    co_return co_await files_.sync_directory(std::move(path));
  }

 private:
  core::FileSystem& files_;
  Plan& plan_;
  Hold& hold_;
};

class FaultyEnv final : public core::Env {
 public:
  explicit FaultyEnv(core::SimEnv& env) : env_(env), files_(env.files(), plan, hold) {}
  std::uint64_t wall_clock_ns() const override { return env_.wall_clock_ns(); }
  void fill_random(MutableBytes out) override { env_.fill_random(out); }
  core::FileSystem& files() override { return files_; }
  core::Network& network() override { return env_.network(); }
  unsigned cores() const override { return 1; }
  core::Reactor& reactor(unsigned core) override { return env_.reactor(core); }
  Plan plan;
  Hold hold;

 private:
  core::SimEnv& env_;
  FaultyFiles files_;
};

}  // namespace capstan::storage::kv
