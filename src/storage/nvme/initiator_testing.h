// Why this file exists: what the tests of the initiator share: a host beside a target (ours), and a
// target made of nothing but the codecs, which does what a test tells it to. Test code.
#pragma once

#include <functional>
#include <list>
#include <set>

#include "storage/nvme/identify.h"
#include "storage/nvme/initiator.h"
#include "storage/nvme/initiator_device.h"
#include "storage/nvme/nvme_testing.h"

namespace capstan::storage::nvme::testing {

inline HostOptions host_options(core::Address address) {
  HostOptions options;
  options.address = std::move(address);
  options.subsystem = kNqn;
  options.host = kHostNqn;
  options.host_id = kHostId;
  return options;
}

// A host in the world of a target, with one device over one controller.
struct HostWorld {
  HostWorld(core::Env& env, core::Log& log) : initiator(env, log) {}
  Initiator initiator;
  std::shared_ptr<RemoteDevice> device;

  core::Task<Result<void>> open(HostOptions options, std::uint32_t nsid = 1) {
    CO_TRY_SET(auto controller, co_await initiator.connect(std::move(options)));
    CO_TRY_SET(device, RemoteDevice::make(std::move(controller), nsid, "remote",
                                          Uuid::from_name("remote")));
    co_return {};
  }
  HostController& controller() { return *device->paths().front(); }
  // One more way for the device.
  core::Task<Result<std::shared_ptr<HostController>>> add_path(HostOptions options) {
    CO_TRY_SET(auto path, co_await initiator.connect(std::move(options)));
    CO_TRY(device->add_path(path));
    co_return path;
  }
  core::Task<void> close() {
    device.reset();
    co_await initiator.shutdown();
  }
};

// One connection as a target sees it.
class RawTarget {
 public:
  Digests digests;

  explicit RawTarget(std::unique_ptr<core::Stream> stream)
      : stream_(std::move(stream)), input_(*stream_) {}

  core::Task<void> send(Bytes bytes) { static_cast<void>(co_await stream_->write(bytes)); }
  core::Task<bool> shake_hands(IcResp response) {
    const auto request = co_await receive();
    if (!request) co_return false;
    const auto wanted = load_ic_req(request->header.data());
    EXPECT_TRUE(wanted);
    digests = response.digests = wanted->digests;
    alignment_ = response.controller_alignment;
    Bytes pdu(kIcBytes);
    store_ic_resp(pdu.data(), response);
    initialised_ = true;
    co_await send(pdu);
    co_return true;
  }
  // Nothing when the host has gone.
  core::Task<std::optional<Pdu>> receive() {
    if (!co_await input_.fill(kCommonBytes)) co_return std::nullopt;
    Pdu pdu{load_common(input_.data()), {}, {}};
    const bool term = pdu.common.type == PduType::kH2cTermReq;
    const auto size =
        check_common(pdu.common, Receiver::kTarget, initialised_, term ? Digests() : digests);
    EXPECT_TRUE(size) << "type " << static_cast<int>(pdu.common.type);
    if (!size) co_return std::nullopt;
    pdu.header.resize(*size);
    if (!co_await input_.read(pdu.header)) co_return std::nullopt;
    if (!term) EXPECT_TRUE(check_header_digest(pdu.common, pdu.header, digests));
    const std::size_t at = std::max<std::size_t>(*size, pdu.common.data_offset);
    if (pdu.common.data_offset != 0) {
      EXPECT_EQ(pdu.common.data_offset % ((alignment_ + 1U) * 4), 0U);
    }
    Bytes padding(at - *size);
    if (!co_await input_.read(padding)) co_return std::nullopt;
    const bool digest = digests.data && pdu.common.data_offset != 0;
    pdu.data.resize(pdu.common.total_bytes - at - (digest ? kDigestBytes : 0));
    if (!co_await input_.read(pdu.data)) co_return std::nullopt;
    if (digest) {
      Bytes received(kDigestBytes);
      if (!co_await input_.read(received)) co_return std::nullopt;
      EXPECT_EQ(crc32c(pdu.data), load_le<std::uint32_t>(received.data()));
    }
    co_return pdu;
  }
  core::Task<void> respond(std::uint16_t id, Status status = {}, std::uint32_t dword0 = 0,
                           std::uint32_t dword1 = 0) {
    Bytes pdu(kCapsuleRespBytes + kDigestBytes);
    pdu.resize(
        store_capsule_resp(pdu.data(), store_completion({dword0, dword1, 0, id, status}), digests));
    co_await send(pdu);
  }
  core::Task<void> data(DataHeader header, Bytes content, std::uint8_t flags = pdu_flag::kLast,
                        bool spoil = false) {
    Bytes pdu(kDataHeaderBytes + 2 * kDigestBytes + content.size());
    const std::size_t at = store_data(pdu.data(), PduType::kC2hData, header, flags, digests, 0);
    std::ranges::copy(content, pdu.data() + at);
    std::size_t end = at + content.size();
    if (digests.data) {
      store_le(pdu.data() + end, crc32c(content) ^ (spoil ? 1U : 0U));
      end += kDigestBytes;
    }
    pdu.resize(end);
    co_await send(pdu);
  }
  core::Task<void> ask(R2t r2t) {
    Bytes pdu(kDataHeaderBytes + kDigestBytes);
    pdu.resize(store_r2t(pdu.data(), r2t, digests));
    co_await send(pdu);
  }
  core::Stream& stream() { return *stream_; }

 private:
  std::unique_ptr<core::Stream> stream_;
  Input input_;
  bool initialised_ = false;
  unsigned alignment_ = 0;
};

// A whole target with one namespace of kBlocks blocks; I/O commands go to `io`, on whatever
// connection they come.
class FakeTarget {
 public:
  using OnIo = std::function<core::Task<void>(RawTarget&, Pdu)>;

