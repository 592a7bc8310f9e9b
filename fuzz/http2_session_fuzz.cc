// Why this file exists: an HTTP/2 server session under any bytes, with an application on top that
// answers, resets and holds data back. Every stream that began must be closed exactly once.
#include <array>
#include <cstdint>
#include <set>
#include <string>

#include "base/assert.h"
#include "fuzz/http2_feed.h"
#include "wire/http2/http2_session.h"

namespace {

using namespace capstan;
using namespace capstan::wire;

class Application final : public Http2Events {
 public:
  Http2Session* session = nullptr;
  std::set<Http2Stream*> open;

  void on_headers(Http2Stream& stream, HeadersKind, Headers headers, bool) override {
    open.insert(&stream);
    std::size_t bytes = 0;
    for (const auto& [name, value] : headers) bytes += name.size() + value.size();
    CAPSTAN_ASSERT(bytes <= limits::kHttp2HeaderListBytes);
    if (stream.id() % 8 == 5) session->reset(stream, Http2Error::kCancel);
  }
  void on_data(Http2Stream& stream, ByteView data) override {
    CAPSTAN_ASSERT(open.contains(&stream));
    if (stream.id() % 8 != 3) session->consume(stream, data.size());
    if (stream.id() % 8 == 7) answer(stream);
  }
  void on_end(Http2Stream& stream) override { answer(stream); }
  void on_closed(Http2Stream& stream, Http2Error) override { open.erase(&stream); }

 private:
  void answer(Http2Stream& stream) {
    static constexpr std::array<Header, 1> kStatus{{{":status", "200"}}};
    static constexpr std::array<Header, 1> kTrailer{{{"grpc-status", "0"}}};
    if (stream.context) return;
    stream.context = this;
    session->respond(stream, kStatus, false);
    std::memset(session->reserve(stream, 100), 'x', 100);
    session->write(stream, 100);
    session->finish(stream, kTrailer);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Application application;
  Http2Session session(Http2Session::Role::kServer, application);
  application.session = &session;
  // Most inputs would die at the client's preface, so it is given.
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  const bool good = session.receive(as_bytes(preface), 1).has_value();
  fuzz::feed_http2(session, {data, size}, good, application.open);
  return 0;
}
