// Why this file exists: see http2_guest.h.
#include "wire/rest/http2_guest.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "core/sync.h"
#include "wire/rest/exchange.h"

namespace capstan::wire::rest {

namespace {

constexpr std::size_t kUnsentBytes = 256U << 10;  // of one answer, then its producer waits
constexpr std::size_t kSmallBytes = 64U << 10;    // of a whole answer that is never refused
constexpr std::size_t kCalls = 256;               // of one connection, also left ones

std::unexpected<Error> client_gone() {
  return fail(Code::kCancelled, "the client is gone");
}

// The request as HTTP/1.1 would have it.
Http1Request request_of(Headers headers) {
  Http1Request request;
  request.keep_alive = true;
  for (const auto& [name, value] : headers) {
    if (name == ":method") {
      request.method = value;
    } else if (name == ":path") {
      request.target = value;
    } else if (name == ":authority") {
      request.headers.emplace_back("host", value);
    } else if (!name.starts_with(':')) {
      request.headers.emplace_back(name, value);
    }
  }
  return request;
}

}  // namespace

class Http2Exchange final : public Exchange {
 public:
  Http2Exchange(Http2Guest& guest, Http2Stream& stream, Http1Request request)
      : guest_(guest),
        stream_(&stream),
        request_(std::move(request)),
        expects_continue_(request_.expects_continue()),
        deadline_([this] {
          overdue_ = true;
          changed_.notify_all();
        }) {
    if (const auto length = request_.last("content-length")) {
      std::from_chars(length->data(), length->data() + length->size(), announced_);
    }
  }
  ~Http2Exchange() override {
    hold(0);
    if (stream_) stream_->context = nullptr;
  }

  const Http1Request& request() const override { return request_; }
  const core::PeerInfo& peer() const override { return guest_.peer_; }
  core::CancelToken gone() const override { return gone_.token(); }
  core::CancelToken stopping() const override { return guest_.stopping_.token(); }
  std::uint64_t announced_bytes() const override { return announced_; }

  core::Task<Result<ByteView>> read() override {
    set_deadline(limits::kRestBodyNanos);
    tell_to_go_on();
    while (true) {
      if (interrupted_) co_return fail(Code::kCancelled, "reading was interrupted");
      if (!input_.empty()) {
        piece_ = std::exchange(input_, {});
        give_back(piece_.size());
        deadline_.disarm();
        co_return as_bytes(piece_);
      }
      if (ended_) break;
      if (!stream_) co_return client_gone();
      if (overdue_) {
        co_return fail(Code::kDeadlineExceeded, "the request body did not come in time");
      }
      co_await changed_.wait();
    }
    deadline_.disarm();
    co_return ByteView();
  }

  void interrupt_read() override {
    interrupted_ = true;
    changed_.notify_all();
  }

  core::Task<Result<void>> answer(Reply reply) override {
    if (reply.body.size() > kSmallBytes &&
        guest_.unsent_bytes_ >= limits::kHttp2OutputBufferBytes) {
      reply = Reply();
      reply.status = 503;
      reply.headers.emplace_back("content-type", "text/plain");
      reply.headers.emplace_back("retry-after", "1");
      reply.body = "Too many answers of this connection were not read; read them first.\n";
    }
    const bool bare = reply.status == 204 || reply.status == 304;
    if (!bare) reply.headers.emplace_back("content-length", std::to_string(reply.body.size()));
    const bool empty = bare || reply.body.empty() || request_.method == "HEAD";
    respond(reply, empty);
    if (!empty) {
      put(reply.body);
      if (stream_) guest_.http2_.finish(*stream_, {});
    }
    done_ = true;
    guest_.wake_();
    co_return stream_ ? Result<void>() : client_gone();
  }

  core::Task<Result<void>> start(Reply head, bool /*whole*/) override {
    streams_ = true;
    respond(head, false);
    guest_.wake_();
    co_return stream_ ? Result<void>() : client_gone();
  }