  FakeTarget(core::Env& env, core::Address address) : env_(env), address_(std::move(address)) {}

  IcResp ic{0, 0, {}, limits::kIoBytes};
  OnIo io;
  // Replaces the answer to an admin command; true: it has answered.
  std::function<core::Task<bool>(RawTarget&, const Command&)> admin;
  std::function<void(std::uint8_t*)> controller, space;  // change what Identify says
  unsigned accepted = 0;
  std::vector<FatalStatus> terminated;  // by the host

  void start() {
    auto listening = env_.network().listen(address_);
    CAPSTAN_ASSERT(listening);
    listener_ = *std::move(listening);
    scope_.spawn(accept());
  }
  core::Task<void> stop() {
    listener_->cancel();
    for (RawTarget* connection : connections_) connection->stream().cancel();
    co_await scope_.join();
    listener_.reset();
  }
  void hang_up() {
    for (RawTarget* connection : connections_) connection->stream().cancel();
  }
  static Bytes content(const Command& command) {
    return pattern(command.blocks() * kBlock, static_cast<std::uint8_t>(command.first_block()));
  }
  // What a good target does with reads of pattern data and writes of anything.
  static core::Task<void> behave(RawTarget& target, Pdu pdu) {
    const Command command = Command::load(pdu.header.data() + kCommonBytes);
    if (command.opcode() == opcode::kRead) {
      const Bytes bytes = content(command);
      co_await target.data({command.id(), 0, 0, static_cast<std::uint32_t>(bytes.size())}, bytes);
    } else if (command.opcode() == opcode::kWrite && pdu.data.empty()) {
      co_await target.ask({command.id(), 7, 0, command.data_length()});
      std::uint32_t received = 0;
      while (received < command.data_length()) {
        const auto more = co_await target.receive();
        if (!more || more->common.type != PduType::kH2cData) co_return;
        received += static_cast<std::uint32_t>(more->data.size());
      }
    }
    co_await target.respond(command.id());
  }

 private:
  core::Task<void> accept() {
    while (true) {
      auto stream = co_await listener_->accept();
      if (!stream) co_return;
      ++accepted;
      scope_.spawn(serve(*std::move(stream)));
    }
  }
  core::Task<void> serve(std::unique_ptr<core::Stream> stream) {
    RawTarget target(std::move(stream));
    connections_.push_back(&target);
    if (co_await target.shake_hands(ic)) co_await commands(target);
    connections_.remove(&target);
  }
  core::Task<void> commands(RawTarget& target) {
    while (const auto pdu = co_await target.receive()) {
      if (pdu->common.type == PduType::kH2cTermReq) {
        terminated.push_back(load_term_req(pdu->header.data()).fatal.status);
        co_return;
      }
      if (pdu->common.type != PduType::kCapsuleCmd) continue;
      const Command command = Command::load(pdu->header.data() + kCommonBytes);
      const bool for_io = io_connections_.contains(&target);
      if (!for_io && admin && co_await admin(target, command)) continue;
      if (command.is_fabrics()) {
        co_await fabrics_command(target, command, pdu->data);
      } else if (for_io) {
        co_await (io ? io(target, *pdu) : behave(target, *pdu));
      } else {
        co_await admin_command(target, command);
      }
    }
    io_connections_.erase(&target);
  }
  core::Task<void> fabrics_command(RawTarget& target, Command command, Bytes data) {
    std::uint64_t value = 0;
    if (command.fabrics_type() == fabrics::kConnect) {
      EXPECT_EQ(load_connect_data(data.data()).subsystem, kNqn);
      if (load_connect(command).queue != 0) io_connections_.insert(&target);
      value = 1;  // CNTLID
    } else if (command.fabrics_type() == fabrics::kPropertyGet) {
      const auto offset = command.get<std::uint32_t>(44);
      if (offset == property::kCap) value = 0x080000201E01007F;
      if (offset == property::kCsts) value = 9;  // ready, and shut down when asked
    }
    co_await target.respond(command.id(), {}, static_cast<std::uint32_t>(value),
                            static_cast<std::uint32_t>(value >> 32));
  }
  core::Task<void> admin_command(RawTarget& target, Command command) {
    if (command.opcode() == opcode::kAsyncEvent) co_return;
    if (command.opcode() == opcode::kIdentify) {
      Bytes page(kIdentifyBytes);
      fill_page(static_cast<std::uint8_t>(command.dword(10)), page);
      co_await target.data({command.id(), 0, 0, kIdentifyBytes}, page);
    }
    co_await target.respond(command.id());
  }
  void fill_page(std::uint8_t structure, Bytes& page) const {
    if (structure == 1) {
      page[76] = 3;
      page[77] = 5;
      page[78] = 1;
      page[111] = 1;
      page[512] = 0x66;
      page[516] = 1;
      page[520] = 0x0D;
      page[525] = 1;
      page[536] = 1;
      store_le<std::uint32_t>(page.data() + 1792, (64 + 8192) / 16);
      page[1796] = 1;
      if (controller) controller(page.data());
    } else if (structure == 2) {
      page[0] = 1;
    } else if (structure == 0) {
      store_le<std::uint64_t>(page.data(), kBlocks);
      page[130] = 9;
      page[104] = 0xAB;
      if (space) space(page.data());
    }
  }

  core::Env& env_;
  core::Address address_;
  std::unique_ptr<core::StreamListener> listener_;
  std::list<RawTarget*> connections_;
  std::set<RawTarget*> io_connections_;
  core::Scope scope_;
};

}  // namespace capstan::storage::nvme::testing
