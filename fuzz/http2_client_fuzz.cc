// Why this file exists: an HTTP/2 client session under any bytes of a server, with three requests
// open whose application resets, holds data back and writes on. Every stream that was opened must
// be closed exactly once, and memory for headers stays within its limit.
#include <array>
#include <cstdint>
#include <cstring>
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

  void ask() {
    static constexpr std::array<Header, 5> kRequest{{{":method", "POST"},
                                                     {":scheme", "http"},
                                                     {":path", "/a.B/C"},
                                                     {":authority", "x"},
                                                     {"te", "trailers"}}};
    auto* stream = session->open(kRequest, false, this);
    if (!stream) return;
    open.insert(stream);
    std::memset(session->reserve(*stream, 40), 'x', 40);
    session->write(*stream, 40);
    if (open.size() != 2) session->finish(*stream, {});
  }
  void on_headers(Http2Stream& stream, HeadersKind, Headers headers, bool) override {
    CAPSTAN_ASSERT(open.contains(&stream));
    std::size_t bytes = 0;
    for (const auto& [name, value] : headers) bytes += name.size() + value.size();
    CAPSTAN_ASSERT(bytes <= limits::kHttp2HeaderListBytes);
    if (headers.size() % 4 == 3) session->reset(stream, Http2Error::kCancel);
  }
  void on_data(Http2Stream& stream, ByteView data) override {
    CAPSTAN_ASSERT(open.contains(&stream));
    if (stream.id() != 3) session->consume(stream, data.size());
  }
  void on_end(Http2Stream& stream) override { session->finish(stream, {}); }
  void on_closed(Http2Stream& stream, Http2Error) override {
    CAPSTAN_ASSERT(open.erase(&stream) == 1);
  }
  void on_settings() override {
    if (open.size() < 8) ask();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Application application;
  Http2Session session(Http2Session::Role::kClient, application);
  application.session = &session;
  for (int i = 0; i < 3; ++i) application.ask();
  ByteQueue out;
  bool good = session.collect(out, fuzz::kHttp2CollectBytes).has_value();
  // Most inputs would die at the server's SETTINGS, so they are given.
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  good = good && session.receive(as_bytes(settings), 1).has_value();
  fuzz::feed_http2(session, {data, size}, good, application.open, [](ByteView) {});
  return 0;
}
