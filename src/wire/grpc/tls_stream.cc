// Why this file exists: see tls_stream.h. Both directions may have bytes to send (a reader that
// answers the handshake, a writer with data), so sending is behind a lock; what is sent is taken
// from the engine under that lock, which keeps records in order.
#include "wire/grpc/tls_stream.h"

#include <utility>

#include "core/sync.h"

namespace capstan::wire {

namespace {

class TlsStream final : public core::Stream {
 public:
  TlsStream(std::unique_ptr<core::Stream> inner, const TlsContext& context, const std::string& host)
      : inner_(std::move(inner)),
        engine_(context, host),
        cipher_(std::make_unique_for_overwrite<std::uint8_t[]>(kCipherBytes)) {}

  const core::PeerInfo& peer() const override { return inner_->peer(); }

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
      const auto received = co_await inner_->read(MutableBytes(cipher_.get(), kCipherBytes));
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
      engine_.receive(ByteView(cipher_.get(), *received));
    }
  }

  core::Task<Result<void>> write(ByteView from) override {
    co_await ready_.wait();
    if (failed_) co_return std::unexpected(*failed_);
    if (cancelled_) co_return fail(Code::kCancelled, "cancelled");
    CO_TRY(engine_.write(from));
    co_return co_await flush();
  }

  void shutdown_write() override { inner_->shutdown_write(); }

  void cancel() override {
    cancelled_ = true;
    ready_.set();
    inner_->cancel();
  }

 private:
  static constexpr std::size_t kCipherBytes = 32U << 10;

  Result<std::size_t> advance(MutableBytes into) {
    TRY_SET(const bool established, engine_.handshake());
    if (!established) return std::size_t{0};
    return engine_.read(into);
  }

  core::Task<Result<void>> flush() {
    const auto guard = co_await sending_.lock();
    const std::string output = engine_.take_output();
    if (output.empty()) co_return Result<void>();
    co_return co_await inner_->write(as_bytes(output));
  }

  std::unique_ptr<core::Stream> inner_;
  TlsEngine engine_;
  std::unique_ptr<std::uint8_t[]> cipher_;
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
