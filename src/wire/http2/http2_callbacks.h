// Why this file exists: nghttp2's callbacks of http2_session.cc, kept apart so that each file fits
// in a head: what nghttp2 tells us (http2_callbacks.cc) and what we tell it (http2_session.cc).
// Included by those two only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <vector>

#include "wire/http2/http2_session.h"

namespace capstan::wire {

inline nghttp2_nv http2_name_value(const Header& header) {
  // nghttp2 copies what it is given; the casts are its API's.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(header.name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(header.value.data())),
          header.name.size(), header.value.size(), NGHTTP2_NV_FLAG_NONE};
}

// nghttp2's form of a header list; short ones, which are nearly all, need no allocation.
class NameValues {
 public:
  explicit NameValues(std::size_t count) {
    if (count > inline_.size()) many_.resize(count);
  }
  explicit NameValues(Headers headers) : NameValues(headers.size()) {
    for (const auto& header : headers) add(header);
  }
  void add(const Header& header) { data()[size_++] = http2_name_value(header); }
  nghttp2_nv* data() { return many_.empty() ? inline_.data() : many_.data(); }
  std::size_t size() const { return size_; }

 private:
  std::array<nghttp2_nv, 16> inline_;
  std::vector<nghttp2_nv> many_;
  std::size_t size_ = 0;
};

struct Http2Callbacks {
  static nghttp2_session_callbacks* make();
  static nghttp2_data_provider provider(Http2Stream* stream);
  static nghttp2_mem allocator(Http2Memory& memory);
  static bool is_drain_ping(std::uint64_t opaque);
  static Http2Stream* stream_of(nghttp2_session* session, std::int32_t id);

  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* raw);
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                    nghttp2_rcbuf* value, std::uint8_t flags, void* self);
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int data_received(nghttp2_session*, std::uint8_t flags, std::int32_t id,
                           const std::uint8_t* data, std::size_t size, void* self);
  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t error, void* self);
  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int error, void* self);
  static ssize_t read_output(nghttp2_session*, std::int32_t id, std::uint8_t* into,
                             std::size_t length, std::uint32_t* flags, nghttp2_data_source* source,
                             void* self);
  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* frame_header,
                       std::size_t length, nghttp2_data_source* source, void* self);
  static int complain(nghttp2_session*, int code, const char* text, std::size_t size, void* self);

  static void headers_complete(Http2Session& self, Http2Stream& stream, const nghttp2_frame& frame);
};

}  // namespace capstan::wire
