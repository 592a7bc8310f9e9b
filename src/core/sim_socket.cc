// Why this file exists: how bytes travel over a simulated connection, see sim_socket.h.
#include "core/sim_socket.h"

#include <algorithm>

#include "core/sim_env.h"

namespace capstan::core {

namespace {

constexpr std::uint64_t kTraceSend = 300;

// Marks an end as busy with one direction while it lives.
class Busy {
 public:
  explicit Busy(bool& flag) : flag_(flag) {
    CAPSTAN_ASSERT(!flag_);  // one read and one write at a time
    flag_ = true;
  }
  ~Busy() { flag_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& flag_;
};

}  // namespace

SimConnection::SimConnection(SimNetworkHub& hub, std::string host0, std::string host1,
                             bool unix_socket)
    : hub_(hub), hosts_{std::move(host0), std::move(host1)}, unix_socket_(unix_socket) {}

std::size_t SimConnection::room(unsigned end) const {
  const auto window = hub_.options().window_bytes;
  const auto queued = pipes_[end].queued;
  return queued >= window ? 0 : window - queued;
}

void SimConnection::send(unsigned end, std::vector<std::uint8_t> bytes, bool last) {
  auto& pipe = pipes_[end];
  auto& world = hub_.world();
  const auto& options = hub_.options();
  world.trace(kTraceSend + end, bytes.size(), last);
  const unsigned share = unix_socket_ ? 10 : 1;
  const Nanos now = world.reactor().read_clock();
  const Nanos latency =
      world.random().between(options.min_latency / share, options.max_latency / share);
  const Nanos sending = bytes.size() * kSecond / options.bytes_per_second;
  pipe.busy_until = std::max(pipe.busy_until, now + latency) + sending;
  pipe.queued += bytes.size();
  carried_ += bytes.size();
  pipe.on_the_way.push_back(Segment{pipe.busy_until, std::move(bytes), 0, last});
  world.reactor().after(pipe.busy_until - now, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->pump();
  });
  if (reset_at_ != 0 && carried_ >= reset_at_) reset();
}

void SimConnection::pump() {
  if (!unix_socket_ && hub_.partitioned(hosts_[0], hosts_[1])) return;
  const Nanos now = hub_.world().reactor().read_clock();
  for (unsigned end = 0; end < 2; ++end) {
    auto& pipe = pipes_[end];
    bool moved = false;
    while (!pipe.on_the_way.empty() && pipe.on_the_way.front().due <= now) {
      pipe.arrived.push_back(std::move(pipe.on_the_way.front()));
      pipe.on_the_way.pop_front();
      moved = true;
    }
    if (moved) changed_[1 - end].notify_all();
  }
}

void SimConnection::close(unsigned end) {
  if (!pipes_[end].ended) {
    pipes_[end].ended = true;
    if (broken_[end] == 0) send(end, {}, true);
  }
  pipes_[1 - end].abandoned = true;
  changed_[1 - end].notify_all();
}

void SimConnection::break_end(unsigned end, int err) {
  if (broken_[end] != 0) return;
  broken_[end] = err;
  auto& incoming = pipes_[1 - end];
  incoming.arrived.clear();
  incoming.on_the_way.clear();
  changed_[end].notify_all();
}

Result<void> SimEnd::check() const {
  if (cancelled_) return fail(Code::kCancelled, "connection to " + peer_.address + " cancelled");
  if (const int err = connection_->broken(end_)) {
    return fail_errno(err, "connection to " + peer_.address);
  }
  return {};
}

void SimEnd::cancel() {
  cancelled_ = true;
  connection_->changed(end_).notify_all();
}

Task<Result<bool>> SimEnd::readable() {
  const Busy busy(reading_);
  auto& pipe = connection_->towards(end_);
  while (true) {
    CO_TRY(check());
    if (!pipe.arrived.empty()) co_return !pipe.arrived.front().last;
    co_await connection_->changed(end_).wait();
  }
}

Result<std::optional<bool>> SimEnd::readable_now() const {
  CAPSTAN_ASSERT(!reading_);
  TRY(check());
  const auto& pipe = connection_->towards(end_);
  if (pipe.arrived.empty()) return std::optional<bool>();
  return std::optional<bool>(!pipe.arrived.front().last);
}

Task<Result<void>> SimEnd::writable(std::size_t bytes, bool any) {
  const Busy busy(writing_);
  auto& pipe = connection_->from(end_);
  while (true) {
    CO_TRY(check());
    if (pipe.ended || pipe.abandoned) {
      co_return fail_errno(EPIPE, "connection to " + peer_.address);
    }
    const auto room = connection_->room(end_);
    if (room >= bytes || (any && room != 0) || pipe.queued == 0) co_return Result<void>{};
    co_await connection_->changed(end_).wait();
  }
}

Task<Result<std::size_t>> SimStream::read(MutableBytes into) {
  CO_TRY_SET(const bool data, co_await end_.readable());
  co_return data ? take(into) : 0;
}

Result<std::optional<std::size_t>> SimStream::read_now(MutableBytes into) {
  TRY_SET(const auto data, end_.readable_now());
  if (!data) return std::optional<std::size_t>();
  return std::optional<std::size_t>(*data ? take(into) : 0);
}

std::size_t SimStream::take(MutableBytes into) {
  if (into.empty()) return 0;
  auto& connection = end_.connection();
  auto& pipe = connection.towards(end_.end());
  auto& random = connection.hub().world().random();
  std::size_t limit = into.size();
  if (random.chance(connection.hub().options().short_percent)) limit = random.between(1, limit);
  std::size_t done = 0;
  while (done < limit && !pipe.arrived.empty() && !pipe.arrived.front().last) {
    auto& segment = pipe.arrived.front();
    const auto part = std::min(limit - done, segment.bytes.size() - segment.read);
    std::memcpy(into.data() + done, segment.bytes.data() + segment.read, part);
    done += part;
    segment.read += part;
    if (segment.read == segment.bytes.size()) pipe.arrived.pop_front();
  }
  pipe.queued -= done;
  connection.changed(1 - end_.end()).notify_all();
  return done;
}

Task<Result<void>> SimStream::write(ByteView from) {
  auto& connection = end_.connection();
  auto& random = connection.hub().world().random();
  CO_TRY(end_.check());
  while (!from.empty()) {
    CO_TRY(co_await end_.writable(from.size(), true));
    std::size_t part = std::min(from.size(), connection.room(end_.end()));
    if (random.chance(connection.hub().options().short_percent)) part = random.between(1, part);
    connection.send(end_.end(), {from.begin(), from.begin() + static_cast<std::ptrdiff_t>(part)},
                    false);
    from = from.subspan(part);
  }
  co_return Result<void>{};
}

// Cut anywhere, as the kernel does: not where a piece ends.
Task<Result<void>> SimStream::write_pieces(std::span<const ByteView> pieces) {
  std::vector<std::uint8_t> all;
  for (const ByteView piece : pieces) all.insert(all.end(), piece.begin(), piece.end());
  co_return co_await write(all);
}

void SimStream::shutdown_write() {
  auto& pipe = end_.connection().from(end_.end());
  if (std::exchange(pipe.ended, true) || !end_.check()) return;
  end_.connection().send(end_.end(), {}, true);
}

Task<Result<std::optional<std::size_t>>> SimPacketSocket::receive(
    std::span<const MutableBytes> parts) {
  CO_TRY_SET(const bool data, co_await end_.readable());
  if (!data) co_return std::optional<std::size_t>{};
  auto& connection = end_.connection();
  auto& pipe = connection.towards(end_.end());
  const auto packet = std::move(pipe.arrived.front().bytes);
  pipe.arrived.pop_front();
  pipe.queued -= packet.size();
  connection.changed(1 - end_.end()).notify_all();
  ByteView rest(packet);
  for (const MutableBytes part : parts) {
    const auto here = rest.first(std::min(part.size(), rest.size()));
    if (!here.empty()) std::memcpy(part.data(), here.data(), here.size());
    rest = rest.subspan(here.size());
  }
  if (!rest.empty()) {
    co_return fail(Code::kOutOfRange,
                   "a packet of " + std::to_string(packet.size()) + " bytes from " +
                       end_.peer().address + " is larger than the " +
                       std::to_string(packet.size() - rest.size()) + " bytes there is room for");
  }
  if (packet.empty()) co_return std::optional<std::size_t>{};  // looks like the end, see env.h
  co_return std::optional<std::size_t>(packet.size());
}

Task<Result<void>> SimPacketSocket::send(std::span<const ByteView> parts) {
  std::vector<std::uint8_t> packet;
  for (const auto part : parts) packet.insert(packet.end(), part.begin(), part.end());
  if (packet.size() > packet_bytes_max_) {
    co_return fail_errno(EMSGSIZE, "packet of " + std::to_string(packet.size()) + " bytes to " +
                                       end_.peer().address);
  }
  CO_TRY(co_await end_.writable(packet.size(), false));
  end_.connection().send(end_.end(), std::move(packet), false);
  co_return Result<void>{};
}

bool SimPacketSocket::peer_gone() const {
  auto& connection = end_.connection();
  return connection.broken(end_.end()) != 0 || connection.from(end_.end()).abandoned;
}

}  // namespace capstan::core
