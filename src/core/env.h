// Why this file exists: the only door to clock, random, files and network. UringEnv is real, SimEnv
// is deterministic; everything above takes an Env& and cannot tell which. Nothing outside of
// core/uring_* and core/os_* may call the operating system for any of this (tools/tidy).
//
// Lifetimes: a buffer given to an operation must stay valid until the awaited operation returns.
// Operations end early with kCancelled after cancel() on their object, still through their await.
// Thread-safety: every object belongs to the core on which it was made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "core/cancel.h"
#include "core/reactor.h"
#include "core/task.h"

namespace capstan::core {

// --- files -------------------------------------------------------------------------------------

struct OpenOptions {
  bool write = false;
  bool create = false;  // create when missing (mode 0600)
  // With create: fail when the file exists. Without: fail with EBUSY when another process (or, on a
  // block device, also a mount) has opened it exclusively.
  bool exclusive = false;
  bool truncate = false;
  bool direct = false;  // O_DIRECT where the file supports it; FileInfo says what was got
};

struct FileInfo {
  std::uint64_t size_bytes = 0;
  bool is_block_device = false;
  bool direct = false;  // buffers, offsets and lengths must be alignment_bytes aligned
  std::uint32_t alignment_bytes = 1;
  std::uint32_t logical_block_bytes = 512;
  std::uint32_t physical_block_bytes = 512;
  bool volatile_cache = true;  // false: a completed write is durable without sync_data()
  bool discard = true;         // deallocate() is supported
  bool unlinked = false;       // a regular file that no name leads to any more
};

// The bytes of a regular file as memory, read-only, at an address that does not change. What a
// completed write put into the file is there, also behind the end that the file had when it was
// mapped. Reading behind the file's end kills the process. Outlives the File it came from; may be
// read and destroyed on any thread.
class FileMap {
 public:
  virtual ~FileMap() = default;
  const std::uint8_t* data() const { return data_; }
  std::uint64_t capacity_bytes() const { return capacity_bytes_; }

 protected:
  FileMap(const std::uint8_t* data, std::uint64_t capacity_bytes)
      : data_(data), capacity_bytes_(capacity_bytes) {}

 private:
  const std::uint8_t* data_;
  std::uint64_t capacity_bytes_;
};

class File {
 public:
  virtual ~File() = default;
  virtual const FileInfo& info() const = 0;
  // Re-reads the size (a disk that grew) and returns the new info.
  virtual Result<FileInfo> refresh() = 0;
  // Reads until `into` is full or the file ends; returns the bytes read.
  virtual Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) = 0;
  virtual Task<Result<void>> write(std::uint64_t offset, ByteView from) = 0;
  // Everything completed before this call is on stable storage afterwards.
  virtual Task<Result<void>> sync_data() = 0;
  // Gives the range back; it reads as zeros afterwards on files, as anything on block devices.
  virtual Task<Result<void>> deallocate(std::uint64_t offset, std::uint64_t length) = 0;
  // The range reads as zeros afterwards; storage may be given back.
  virtual Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) = 0;
  virtual Task<Result<void>> truncate(std::uint64_t size) = 0;

  // Maps the first `capacity_bytes` of a regular file, which may still be shorter; costs address
  // space only.
  virtual Result<std::shared_ptr<FileMap>> map(std::uint64_t capacity_bytes);
  // Writes a small piece to a regular file on the spot, as a copy into the page cache: several
  // times cheaper than write() and as durable. False: not here and now, use write().
  virtual Result<bool> write_cached(std::uint64_t offset, ByteView from);
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) = 0;
  virtual Task<Result<void>> rename(std::string from, std::string to) = 0;
  virtual Task<Result<void>> remove(std::string path) = 0;  // missing: kNotFound
  virtual Task<Result<void>> make_directories(std::string path) = 0;
  virtual Task<Result<std::vector<std::string>>> list(std::string path) = 0;
  virtual Task<Result<void>> sync_directory(std::string path) = 0;

  // Whole small files (at most `limit_bytes`), built from the above.
  Task<Result<std::string>> read_file(std::string path, std::size_t limit_bytes);
  // Replaces `path` so that after a crash either the old or the new content is there, durable
  // when the call returns: temporary file, sync, rename, sync of the directory.
  Task<Result<void>> replace_file(std::string path, std::string content);
};

// --- network -----------------------------------------------------------------------------------

struct Address {
  enum class Kind { kTcp, kUnix } kind = Kind::kTcp;
  std::string host;        // kTcp: numeric IPv4 or IPv6 (no name lookup here)
  std::uint16_t port = 0;  // kTcp; 0 when listening = any free port
  std::string path;        // kUnix
  static Address tcp(std::string host, std::uint16_t port) {
    return {Kind::kTcp, std::move(host), port, {}};
  }
  static Address unix_path(std::string path) { return {Kind::kUnix, {}, 0, std::move(path)}; }
  std::string text() const;  // "1.2.3.4:5", "[::1]:5", "unix:/path"
};
inline constexpr std::size_t kSocketPathBytesMax = 107;  // of Linux's sockaddr_un

struct PeerInfo {
  std::string address;                         // Address::text() of the other side
  std::optional<std::uint32_t> uid, gid, pid;  // Unix sockets: SO_PEERCRED
  std::string listener = {};     // Address::text() of where it was accepted; else empty
  std::string tls_subject = {};  // of the verified client certificate (RFC 2253); else empty
  std::string jwt_subject = {};  // of the verified token; else empty
};

// A byte stream: TCP or Unix SOCK_STREAM. One read and one write may be in flight at a time.
class Stream {
 public:
  static constexpr std::size_t kPiecesMax = 16;

