// Why this file exists: names and their journal, see sim_files.h.
#include "core/sim_files.h"

#include <algorithm>
#include <ranges>

#include "core/sim_env.h"

namespace capstan::core {

namespace {

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

constexpr std::uint64_t kTraceNames = 100;

}  // namespace

SimFileSystem::SimFileSystem(SimWorld& world, SimPower& power, Disks& disks)
    : world_(world), power_(power), disks_(disks) {
  power_.add(*this);
}

SimFileSystem::~SimFileSystem() {
  power_.remove(*this);
}

bool SimFileSystem::Step::in(const std::string& directory) const {
  return (!remove.empty() && parent_of(remove) == directory) ||
         (!add.empty() && parent_of(add) == directory);
}

void SimFileSystem::apply(Names& names, const Step& step) {
  if (!step.remove.empty()) names.erase(step.remove);
  if (!step.add.empty()) names[step.add] = step.inode;
}

void SimFileSystem::record(Step step) {
  apply(names_, step);
  journal_.push_back(std::move(step));
}

Task<Result<void>> SimFileSystem::perform() {
  const auto epoch = power_.epoch();
  CO_TRY(power_.check(epoch, "file system"));
  world_.trace(kTraceNames, journal_.size());
  power_.count_io();
  co_await world_.reactor().delay(world_.random().between(1'000, 100'000));
  CO_TRY(power_.check(epoch, "file system"));
  co_return Result<void>{};
}

Result<std::unique_ptr<File>> SimFileSystem::open_disk(SimDisk& disk, const std::string& path,
                                                       OpenOptions options) {
  if (options.exclusive && disk.opens() != 0) {
    return fail_errno(EBUSY, "open '" + path + "'");
  }
  return disk.open(options, nullptr);
}

Task<Result<std::unique_ptr<File>>> SimFileSystem::open(std::string path, OpenOptions options) {
  CO_TRY(co_await perform());
  if (const auto disk = disks_.find(path); disk != disks_.end()) {
    co_return open_disk(*disk->second, path, options);
  }
  if (directories_.contains(path)) {
    co_return fail_errno(EISDIR, "open '" + path + "'");
  }
  auto found = names_.find(path);
  if (found == names_.end()) {
    if (!options.create || !directories_.contains(parent_of(path))) {
      co_return fail_errno(ENOENT, "open '" + path + "'");
    }
    SimDiskOptions content;
    content.max_latency = 100'000;
    record(
        {{}, path, std::make_shared<SimDisk>(world_, power_, path, SimDisk::Kind::kFile, content)});
    found = names_.find(path);
  } else if (options.create && options.exclusive) {
    co_return fail_errno(EEXIST, "open '" + path + "'");
  }
  Inode inode = found->second;
  auto file = inode->open(options, inode);
  if (options.truncate && options.write) CO_TRY(co_await file->truncate(0));
  co_return std::move(file);
}

Task<Result<void>> SimFileSystem::rename(std::string from, std::string to) {
  CO_TRY(co_await perform());
  const auto found = names_.find(from);
  if (found == names_.end() || !directories_.contains(parent_of(to))) {
    co_return fail_errno(ENOENT, "rename '" + from + "' to '" + to + "'");
  }
  record({from, to, found->second});
  co_return Result<void>{};
}

// As on a real one, also folders that are empty; they are gone at once and for good.
Task<Result<void>> SimFileSystem::remove(std::string path) {
  CO_TRY(co_await perform());
  if (directories_.contains(path)) {
    const auto within = [&path](const std::string& name) { return parent_of(name) == path; };
    const bool empty = std::ranges::none_of(directories_, within) &&
                       std::ranges::none_of(names_ | std::views::keys, within);
    if (!empty) co_return fail_errno(ENOTEMPTY, "remove '" + path + "'");
    directories_.erase(path);
    co_return Result<void>{};
  }
  if (!names_.contains(path)) co_return fail_errno(ENOENT, "remove '" + path + "'");
  record({path, {}, nullptr});
  co_return Result<void>{};
}

Task<Result<void>> SimFileSystem::make_directories(std::string path) {
  path = without_slash(std::move(path));
  CO_TRY(co_await perform());
  for (std::string part = path;; part = parent_of(part)) {
    if (names_.contains(part)) co_return fail_errno(ENOTDIR, "make directory '" + path + "'");
    directories_.insert(part);
    if (part == "/") break;
  }
  co_return Result<void>{};
}

Task<Result<std::vector<std::string>>> SimFileSystem::list(std::string path) {
  path = without_slash(std::move(path));
  CO_TRY(co_await perform());
  if (!directories_.contains(path)) co_return fail_errno(ENOENT, "list '" + path + "'");
  const auto prefix = path == "/" ? path : path + "/";
  std::set<std::string> entries;
  for (const auto& [name, inode] : names_) {
    if (parent_of(name) == path) entries.insert(name.substr(prefix.size()));
  }
  for (const auto& name : directories_) {
    if (name != "/" && parent_of(name) == path) entries.insert(name.substr(prefix.size()));
  }
  co_return std::vector<std::string>(entries.begin(), entries.end());
}

Task<Result<void>> SimFileSystem::sync_directory(std::string path) {
  path = without_slash(std::move(path));
  if (!directories_.contains(path)) co_return fail_errno(ENOENT, "sync '" + path + "'");
  const std::size_t covered = journal_.size();
  CO_TRY(co_await perform());
  // A journal is written in order, so everything before the last step of this directory comes
  // along.
  std::size_t last = 0;
  for (std::size_t i = 0; i < std::min(covered, journal_.size()); ++i) {
    if (journal_[i].in(path)) last = i + 1;
  }
  for (; last != 0; --last) {
    apply(durable_, journal_.front());
    journal_.pop_front();
  }
  co_return Result<void>{};
}

void SimFileSystem::power_failed(SimPower::Cut cut) {
  if (cut == SimPower::Cut::kKill) return;
  const auto kept = world_.random().below(journal_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(durable_, journal_[i]);
  journal_.clear();
  names_ = durable_;
}

}  // namespace capstan::core
