// Why this file exists: one HTTP/2 connection without I/O: bytes go in through receive(), events
// come out through Http2Events, what must be sent is collected into one buffer. Both roles. The
// state machine is nghttp2's; this class adds what a server needs to survive its peers: header and
// stream limits, real back-pressure (a window opens only when the consumer took the data), budgets
// of stream resets and of idle talk, and a drain that loses no request.
//
// Events run inside receive() and collect(): they may call everything here except those two, and
// must not destroy the session. An Http2Stream lives until its on_closed() has returned.
// Thread-safety: none; one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"
#include "wire/http2/byte_queue.h"
#include "wire/http2/frame_watch.h"
#include "wire/http2/header_replay.h"
#include "wire/http2/http2_limits.h"
#include "wire/http2/http2_memory.h"

struct nghttp2_rcbuf;
struct nghttp2_session;

namespace capstan::wire {

// Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7).
enum class Http2Error : std::uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};

struct Header {
  std::string_view name;  // lower case
  std::string_view value;
};
using Headers = std::span<const Header>;

enum class HeadersKind : std::uint8_t { kRequest, kResponse, kTrailers };

// One stream as its adapter sees it. `context` is the adapter's.
class Http2Stream {
 public:
  std::int32_t id() const { return id_; }
  bool remote_ended() const { return remote_ended_; }
  // Output accepted but not yet taken within the peer's window.
  std::size_t unsent_bytes() const { return output_.size(); }
  // All output ever taken; on_sent() tells when it grows.
  std::uint64_t sent_bytes() const { return sent_bytes_; }
  void* context = nullptr;
  // Whoever writes waits for this stream's output to be taken, so unpaced_bytes() leaves it out.
  // Set before the first write.
  bool paced = false;
  bool guest = false;  // somebody else's than the connection's own adapter

 private:
  friend class Http2Session;
  friend struct Http2Callbacks;
  std::int32_t id_ = 0;
  bool answered_ = false;                // response headers were given
  bool remote_ended_ = false;            // the peer sent END_STREAM
  bool finished_ = false;                // no output after what is queued
  bool reset_ = false;                   // we reset it
  bool deferred_ = false;                // nghttp2 waits for resume_data
  bool usual_response_ = false;          // its response headers are the usual ones
  bool usual_trailers_ = false;          // and its trailers
  bool replays_trailers_ = false;        // which follow the data that is being sent
  bool unwanted_ = false;                // answered in full, but the peer has not ended its request
  std::uint32_t unwanted_bytes_ = 0;     // of that request since then
  std::uint64_t unwanted_since_ns_ = 0;  // as reset_unwanted() saw it first, or the last of it
  std::uint64_t sent_bytes_ = 0;
  std::size_t unconsumed_ = 0;  // received, not yet given back to the windows
  ByteQueue output_;
  std::string trailer_bytes_;  // name, value, name, value …
  std::vector<std::uint32_t> trailer_sizes_;
  Http2Stream* previous_ = nullptr;
  Http2Stream* next_ = nullptr;
};

class Http2Events {
 public:
  virtual ~Http2Events() = default;
  // The views are valid during the call. `too_large`: the list exceeded the limit and is cut.
  virtual void on_headers(Http2Stream& stream, HeadersKind kind, Headers headers,
                          bool too_large) = 0;
  // Received bytes count against the windows until consume() gives them back.
  virtual void on_data(Http2Stream& stream, ByteView data) = 0;
  virtual void on_end(Http2Stream& stream) = 0;
  // Exactly once per stream that had on_headers() or was opened here.
  virtual void on_closed(Http2Stream& stream, Http2Error error) = 0;
  virtual void on_sent(Http2Stream&) {}
  // The peer takes no streams above `last_stream`; open ones above it are closed with
  // kRefusedStream, which means that they were not processed.
  virtual void on_goaway(std::int32_t /*last_stream*/, Http2Error, ByteView /*debug*/) {}
  virtual void on_ping_ack(std::uint64_t /*opaque*/) {}
  virtual void on_settings() {}
  // Nothing has come for a while: what is kept for the next stream may go.
  virtual void on_idle() {}
};

class Http2Session {
 public:
  enum class Role : std::uint8_t { kServer, kClient };
  struct Options {
    std::uint32_t max_concurrent_streams = limits::kHttp2MaxConcurrentStreams;
    std::uint32_t stream_window_bytes = limits::kHttp2StreamWindowBytes;
    std::uint32_t connection_window_bytes = limits::kHttp2ConnectionWindowBytes;
    std::size_t header_list_bytes = limits::kHttp2HeaderListBytes;
    std::uint32_t reset_burst = limits::kHttp2ResetBurst;
    std::uint32_t resets_per_second = limits::kHttp2ResetsPerSecond;
    std::uint32_t chatter_burst = limits::kHttp2ChatterBurst;
    std::uint32_t chatter_per_second = limits::kHttp2ChatterPerSecond;
  };

  Http2Session(Role role, Http2Events& events, const Options& options);
  Http2Session(Role role, Http2Events& events) : Http2Session(role, events, Options{}) {}
  ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // --- bytes ---
  // Any bytes are survived. An error means that nothing more can be read or written; a broken
  // protocol usually is no error here but a GOAWAY in the output, after which finished() is true.
  // `now_ns` is any monotonic clock.
  Result<void> receive(ByteView bytes, std::uint64_t now_ns);
  // Moves output to the end of `out` until there is none or `out` holds `limit` bytes.
  Result<void> collect(ByteQueue& out, std::size_t limit);
  bool wants_write() const;
  // Both directions are done: what was collected is the last output.
  bool finished() const;
  // Nothing has come for a while: frees what is kept for the next stream.
  void give_memory_back();
  // The connection is gone: every open stream gets on_closed(error). Nothing else works afterwards.
  void abandon(Http2Error error);