  virtual ~Stream() = default;  // no operation may be in flight
  virtual const PeerInfo& peer() const = 0;
  // At least one byte, or 0 at the end of the stream.
  virtual Task<Result<std::size_t>> read(MutableBytes into) = 0;
  // The same without waiting, so that nobody keeps a large buffer for what may never come: nothing
  // when there is nothing yet. Not while a read is in flight.
  virtual Result<std::optional<std::size_t>> read_now(MutableBytes into) = 0;
  // All bytes, or an error.
  virtual Task<Result<void>> write(ByteView from) = 0;
  // The same of pieces (at most kPiecesMax), one behind the other, gathered from where they lie.
  // The list lives until it returns, too. Unless a stream knows better: one write after another.
  virtual Task<Result<void>> write_pieces(std::span<const ByteView> pieces);
  // The same for pieces that `owner` keeps, unchanged. It is let go on this core once nothing is
  // sent from them any more: perhaps long after the write has returned, or the stream has gone. A
  // stream that goes before resets its connection.
  virtual Task<Result<void>> write_kept(std::span<const ByteView> pieces,
                                        std::shared_ptr<const void> owner);
  // From so many bytes on write_kept() spares the kernel a copy. Changes as the stream learns
  // whether its network can do that; SIZE_MAX: it cannot.
  virtual std::size_t kept_bytes() const { return SIZE_MAX; }
  virtual void shutdown_write() = 0;
  // Operations in flight and all later ones end with kCancelled.
  virtual void cancel() = 0;
};

// A sequence of packets: Unix SOCK_SEQPACKET. One send and one receive may be in flight. The parts
// of an operation, and the span that names them, live until it returns; at most kPartsMax.
class PacketSocket {
 public:
  static constexpr std::size_t kPartsMax = 8;

  virtual ~PacketSocket() = default;
  virtual const PeerInfo& peer() const = 0;
  // Scatters the next packet over the parts, in order, and answers its size; nothing at the end of
  // the connection (an empty packet looks the same). A packet larger than the parts together is
  // lost and answered with kOutOfRange; no other failure has that code.
  virtual Task<Result<std::optional<std::size_t>>> receive(std::span<const MutableBytes> parts) = 0;
  Task<Result<std::optional<std::size_t>>> receive(MutableBytes into);
  // One packet gathered from the parts. What the socket's buffer can never hold fails with
  // EMSGSIZE and leaves the connection usable.
  virtual Task<Result<void>> send(std::span<const ByteView> parts) = 0;
  // Asks for a buffer that holds a packet of `bytes`; the operating system may grant less.
  virtual void reserve_send(std::size_t bytes) = 0;
  // Whether the other side has closed (not just ended its sending): nobody reads what is sent.
  virtual bool peer_gone() const = 0;
  virtual int native_handle() const { return -1; }  // the descriptor, -1 where there is none
  virtual void cancel() = 0;
};

template <class Socket>
class Listener {
 public:
  virtual ~Listener() = default;
  virtual const Address& local() const = 0;  // with the real port
  virtual Task<Result<std::unique_ptr<Socket>>> accept() = 0;
  virtual void cancel() = 0;
};
using StreamListener = Listener<Stream>;
using PacketListener = Listener<PacketSocket>;

// What listening does when something exists at the path of a Unix socket. Only sockets are ever
// removed: a file, directory or link is an error under every policy.
enum class ExistingPath : std::uint8_t {
  kFail,          // anything there is an error and stays as it is
  kReplaceStale,  // a socket that nobody listens on is replaced
  kUnlinkFirst,   // a socket is replaced whoever listens on it
};

struct ListenOptions {
  std::uint32_t mode = 0600;  // permissions of the socket file, whatever the umask; not 0
  ExistingPath existing = ExistingPath::kFail;
};

class Network {
 public:
  virtual ~Network() = default;
  // `options` are for Unix paths (1 to 107 bytes). A path or port that is taken is kAlreadyExists
  // with EADDRINUSE when somebody listens there, with EEXIST when it is not for us to remove. The
  // listener's destructor removes the socket file if it is still the one it made.
  virtual Result<std::unique_ptr<StreamListener>> listen(const Address& address,
                                                         const ListenOptions& options) = 0;
  virtual Result<std::unique_ptr<PacketListener>> listen_packets(const Address& address,
                                                                 const ListenOptions& options) = 0;
  Result<std::unique_ptr<StreamListener>> listen(const Address& address) {
    return listen(address, ListenOptions());
  }
  Result<std::unique_ptr<PacketListener>> listen_packets(const Address& address) {
    return listen_packets(address, ListenOptions());
  }
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Address address, CancelToken token) = 0;
  virtual Task<Result<std::unique_ptr<PacketSocket>>> connect_packets(Address address,
                                                                      CancelToken token) = 0;
};

// --- the door ----------------------------------------------------------------------------------

class Env {
 public:
  virtual ~Env() = default;
  virtual std::uint64_t wall_clock_ns() const = 0;  // since the Unix epoch
  virtual void fill_random(MutableBytes out) = 0;
  virtual FileSystem& files() = 0;
  virtual Network& network() = 0;
  virtual unsigned cores() const = 0;
  virtual Reactor& reactor(unsigned core) = 0;

  Uuid random_uuid();
};

// Runs `function` on another core and comes back with its result. The function, its Task and its
// result's parts must not refer to objects of the calling core.
template <class T>
Task<T> on(Reactor& target, std::move_only_function<Task<T>()> function);

}  // namespace capstan::core

#include "core/on.inl.h"
