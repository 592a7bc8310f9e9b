// Why this file exists: see os_bad_pages.h. A signal handler knows nothing but globals, so the
// table of mappings is one; it has no pointer that anybody could free while the handler looks at
// it.
#include "core/os_bad_pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>

namespace capstan::core {

namespace {

constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::size_t kMappingsMax = 512;
constexpr std::size_t kPagesMax = 32;  // noted one by one; beyond that all of the mapping is bad

// One mapping. `end` is 0 while the others change, so that a look at [begin, end) that finds the
// same begin afterwards has seen one mapping.
struct Mapping {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0}, end{0};
  std::atomic<const std::string*> path{nullptr};
  std::array<std::atomic<std::uintptr_t>, kPagesMax> pages{};
  std::atomic<bool> all{false};

  bool holds(std::uintptr_t address) const {
    while (true) {
      const std::uintptr_t from = begin.load(), to = end.load();
      if (begin.load() == from) return to != 0 && address >= from && address < to;
    }
  }
  void note(std::uintptr_t page) {
    for (auto& known : pages) {
      std::uintptr_t free = 0;
      if (known.compare_exchange_strong(free, page) || free == page) return;
    }
    all.store(true);
  }
  std::optional<std::uintptr_t> first_bad(std::uintptr_t from, std::uintptr_t to) const {
    if (all.load()) return from;
    std::optional<std::uintptr_t> first;
    for (const auto& known : pages) {
      const std::uintptr_t page = known.load();
      if (page == 0 || page >= to || page + kPageBytes <= from) continue;
      first = first ? std::min(*first, page) : page;
    }
    return first;
  }
};

std::array<Mapping, kMappingsMax> mappings;
std::atomic<std::uint64_t> bad_pages{0};  // ever noted
struct sigaction previous;

void forward(int signal, const siginfo_t& info) {
  sigaction(signal, &previous, nullptr);
  if (info.si_code <= 0) raise(signal);  // sent by somebody; else it happens again by itself
}

void handle(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const std::uintptr_t page = address & ~(kPageBytes - 1);
  bool done = false;
  for (auto& mapping : mappings) {
    if (info->si_code <= 0 || !mapping.holds(address)) continue;
    mapping.note(page);
    bad_pages.fetch_add(1);
    // Not mmap(): the sanitizers' version of it is not for signal handlers.
    done = syscall(SYS_mmap, page, kPageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                   -1, 0) == static_cast<long>(page);
    break;
  }
  if (!done) forward(signal, *info);
  errno = saved;
}

bool install() {
  syscall(SYS_getpid);  // a sanitizer looks its syscall() up at the first call: not in the handler
  struct sigaction action{};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &previous) == 0;
}

}  // namespace

Result<std::unique_ptr<MappedFile>> MappedFile::add(const std::uint8_t* data, std::uint64_t size,
                                                    std::string path) {
  static const bool installed = install();
  if (!installed) return fail(Code::kInternal, "the handler of SIGBUS cannot be installed");
  for (std::size_t place = 0; place < mappings.size(); ++place) {
    Mapping& mapping = mappings[place];
    if (mapping.taken.exchange(true)) continue;
    std::unique_ptr<MappedFile> made(new MappedFile(place, std::move(path)));
    for (auto& page : mapping.pages) page.store(0);
    mapping.all.store(false);
    mapping.path.store(&made->path_);
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    mapping.begin.store(begin);
    mapping.end.store(begin + size);
    return made;
  }
  return fail(Code::kResourceExhausted, std::to_string(kMappingsMax) +
                                            " files are mapped already; close stores or let go "
                                            "of values of files that were replaced");
}

MappedFile::~MappedFile() {
  Mapping& mapping = mappings[place_];
  mapping.end.store(0);
  mapping.path.store(nullptr);
  mapping.taken.store(false);
}

Result<void> check_readable(ByteView bytes) {
  // What was read of a page of zeros was read after its note was made.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (bad_pages.load(std::memory_order_relaxed) == 0 || bytes.empty()) return {};
  const auto from = reinterpret_cast<std::uintptr_t>(bytes.data());
  for (const auto& mapping : mappings) {
    if (!mapping.holds(from)) continue;
    const auto bad = mapping.first_bad(from, from + bytes.size());
    if (!bad) return {};
    const std::uintptr_t begin = mapping.begin.load();
    return fail(Code::kDataLoss,
                "'" + *mapping.path.load() + "' cannot be read at byte " +
                    std::to_string(*bad - begin) +
                    "; look at the disk, and restore the file from a copy",
                EIO);
  }
  return {};
}

void touch(ByteView bytes) {
  const auto* const data = const_cast<const volatile std::uint8_t*>(bytes.data());
  const std::size_t to_next =
      kPageBytes - (reinterpret_cast<std::uintptr_t>(bytes.data()) & (kPageBytes - 1));
  for (std::size_t at = 0; at < bytes.size(); at = at == 0 ? to_next : at + kPageBytes) {
    static_cast<void>(data[at]);
  }
}

}  // namespace capstan::core
