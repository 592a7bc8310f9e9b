// Why this file exists: files and block devices through io_uring. O_DIRECT is used when asked and
// possible; the alignment it needs comes from statx (STATX_DIOALIGN) or, on older file systems,
// from the logical block size of the disk below. deallocate() and write_zeroes() are
// fallocate(2), which the kernel also implements for block devices.
#include "core/uring_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/block_events.h"
#include "core/buffer.h"
#include "core/file_names.h"
#include "core/os_map.h"
#include "core/os_uevents.h"
#include "core/untorn.h"
#include "core/uring_reactor.h"

namespace capstan::core {

namespace {

constexpr std::size_t kMaxTransfer = 1U << 30;  // one kernel request
constexpr int kLinksMax = 40;                   // as the kernel has it

UringReactor& ring() {
  return static_cast<UringReactor&>(*Reactor::current());
}

// What sysfs says of a disk or partition; nothing when it does not know it.
std::string disk_attribute(dev_t device, const std::string& name) {
  std::ifstream in("/sys/dev/block/" + std::to_string(major(device)) + ":" +
                   std::to_string(minor(device)) + "/" + name);
  std::string line;
  std::getline(in, line);
  return line;
}

// A number from the queue directory of the disk that holds `device`, or `fallback`. A partition
// has its queue one level up.
std::string queue_attribute(dev_t device, const char* name) {
  for (const char* queue : {"queue/", "../queue/"}) {
    std::string line = disk_attribute(device, queue + std::string(name));
    if (!line.empty()) return line;
  }
  return {};
}

std::uint32_t queue_number(dev_t device, const char* name, std::uint32_t fallback) {
  const std::string text = queue_attribute(device, name);
  const unsigned long value = std::strtoul(text.c_str(), nullptr, 10);
  return value == 0 ? fallback : static_cast<std::uint32_t>(value);
}

Result<FileInfo> inspect(int fd, bool direct) {
  struct stat st{};
  if (fstat(fd, &st) != 0) return fail_errno(errno, "stat");
  FileInfo info;
  info.direct = direct;
  if (S_ISBLK(st.st_mode)) {
    info.is_block_device = true;
    std::uint64_t bytes = 0;
    int logical = 512;
    unsigned physical = 512;
    if (ioctl(fd, BLKGETSIZE64, &bytes) != 0) return fail_errno(errno, "read the disk's size");
    ioctl(fd, BLKSSZGET, &logical);
    ioctl(fd, BLKPBSZGET, &physical);
    info.size_bytes = bytes;
    info.logical_block_bytes = static_cast<std::uint32_t>(logical);
    const std::string offset = disk_attribute(st.st_rdev, "alignment_offset");
    info.physical_block_bytes = untorn_bytes({info.logical_block_bytes, physical, offset, 0});
    info.volatile_cache = queue_attribute(st.st_rdev, "write_cache") != "write through";
    info.discard = queue_number(st.st_rdev, "discard_max_bytes", 0) != 0;
  } else if (S_ISREG(st.st_mode)) {
    info.size_bytes = static_cast<std::uint64_t>(st.st_size);
    info.unlinked = st.st_nlink == 0;
    info.logical_block_bytes = queue_number(st.st_dev, "logical_block_size", 512);
    const std::uint32_t physical = queue_number(st.st_dev, "physical_block_size", 512);
    const std::string offset = disk_attribute(st.st_dev, "alignment_offset");
    struct statfs fs{};
    if (fstatfs(fd, &fs) != 0) return fail_errno(errno, "look at the file system");
    info.physical_block_bytes = untorn_bytes(
        {info.logical_block_bytes, physical, offset, static_cast<std::uint32_t>(fs.f_bsize)});
  } else {
    return fail(Code::kInvalidArgument, "neither a regular file nor a block device", EINVAL);
  }
  if (direct) {
    struct statx sx{};
    info.alignment_bytes = info.logical_block_bytes;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN)) {
      if (sx.stx_dio_offset_align != 0) {
        info.alignment_bytes = std::max(sx.stx_dio_offset_align, sx.stx_dio_mem_align);
      }
    }
  }
  return info;
}

class UringFileMap final : public FileMap {
 public:
  explicit UringFileMap(MemoryMap memory)
      : FileMap(memory.data(), memory.size()), memory_(std::move(memory)) {}

 private:
  MemoryMap memory_;
};

class UringFile final : public File, public BlockNode {
 public:
  UringFile(int fd, FileInfo info, std::string path)
      : fd_(fd), info_(info), path_(std::move(path)) {}
  ~UringFile() override {
    flock(fd_, LOCK_UN);  // a map of the file that lives on must not keep the lock
    close(fd_);
  }

  const FileInfo& info() const override { return info_; }

  std::optional<BlockNumber> block_number() const override {
    struct stat st{};
    if (!info_.is_block_device || fstat(fd_, &st) != 0) return std::nullopt;
    return BlockNumber{major(st.st_rdev), minor(st.st_rdev)};
  }

