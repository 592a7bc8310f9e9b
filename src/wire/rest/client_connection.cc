// Why this file exists: see client_connection.h.
#include "wire/rest/client_connection.h"

#include <utility>

#include "wire/rest/limits.h"

namespace capstan::wire::rest {

namespace {

Error broken(std::string what) {
  return {Code::kUnavailable, 0, std::move(what), {}};
}

}  // namespace

ClientConnection::ClientConnection(std::unique_ptr<core::Stream> stream)
    : stream_(std::move(stream)),
      input_(std::make_unique_for_overwrite<std::uint8_t[]>(limits::kRestClientReadBytes)) {}

core::Task<void> ClientConnection::run(std::shared_ptr<ClientConnection> self) {
  self->scope_.spawn(self->write_loop());
  co_await self->read_loop();
  self->running_ = false;
  self->stream_->cancel();
  self->writable_.set();
  self->changed_.notify_all();
  co_await self->scope_.join();
}

void ClientConnection::cut(Error why) {
  if (!failure_) failure_ = std::move(why);
  stream_->cancel();
  changed_.notify_all();
}

// --- one exchange -------------------------------------------------------------------------------

void ClientConnection::begin() {
  CAPSTAN_ASSERT(idle());
  state_ = State::kHead;
  parser_.emplace();
  head_.reset();
  body_.clear();
  request_ended_ = heard_ = false;
}

void ClientConnection::send(std::string_view bytes) {
  if (failure_ || write_failed_) return;
  output_.append(bytes);
  writable_.set();
}

bool ClientConnection::output_full() const {
  return output_.size() + sending_.size() >= limits::kRestClientQueuedBytes;
}

std::string ClientConnection::take() {
  if (body_.size() >= limits::kRestClientBufferBytes) changed_.notify_all();  // reading goes on
  return std::exchange(body_, {});
}

bool ClientConnection::give_back() {
  const bool whole = state_ == State::kAnswered && request_ended_ && !failure_ && running_ &&
                     !write_failed_ && output_.empty() && sending_.empty() && head_->keep_alive;
  if (!whole) {
    cut(broken("the connection is not used any more"));
    return false;
  }
  state_ = State::kIdle;
  head_.reset();
  body_.clear();
  return true;
}

// --- in -----------------------------------------------------------------------------------------

Result<void> ClientConnection::receive_head(ByteView& bytes) {
  TRY_SET(const bool complete, parser_->add(bytes));
  bytes = {};
  if (!complete) return {};
  head_ = parser_->response();
  if (head_->status == 101) return fail(Code::kUnavailable, "the server changes the protocol");
  TRY_SET(const Http1Framing framing, parser_->framing());
  // An answer that ends with the connection cannot be told from one that was cut.
  if (framing.kind == Http1Framing::Kind::kUntilClose && head_->status < 300) {
    return fail(Code::kUnavailable,
                "the answer does not say how long it is, so nobody can tell whether it is whole");
  }
  // Two lengths are how requests are smuggled: nothing follows such an answer.
  if (head_->last("transfer-encoding") && head_->last("content-length")) head_->keep_alive = false;
  decoder_ = Http1BodyDecoder(framing);
  state_ = decoder_.done() ? State::kAnswered : State::kBody;
  bytes = parser_->rest();
  return {};
}

Result<void> ClientConnection::receive_body(ByteView& bytes) {
  TRY_SET(const auto step, decoder_.next(bytes));
  body_.append(as_text(step.piece));
  bytes = bytes.subspan(step.used);
  if (decoder_.done()) state_ = State::kAnswered;
  return {};
}

Result<void> ClientConnection::receive(ByteView bytes) {
  heard_ = true;
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead: TRY(receive_head(bytes)); break;
      case State::kBody: TRY(receive_body(bytes)); break;
      case State::kAnswered:
        head_->keep_alive = false;  // what follows belongs to no request
        return {};
      case State::kIdle: return fail(Code::kUnavailable, "the server speaks without being asked");
    }
  }
  return {};
}

// The server closed, or the connection broke.
void ClientConnection::ended(Error why) {
  const bool until_close = state_ == State::kBody && why.code == Code::kOk;
  if (until_close) {
    if (auto end = decoder_.end(); end) {
      state_ = State::kAnswered;
      head_->keep_alive = false;
      return;
    }
    why = broken("the answer was cut: the connection ended in the middle of it");
  } else if (why.code == Code::kOk) {
    if (state_ == State::kAnswered) {  // the rest can still be taken
      head_->keep_alive = false;
      return;
    }
    why = broken("the server closed the connection");
  }
  if (!failure_) failure_ = std::move(why);
}

core::Task<void> ClientConnection::read_loop() {
  while (!failure_) {
    while (!failure_ && body_.size() >= limits::kRestClientBufferBytes) co_await changed_.wait();
    if (failure_) break;
    const MutableBytes into(input_.get(), limits::kRestClientReadBytes);
    auto got = co_await stream_->read(into);
    if (!got || *got == 0) {
      ended(got ? Error{Code::kOk, 0, {}, {}} : broken(got.error().text()));
      break;
    }
    if (auto received = receive(into.first(*got)); !received) {
      Error why = std::move(received).error();
      why.code = Code::kUnavailable;
      if (!failure_) failure_ = std::move(why);
    }
    changed_.notify_all();
  }
}

// --- out ----------------------------------------------------------------------------------------

core::Task<void> ClientConnection::write_loop() {
  while (running_) {
    if (output_.empty()) {
      writable_.reset();
      co_await writable_.wait();
      continue;
    }
    std::swap(output_, sending_);
    const auto written = co_await stream_->write(as_bytes(sending_));
    sending_.clear();
    // A server that takes no more may have answered: the reading side finds out.
    if (!written) {
      write_failed_ = true;
      output_.clear();
    }
    changed_.notify_all();
    if (write_failed_) break;
  }
}

}  // namespace capstan::wire::rest
