// Why this file exists: an HTTP/2 server session under any bytes, with an application on top that
// answers, resets and holds data back. Every stream that began must be closed exactly once, and the
// headers of every answer must be those that were given, whichever way they were compressed.
#include <nghttp2/nghttp2.h>

#include <algorithm>
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

constexpr std::array<Header, 2> kStatus{{{":status", "200"}, {"content-type", "x"}}};
constexpr std::array<Header, 1> kTrailer{{{"grpc-status", "0"}}};
constexpr std::array<Header, 2> kOtherTrailers{{{"grpc-status", "5"}, {"grpc-message", "no"}}};

// Reads what the session sends, as a client's end of the compression.
class Client {
 public:
  Client() { CAPSTAN_ASSERT(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~Client() { nghttp2_hd_inflate_del(inflater_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void take(ByteView bytes) {
    while (!bytes.empty()) {
      const std::size_t length = load_be32(bytes.data()) >> 8;
      if (bytes[3] == NGHTTP2_HEADERS) check(bytes.subspan(9, length));
      bytes = bytes.subspan(9 + length);
    }
  }

 private:
  void check(ByteView block) {
    std::string text;
    while (true) {
      nghttp2_nv header;
      int flags = 0;
      const auto used =
          nghttp2_hd_inflate_hd2(inflater_, &header, &flags, block.data(), block.size(), 1);
      CAPSTAN_ASSERT(used >= 0);
      block = block.subspan(static_cast<std::size_t>(used));
      if (flags & NGHTTP2_HD_INFLATE_EMIT) {
        text += as_text({header.name, header.namelen});
        text += '=';
        text += as_text({header.value, header.valuelen});
        text += ' ';
      }
      if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    CAPSTAN_ASSERT(text == ":status=200 content-type=x " || text == "grpc-status=0 " ||
                   text == "grpc-status=5 grpc-message=no ");
  }
  nghttp2_hd_inflater* inflater_ = nullptr;
};

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
    if (stream.context) return;
    stream.context = this;
    const bool usual = stream.id() % 32 != 31;
    usual ? session->respond_usual(stream) : session->respond(stream, kStatus, false);
    std::memset(session->reserve(stream, 100), 'x', 100);
    session->write(stream, 100);
    usual ? session->finish_usual(stream) : session->finish(stream, kOtherTrailers);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Application application;
  Http2Session session(Http2Session::Role::kServer, application);
  application.session = &session;
  session.set_usual(kStatus, kTrailer);
  Client client;
  // Most inputs would die at the client's preface, so it is given.
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  const bool good = session.receive(as_bytes(preface), 1).has_value();
  fuzz::feed_http2(session, {data, size}, good, application.open,
                   [&client](ByteView sent) { client.take(sent); });
  return 0;
}