  Result<FileInfo> refresh() override {
    auto fresh = inspect(fd_, info_.direct);
    if (!fresh) return std::unexpected(std::move(fresh.error()).within("file '" + path_ + "'"));
    info_ = *fresh;
    return info_;
  }

  Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      UringOp op;
      const auto length = static_cast<unsigned>(std::min(into.size() - done, kMaxTransfer));
      io_uring_prep_read(ring().prepare(op), fd_, into.data() + done, length, offset + done);
      ring().hand_over();
      const int rc = co_await op;
      if (rc == -EINTR || rc == -EAGAIN) continue;
      if (rc < 0) co_return fail_errno(-rc, "read '" + path_ + "'");
      if (rc == 0) break;
      done += static_cast<std::size_t>(rc);
    }
    co_return done;
  }

  Task<Result<void>> write(std::uint64_t offset, ByteView from) override {
    std::size_t done = 0;
    while (done < from.size()) {
      UringOp op;
      const auto length = static_cast<unsigned>(std::min(from.size() - done, kMaxTransfer));
      io_uring_prep_write(ring().prepare(op), fd_, from.data() + done, length, offset + done);
      ring().hand_over();
      const int rc = co_await op;
      if (rc == -EINTR || rc == -EAGAIN) continue;
      if (rc < 0) co_return fail_errno(-rc, "write '" + path_ + "'");
      if (rc == 0) co_return fail(Code::kInternal, "write '" + path_ + "': no progress", EIO);
      done += static_cast<std::size_t>(rc);
    }
    co_return Result<void>();
  }

  Task<Result<void>> sync_data() override {
    UringOp op;
    io_uring_prep_fsync(ring().prepare(op), fd_, IORING_FSYNC_DATASYNC);
    const int rc = co_await op;
    if (rc < 0) co_return fail_errno(-rc, "sync '" + path_ + "'");
    co_return Result<void>();
  }

  Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) override {
    co_return co_await allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  }

  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
    // A hole in a regular file reads as zeros and keeps it sparse; a disk is told to zero.
    const int mode = info_.is_block_device ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    auto done = co_await allocate(mode | FALLOC_FL_KEEP_SIZE, offset, length);
    if (done || done.error().sys_errno != EOPNOTSUPP) co_return done;
    const Buffer zeros =
        Buffer::zeroed(static_cast<std::size_t>(std::min<std::uint64_t>(length, 1U << 20)));
    for (std::uint64_t at = 0; at < length; at += zeros.size()) {
      const auto part = std::min<std::uint64_t>(zeros.size(), length - at);
      CO_TRY(co_await write(offset + at, zeros.view().first(static_cast<std::size_t>(part))));
    }
    co_return Result<void>();
  }

  Task<Result<void>> truncate(std::uint64_t size) override {
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) {
      co_return fail_errno(errno, "resize '" + path_ + "'");
    }
    info_.size_bytes = size;
    co_return Result<void>();
  }

  Result<std::shared_ptr<FileMap>> map(std::uint64_t capacity_bytes) override {
    auto memory = MemoryMap::of_file(fd_, capacity_bytes, path_);
    if (!memory) return std::unexpected(std::move(memory.error()).within("file '" + path_ + "'"));
    return std::make_shared<UringFileMap>(*std::move(memory));
  }

  Result<bool> write_cached(std::uint64_t offset, ByteView from) override {
    if (info_.direct || info_.is_block_device) return false;
    while (!from.empty()) {
      const ssize_t rc = pwrite(fd_, from.data(), from.size(), static_cast<off_t>(offset));
      if (rc < 0 && errno == EINTR) continue;
      if (rc < 0) return fail_errno(errno, "write '" + path_ + "'");
      if (rc == 0) return fail(Code::kInternal, "write '" + path_ + "': no progress", EIO);
      offset += static_cast<std::uint64_t>(rc);
      from = from.subspan(static_cast<std::size_t>(rc));
    }
    return true;
  }

 private:
  Task<Result<void>> allocate(int mode, std::uint64_t offset, std::uint64_t length) {
    int rc = -EINTR;
    while (rc == -EINTR) {  // a long one may be interrupted; what is done is done twice
      UringOp op;
      io_uring_prep_fallocate(ring().prepare(op), fd_, mode, static_cast<off_t>(offset),
                              static_cast<off_t>(length));
      rc = co_await op;
    }
    if (rc < 0) co_return fail_errno(-rc, "deallocate or zero a range of '" + path_ + "'");
    co_return Result<void>();
  }

  int fd_;
  FileInfo info_;
  std::string path_;
};

