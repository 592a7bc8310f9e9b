// Why this file exists: see tls_stream.h. Both directions may have bytes to send (a reader that
// answers the handshake, a writer with data), so sending is behind a lock; what is sent is taken
// from the engine under that lock, which keeps records in order.
#include "wire/grpc/tls_stream.h"

#include <array>
#include <utility>

#include "core/sync.h"

namespace capstan::wire {

namespace {

class TlsStream final : public core::Stream {
 public:
  TlsStream(std::unique_ptr<core::Stream> inner, const TlsContext& context, const std::string& host)
      : inner_(std::move(inner)), peer_(inner_->peer()), engine_(context, host) {}

  // With the certificate's subject once a byte was read.
  const core::PeerInfo& peer() const override { return peer_; }

  core::Task<Result<std::size_t>> read(MutableBytes into) override {
    while (true) {
      Result<std::size_t> got = advance(into);
      if (engine_.has_output()) {
        if (auto sent = co_await flush(); !sent && got) got = std::unexpected(sent.error());
      }
      if (!got) {
        failed_ = got.error();
        ready_.set();
        co_return got;
      }
      if (engine_.established() && !ready_.is_set()) ready_.set();
      if (*got != 0 || engine_.closed()) co_return got;
      const auto received = co_await inner_->read(cipher_);
      if (!received || *received == 0) {
        if (!engine_.established()) {
          failed_ = received ? Error{Code::kUnavailable,
                                     0,
                                     "the peer closed the connection during the TLS handshake",
                                     {}}
                             : received.error();
          ready_.set();
          co_return std::unexpected(*failed_);
        }
        co_return received;
      }
      engine_.receive(ByteView(cipher_).first(*received));
      // What stands in the way of more is found out by the next read.
      if (*received == cipher_.size()) (void)receive_now().has_value();
    }
  }

  Result<std::optional<std::size_t>> read_now(MutableBytes into) override {
    if (!engine_.established()) return std::optional<std::size_t>();
    std::size_t got = 0;
    while (got < into.size()) {  // a record at a time
      TRY_SET(const std::size_t part, engine_.read(into.subspan(got)));
      got += part;
      if (part != 0) continue;
      if (engine_.closed()) break;
      const auto received = receive_now();
      if (!received && got == 0) return std::unexpected(received.error());
      if (!received || !*received) break;
    }
    if (got == 0 && !engine_.closed()) return std::optional<std::size_t>();
    return std::optional<std::size_t>(got);
  }

  core::Task<Result<void>> write(ByteView from) override {
    const ByteView pieces[] = {from};
    co_return co_await write_pieces(pieces);
  }

  core::Task<Result<void>> write_pieces(std::span<const ByteView> pieces) override {
    co_await ready_.wait();
    if (failed_) co_return std::unexpected(*failed_);
    if (cancelled_) co_return fail(Code::kCancelled, "cancelled");
    for (const ByteView piece : pieces) CO_TRY(engine_.write(piece));
    co_return co_await flush();
  }

  void shutdown_write() override { inner_->shutdown_write(); }

  void cancel() override {
    cancelled_ = true;
    ready_.set();
    inner_->cancel();
  }

 private:
  static constexpr std::size_t kWaitingBytes = 512;       // kept while nothing comes
  static constexpr std::size_t kCipherBytes = 32U << 10;  // on the stack, while something does

  // What has arrived beyond cipher_; false when there is nothing.
  Result<bool> receive_now() {
    std::array<std::uint8_t, kCipherBytes> bytes;  // filled below
    TRY_SET(const auto got, inner_->read_now(bytes));
    if (!got || *got == 0) return false;
    engine_.receive(ByteView(bytes).first(*got));
    return true;
  }

  Result<std::size_t> advance(MutableBytes into) {
    TRY_SET(const bool established, engine_.handshake());
    if (!established) return std::size_t{0};
    if (!ready_.is_set()) peer_.tls_subject = engine_.verified_subject();
    return engine_.read(into);
  }

  core::Task<Result<void>> flush() {
    const auto guard = co_await sending_.lock();
    const std::string output = engine_.take_output();
    if (output.empty()) co_return Result<void>();
    co_return co_await inner_->write(as_bytes(output));
  }

  std::unique_ptr<core::Stream> inner_;
  core::PeerInfo peer_;
  TlsEngine engine_;
  std::array<std::uint8_t, kWaitingBytes> cipher_;
  core::Mutex sending_;
  core::Event ready_;  // the handshake is over, well or not
  std::optional<Error> failed_;
  bool cancelled_ = false;
};

}  // namespace

std::unique_ptr<core::Stream> make_tls_stream(std::unique_ptr<core::Stream> stream,
                                              const TlsContext& context, std::string host) {
  return std::make_unique<TlsStream>(std::move(stream), context, host);
}

}  // namespace capstan::wire