  core::Task<Result<void>> write(std::string_view bytes) override {
    put(bytes);
    guest_.wake_();
    set_deadline(limits::kRestStalledNanos);
    while (stream_ && stream_->unsent_bytes() > kUnsentBytes && !overdue_) {
      co_await changed_.wait();
    }
    deadline_.disarm();
    if (stream_ && overdue_) break_off();
    co_return stream_ && !overdue_ ? Result<void>() : client_gone();
  }

  core::Task<Result<void>> finish() override {
    if (stream_) guest_.http2_.finish(*stream_, {});
    done_ = true;
    guest_.wake_();
    co_return stream_ ? Result<void>() : client_gone();
  }

  void break_off() override {
    done_ = true;
    gone_.fire(Code::kCancelled);
    if (stream_) guest_.http2_.reset(*stream_, Http2Error::kInternalError);
    guest_.wake_();
  }

  void receive(ByteView data) {
    if (done_) return give_back(data.size());
    input_.append(as_text(data));
    changed_.notify_all();
  }
  void receive_end() {
    ended_ = true;
    changed_.notify_all();
  }
  void closed() {
    stream_ = nullptr;
    count();
    leave();
  }
  void leave() {
    gone_.fire(Code::kCancelled);
    changed_.notify_all();
    guest_.room_.notify_all();
  }
  void sent() {
    count();
    changed_.notify_all();
  }
  // Until there is room for another answer, or nobody waits for this one any longer.
  core::Task<void> wait_for_room() {
    while (stream_ && !gone_.token().fired() &&
           guest_.unsent_bytes_ >= limits::kHttp2OutputBufferBytes) {
      co_await guest_.room_.wait();
    }
  }
  // Until the peer has taken a whole answer. One that takes nothing for too long is not waited for.
  core::Task<void> wait_for_taken() {
    std::size_t before = 0;
    while (stream_ && stream_->unsent_bytes() > 0 && !gone_.token().fired()) {
      if (stream_->unsent_bytes() != std::exchange(before, stream_->unsent_bytes())) {
        set_deadline(limits::kRestStalledNanos);
      }
      if (overdue_) break;
      co_await changed_.wait();
    }
    deadline_.disarm();
    if (stream_ && overdue_) break_off();
  }
  // The pipeline is through with it.
  void close() {
    deadline_.disarm();
    give_back(input_.size());
    input_.clear();
    if (!done_) break_off();
  }

 private:
  void tell_to_go_on() {
    const bool waits = std::exchange(expects_continue_, false) && input_.empty() && !ended_;
    if (!waits || !stream_ || interrupted_) return;
    guest_.http2_.inform(*stream_, "100");
    guest_.wake_();
  }
  void respond(const Reply& reply, bool end) {
    if (!stream_) return;
    const std::string status = std::to_string(reply.status);
    std::vector<std::string> names;  // HTTP/2 has lower-case names only
    names.reserve(reply.headers.size());
    std::vector<Header> headers{{":status", status}};
    for (const auto& [name, value] : reply.headers) {
      auto& lower = names.emplace_back(name);
      std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
      headers.push_back({lower, value});
    }
    if (!reply.type.empty()) headers.push_back({"content-type", reply.type});
    guest_.http2_.respond(*stream_, headers, end);
  }
  void put(std::string_view bytes) {
    if (!stream_ || bytes.empty()) return;
    std::memcpy(guest_.http2_.reserve(*stream_, bytes.size()), bytes.data(), bytes.size());
    guest_.http2_.write(*stream_, bytes.size());
    count();
  }
  // This answer's part of what the guest holds: what its producer does not wait for.
  void count() {
    const std::size_t unsent = stream_ ? stream_->unsent_bytes() : 0;
    hold(unsent > kUnsentBytes || !streams_ ? unsent : 0);
  }
  void hold(std::size_t bytes) {
    guest_.unsent_bytes_ += bytes - held_;
    held_ = bytes;
    if (guest_.unsent_bytes_ < limits::kHttp2OutputBufferBytes) guest_.room_.notify_all();
  }
  void give_back(std::size_t bytes) {
    if (!stream_ || bytes == 0) return;
    guest_.http2_.consume(*stream_, bytes);
    guest_.wake_();
  }
  void set_deadline(core::Nanos duration) {
    overdue_ = false;
    deadline_.disarm();
    deadline_.arm_at(guest_.reactor_, guest_.reactor_.now() + duration);
  }