  // --- streams ---
  // Client: a new request; null when the peer said GOAWAY or the ids are used up. With `end`
  // nothing follows.
  Http2Stream* open(Headers headers, bool end, void* context);
  // Server: an interim response, "100" (RFC 9110 section 15.2); nothing after respond().
  void inform(Http2Stream& stream, std::string_view status);
  // Server: the response's headers. With `end` nothing follows (trailers-only).
  void respond(Http2Stream& stream, Headers headers, bool end);
  // Server: header lists of nearly every answer, which outlive the session, and respond() without
  // an end and finish() with them. They cost little from the second or third time on.
  void set_usual(Headers response, Headers trailers);
  void respond_usual(Http2Stream& stream);
  void finish_usual(Http2Stream& stream);
  // Answers whose trailers left without asking nghttp2.
  std::uint64_t replayed_trailers() const { return replayed_trailers_; }
  // Room for output; write() makes it part of the stream.
  std::uint8_t* reserve(Http2Stream& stream, std::size_t count);
  void write(Http2Stream& stream, std::size_t count);
  // Ends our side after the queued output, with trailers if there are any.
  void finish(Http2Stream& stream, Headers trailers);
  void reset(Http2Stream& stream, Http2Error error);
  // The consumer took `count` received bytes: the windows open again.
  void consume(Http2Stream& stream, std::size_t count);
  std::size_t open_streams() const { return open_streams_; }
  // Server: an answer may end before its request (RFC 9113 section 8.1). What still comes of the
  // request is thrown away; a peer that does not stop is told to, with RST_STREAM NO_ERROR, but not
  // while it gets on: some take that for a failure as long as they send (curl 7.88). Called every
  // second or so as long as there are such streams; true when there are more.
  bool reset_unwanted(std::uint64_t now_ns);
  std::size_t unwanted_streams() const { return unwanted_streams_; }
  // unsent_bytes() of all streams together.
  std::size_t unsent_bytes() const { return unsent_bytes_; }
  // Those of them that belong to streams which are not `paced`.
  std::size_t unpaced_bytes() const { return unpaced_bytes_; }

  // --- connection ---
  // Announces the end. A client sends GOAWAY; a server sends it without a limit, then PING, and the
  // answer to the PING seals it, so a request already under way is still served.
  void begin_drain();
  // Server: does not wait for the answer to the PING any longer.
  void seal();
  bool draining() const { return draining_; }
  // The peer has sent its first SETTINGS.
  bool peer_started() const { return peer_started_; }
  void terminate(Http2Error error);
  void ping(std::uint64_t opaque);
  bool goaway_received() const { return goaway_received_; }
  // Whether open() would get a stream.
  bool can_open() const;
  // What nghttp2 last complained about; empty when nothing.
  const std::string& last_complaint() const { return last_complaint_; }

 private:
  friend struct Http2Callbacks;
  Http2Stream* add_stream(std::int32_t id);
  void remove_stream(Http2Stream* stream);
  void close_stream(Http2Stream* stream, Http2Error error);
  void resume(Http2Stream& stream);
  void queue_trailers(Http2Stream& stream);
  // A frame of nghttp2's, and a HEADERS frame of a server.
  void append_frame(ByteView frame);
  void append_headers(ByteView frame);
  void forget_headers();
  Result<void> feed(ByteView bytes);
  // A frame on a stream that is closed, from the one who closed it.
  void refuse_frame(const FrameWatch::Step& step);
  void answered(Http2Stream& stream);
  void spend_reset();
  void spend_chatter();
  // Ends the connection of a peer that costs more than it is worth. `debug` travels in the GOAWAY.
  void calm(std::string complaint, std::string_view debug);
  void goaway();
  void took(const Http2Stream& stream, std::size_t count);
  // Opens the connection's window by what was consumed, if that is time.
  void widen();

  Role role_;
  Http2Events& events_;
  Options options_;
  Http2Memory memory_;
  nghttp2_session* session_ = nullptr;
  ByteQueue* out_ = nullptr;  // during collect()
  Http2Stream* first_ = nullptr;
  std::size_t open_streams_ = 0, unwanted_streams_ = 0;
  FrameWatch watch_;  // a server's
  std::size_t unsent_bytes_ = 0, unpaced_bytes_ = 0, unconsumed_bytes_ = 0;
  std::vector<std::unique_ptr<Http2Stream>> spare_;
  std::vector<Header> headers_;  // of the block being received; views into:
  std::vector<nghttp2_rcbuf*> header_texts_;
  Headers usual_response_, usual_trailers_;
  ReplayedBlock response_block_, trailers_block_;
  bool sends_usual_ = false;  // the header list that comes out of nghttp2 next
  std::uint64_t replayed_trailers_ = 0;
  std::size_t header_list_bytes_ = 0;
  bool headers_too_large_ = false;
  bool draining_ = false, goaway_received_ = false, abandoned_ = false, sealed_ = false;
  bool peer_started_ = false;
  // Tokens that come back with time; a peer may spend a burst of them at once.
  struct Budget {
    std::uint64_t tokens;
    std::uint64_t refilled_ns = 0;
    bool spend(std::uint64_t now_ns, std::uint32_t burst, std::uint32_t per_second);
  };
  std::uint64_t now_ns_ = 0;
  Budget resets_, chatter_;
  std::string last_complaint_;
};

// "PROTOCOL_ERROR" and so on; "UNKNOWN" for other numbers.
std::string_view http2_error_name(Http2Error error);

}  // namespace capstan::wire
