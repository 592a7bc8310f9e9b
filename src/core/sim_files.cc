// Why this file exists: names and their journal, see sim_files.h.
#include "core/sim_files.h"

#include <algorithm>
#include <cerrno>
#include <limits>
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
constexpr std::uint32_t kSimMajor = 259;  // a number that the kernel gives to disks

}  // namespace

BlockNumber sim_block_number(const std::string& path) {
  std::uint32_t hash = 0x811C9DC5U;
  for (const char c : path) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x01000193U;
  return {kSimMajor, hash & 0xFFFFFU};
}

// The kernel's messages to one listener.
class SimFileSystem::Messages final : public KernelMessages {
 public:
  explicit Messages(SimFileSystem& files) : files_(files) { files_.listeners_.insert(this); }
  ~Messages() override { files_.listeners_.erase(this); }
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  Task<Result<std::size_t>> next(MutableBytes into) override {
    while (waiting_.empty() && !cancelled_) co_await changed_.wait();
    if (cancelled_) co_return fail(Code::kCancelled, "no longer listening to the kernel");
    const std::vector<std::uint8_t> message = std::move(waiting_.front());
    waiting_.pop_front();
    if (message.empty()) {
      co_return fail(Code::kResourceExhausted, "messages of the kernel were lost", ENOBUFS);
    }
    const std::size_t size = std::min(message.size(), into.size());
    std::copy_n(message.begin(), size, into.begin());
    co_return size;
  }
  void cancel() override {
    cancelled_ = true;
    changed_.notify_all();
  }
  void offer(ByteView message) {
    waiting_.emplace_back(message.begin(), message.end());
    changed_.notify_all();
  }

 private:
  SimFileSystem& files_;
  std::deque<std::vector<std::uint8_t>> waiting_;
  bool cancelled_ = false;
  Event changed_;
};

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
    if (pulled_.contains(path)) co_return fail_errno(ENXIO, "open '" + path + "'");
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

Result<std::unique_ptr<KernelMessages>> SimFileSystem::listen_kernel() {
  if (refuses_listening_) return fail_errno(EPERM, "listen to messages of the kernel");
  return std::make_unique<Messages>(*this);
}

std::optional<bool> SimFileSystem::is_there(BlockNumber number) const {
  return std::ranges::any_of(disks_ | std::views::keys, [&](const std::string& path) {
    return sim_block_number(path) == number && !pulled_.contains(path);
  });
}

void SimFileSystem::pull(const std::string& path) {
  const auto disk = disks_.find(path);
  CAPSTAN_ASSERT(disk != disks_.end());
  using Kind = SimFault::Kind;
  for (const Kind kind : {Kind::kRead, Kind::kWrite, Kind::kSync, Kind::kDeallocate}) {
    SimFault gone{.kind = kind, .sys_errno = ENXIO};
    gone.times = std::numeric_limits<std::uint64_t>::max();
    disk->second->inject(gone);
  }
  pulled_.insert(path);
  announce(as_bytes(message_about(path, "remove")));
}

void SimFileSystem::announce(ByteView message) {
  for (Messages* listener : listeners_) listener->offer(message);
}

std::string SimFileSystem::message_about(const std::string& path, const std::string& action,
                                         const std::string& more) {
  const BlockNumber number = sim_block_number(path);
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string where = "/devices/virtual/block/" + name;
  std::string out = action + "@" + where + '\0' + "ACTION=" + action + '\0' + "DEVPATH=" + where +
                    '\0' + "SUBSYSTEM=block" + '\0' + "MAJOR=" + std::to_string(number.major) +
                    '\0' + "MINOR=" + std::to_string(number.minor) + '\0' + "DEVNAME=" + name +
                    '\0' + "DEVTYPE=disk" + '\0' + "SEQNUM=1" + '\0';
  if (!more.empty()) out += more + '\0';
  return out;
}

void SimFileSystem::power_failed(SimPower::Cut cut) {
  if (cut == SimPower::Cut::kKill) return;
  const auto kept = world_.random().below(journal_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(durable_, journal_[i]);
  journal_.clear();
  names_ = durable_;
}

}  // namespace capstan::core