  Http2Guest& guest_;
  Http2Stream* stream_;  // null once it is closed
  Http1Request request_;
  bool expects_continue_;  // and has not been told to go on
  std::uint64_t announced_ = 0;
  core::CancelSource gone_;
  core::Event changed_;
  core::Timer deadline_;
  std::string input_, piece_;
  std::size_t held_ = 0;  // of this answer in the guest's sum
  bool streams_ = false;  // its producer waits for the peer
  bool ended_ = false, done_ = false, overdue_ = false, interrupted_ = false;
};

Http2Guest::Http2Guest(core::Reactor& reactor, Http2Session& http2, const core::PeerInfo& peer,
                       std::function<void()> wake, Pipeline& pipeline)
    : reactor_(reactor), http2_(http2), peer_(peer), wake_(std::move(wake)), pipeline_(pipeline) {}

Http2Guest::~Http2Guest() = default;

void Http2Guest::on_headers(Http2Stream& stream, HeadersKind kind, Headers headers,
                            bool too_large) {
  if (kind != HeadersKind::kRequest) return;  // trailers say nothing here
  stream.context = nullptr;
  stream.paced = true;
  // A path has the bound of an HTTP/1.1 request line.
  const auto long_path = [](const Header& header) {
    return header.name == ":path" && header.value.size() > limits::kHttp1LineBytes;
  };
  if (too_large || std::ranges::any_of(headers, long_path)) {
    const std::array<Header, 1> refusal{{{":status", "431"}}};
    return http2_.respond(stream, refusal, true);
  }
  if (exchanges_.size() >= kCalls) return http2_.reset(stream, Http2Error::kRefusedStream);
  auto& made =
      exchanges_.emplace_back(std::make_unique<Http2Exchange>(*this, stream, request_of(headers)));
  stream.context = made.get();
  scope_.spawn(serve(made.get()));
}

core::Task<void> Http2Guest::serve(Http2Exchange* exchange) {
  core::name_task("HTTP/2 request");
  // The events run inside the session; whoever answers at once answers after them.
  co_await core::yield();
  co_await exchange->wait_for_room();
  co_await pipeline_.serve(*exchange);
  exchange->close();
  co_await exchange->wait_for_taken();
  std::erase_if(exchanges_, [exchange](const auto& owned) { return owned.get() == exchange; });
}

void Http2Guest::on_data(Http2Stream& stream, ByteView data) {
  if (auto* exchange = static_cast<Http2Exchange*>(stream.context)) {
    exchange->receive(data);
  } else {
    http2_.consume(stream, data.size());
  }
}

void Http2Guest::on_end(Http2Stream& stream) {
  if (auto* exchange = static_cast<Http2Exchange*>(stream.context)) exchange->receive_end();
}

void Http2Guest::on_closed(Http2Stream& stream, Http2Error) {
  if (auto* exchange = static_cast<Http2Exchange*>(stream.context)) exchange->closed();
}

void Http2Guest::on_sent(Http2Stream& stream) {
  if (auto* exchange = static_cast<Http2Exchange*>(stream.context)) exchange->sent();
}

void Http2Guest::drain() {
  stopping_.fire(Code::kCancelled);
}

void Http2Guest::abort() {
  for (const auto& exchange : exchanges_) exchange->leave();
}

}  // namespace capstan::wire::rest