class UringFileSystem final : public FileSystem, public FileNames, public BlockEvents {
 public:
  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) override {
    int flags = O_CLOEXEC | (options.write ? O_RDWR : O_RDONLY);
    if (options.create) flags |= O_CREAT;
    if (options.exclusive) flags |= O_EXCL;
    if (options.truncate) flags |= O_TRUNC;
    bool direct = options.direct;
    int fd = co_await open_fd(path, flags | (direct ? O_DIRECT : 0));
    if (fd == -EINVAL && direct) {  // tmpfs and others: buffered then
      direct = false;
      fd = co_await open_fd(path, flags);
    }
    if (fd < 0) co_return fail_errno(-fd, "open '" + path + "'");
    auto info = inspect(fd, direct);
    if (!info) {
      close(fd);
      co_return std::unexpected(std::move(info.error()).within("open '" + path + "'"));
    }
    // O_EXCL keeps a second user off a block device; on regular files a lock does, and it dies with
    // the process that holds it.
    if (options.exclusive && !options.create && !info->is_block_device &&
        flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int err = errno == EWOULDBLOCK ? EBUSY : errno;
      close(fd);
      co_return fail_errno(err, "open '" + path + "' for this process alone");
    }
    co_return std::make_unique<UringFile>(fd, *info, std::move(path));
  }

  Task<Result<void>> rename(std::string from, std::string to) override {
    UringOp op;
    io_uring_prep_renameat(ring().prepare(op), AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0);
    const int rc = co_await op;
    if (rc < 0) co_return fail_errno(-rc, "rename '" + from + "' to '" + to + "'");
    co_return Result<void>();
  }

  // Folders, too, when nothing is in them.
  Task<Result<void>> remove(std::string path) override {
    int rc = co_await unlink_at(path, 0);
    if (rc == -EISDIR) rc = co_await unlink_at(path, AT_REMOVEDIR);
    if (rc < 0) co_return fail_errno(-rc, "remove '" + path + "'");
    co_return Result<void>();
  }

  Task<Result<void>> make_directories(std::string path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) co_return fail_errno(error.value(), "make directory '" + path + "'");
    co_return Result<void>();
  }

  Task<Result<std::vector<std::string>>> list(std::string path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
         it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) co_return fail_errno(error.value(), "list directory '" + path + "'");
    std::ranges::sort(names);
    co_return names;
  }

  Task<Result<void>> sync_directory(std::string path) override {
    const int fd = co_await open_fd(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) co_return fail_errno(-fd, "open directory '" + path + "'");
    UringOp op;
    io_uring_prep_fsync(ring().prepare(op), fd, 0);
    const int rc = co_await op;
    close(fd);
    if (rc < 0) co_return fail_errno(-rc, "sync directory '" + path + "'");
    co_return Result<void>();
  }

  Result<std::string> resolve(std::string path) override {
    for (int links = 0; links < kLinksMax; ++links) {
      char real[PATH_MAX];
      if (realpath(path.c_str(), real)) return std::string(real);
      if (errno != ENOENT) return fail_errno(errno, "resolve '" + path + "'");
      // Nothing there: the folder at least must be.
      const auto slash = path.rfind('/');
      const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
      if (!realpath(folder.c_str(), real)) return fail_errno(errno, "resolve '" + folder + "'");
      const std::string found(real);
      const std::string here = (found == "/" ? "" : found) + "/" +
                               (slash == std::string::npos ? path : path.substr(slash + 1));
      const ssize_t got = readlink(here.c_str(), real, sizeof real);
      if (got < 0) return here;  // no link: simply missing
      const std::string target(real, static_cast<std::size_t>(got));
      path = target.starts_with('/') ? target : found + "/" + target;
    }
    return fail_errno(ELOOP, "resolve '" + path + "'");
  }

  Result<std::unique_ptr<KernelMessages>> listen_kernel() override { return listen_uevents(); }
  std::optional<bool> is_there(BlockNumber number) const override { return sysfs_has(number); }

  Result<void> copy_access(const std::string& from, const std::string& to) override {
    struct stat st{};
    if (stat(from.c_str(), &st) != 0) return fail_errno(errno, "look at '" + from + "'");
    // Only root may give files away; a group of one's own may be set by anybody.
    if (chown(to.c_str(), st.st_uid, st.st_gid) != 0) {
      const int ignored = chown(to.c_str(), static_cast<uid_t>(-1), st.st_gid);
      static_cast<void>(ignored);
    }
    if (chmod(to.c_str(), st.st_mode & 07777U) != 0) {
      return fail_errno(errno, "set the permissions of '" + to + "'");
    }
    return {};
  }

 private:
  static Task<int> open_fd(const std::string& path, int flags) {
    UringOp op;
    io_uring_prep_openat(ring().prepare(op), AT_FDCWD, path.c_str(), flags, 0600);
    co_return co_await op;
  }
  static Task<int> unlink_at(const std::string& path, int flags) {
    UringOp op;
    io_uring_prep_unlinkat(ring().prepare(op), AT_FDCWD, path.c_str(), flags);
    co_return co_await op;
  }
};

}  // namespace

std::unique_ptr<FileSystem> make_uring_files() {
  return std::make_unique<UringFileSystem>();
}

}  // namespace capstan::core
