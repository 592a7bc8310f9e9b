// Why this file exists: the short chain behind rpc/interceptors/refused.h, which ends in the
// refusal where the directory's ends in a handler.
#include "rpc/interceptors/refused.h"

#include "base/assert.h"
#include "rpc/error_text.h"
#include "rpc/log_text.h"

namespace capstan::rpc {
namespace {

constexpr std::size_t kAskedBytes = 256;  // of what a client wrote, in a log record

class RefusalChain final : public Next {
 public:
  RefusalChain(const std::vector<Interceptor*>& interceptors, Error why)
      : interceptors_(interceptors), why_(std::move(why)) {}
  core::Task<Result<void>> run(Call& call) override {
    if (position_ < interceptors_.size()) return interceptors_[position_++]->around(call, *this);
    return refuse();
  }

 private:
  core::Task<Result<void>> refuse() { co_return std::unexpected(std::move(why_)); }

  const std::vector<Interceptor*>& interceptors_;
  std::size_t position_ = 0;
  Error why_;
};

}  // namespace

core::Task<void> RefusedCalls::tell(Call& call, Error why) const {
  CAPSTAN_ASSERT(call.operation != nullptr);
  RefusalChain chain(interceptors_, std::move(why));
  const auto told = co_await chain.run(call);
  CAPSTAN_ASSERT(!told.has_value());  // no interceptor turns a refusal into success
}

void RefusedCalls::tell_unknown(std::string_view wire, const core::PeerInfo& peer,
                                std::string_view asked, const Error& why) {
  Count& count = counts_[{wire, why.code}];
  if (count.value++ == 0) {
    count.handle =
        metrics_.add(core::Metrics::Kind::kCounter, "requests_refused_total",
                     "Requests that stood for no operation and were refused",
                     {{"wire", std::string(wire)}, {"code", std::string(code_name(why.code))}},
                     [value = &count.value] { return static_cast<double>(*value); });
  }
  if (!log_.enabled(core::LogLevel::kInfo)) return;
  log_.info("request_refused", {{"asked", valid_utf8(asked.substr(0, kAskedBytes))},
                                {"wire", wire},
                                {"peer", peer.address},
                                {"code", code_name(why.code)},
                                {"error", log_text(why)}});
}

}  // namespace capstan::rpc
