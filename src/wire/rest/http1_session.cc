// Why this file exists: see http1_session.h.
#include "wire/rest/http1_session.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace capstan::wire::rest {

namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::unexpected<Error> client_gone() {
  return fail(Code::kCancelled, "the client is gone");
}

}  // namespace

Http1Session::Http1Session(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                           Pipeline& pipeline, const SessionOptions& options)
    : reactor_(reactor),
      stream_(std::move(stream)),
      pipeline_(pipeline),
      options_(options),
      deadline_([this] {
        overdue_ = true;
        changed_.notify_all();
      }),
      stalled_([this] { abort(); }),
      parser_(options.head) {}

core::Task<void> Http1Session::run() {
  core::name_task("HTTP/1.1 connection");
  scope_.spawn(read_loop());
  co_await serve_loop();
  deadline_.disarm();
  co_await linger();
  stream_->cancel();
  room_.notify_all();
  co_await scope_.join();
  stalled_.disarm();
}

void Http1Session::drain() {
  if (std::exchange(draining_, true)) return;
  keep_ = false;
  stopping_.fire();
  changed_.notify_all();
}

void Http1Session::abort() {
  keep_ = false;
  if (gone_) gone_->fire(Code::kCancelled);
  stream_->cancel();
  changed_.notify_all();
}

// --- bytes in
// -------------------------------------------------------------------------------------

core::Task<void> Http1Session::read_loop() {
  std::vector<std::uint8_t> buffer(limits::kRestReadBytesMin);
  while (true) {
    while (pending().size() >= limits::kRestReadBytes && !closing_) {
      if (flooded()) {
        abort();
        break;
      }
      co_await room_.wait();
    }
    const auto got = co_await stream_->read(buffer);
    if (!got || *got == 0) break;
    if (closing_) continue;
    input_.append(as_text(ByteView(buffer).first(*got)));
    changed_.notify_all();
    if (*got == buffer.size() && buffer.size() < limits::kRestReadBytes) {
      buffer.resize(std::min(buffer.size() * 4, limits::kRestReadBytes));
    } else if (*got < limits::kRestReadBytesMin && buffer.size() > limits::kRestReadBytesMin) {
      buffer.resize(limits::kRestReadBytesMin);
      buffer.shrink_to_fit();
    }
  }
  ended_ = true;
  if (gone_) gone_->fire(Code::kCancelled);
  changed_.notify_all();
}

// Moves what is left only when that is less than what is gone: small steps stay cheap.
void Http1Session::take(std::size_t count) {
  taken_ += count;
  if (taken_ <= input_.size() / 2) return;
  input_.erase(0, taken_);
  taken_ = 0;
}

bool Http1Session::flooded() const {
  const bool nobody_reads = decoder_.done() || !body_wanted_;
  return streaming_ && !upper_ && nobody_reads && pending().size() >= limits::kRestReadBytes;
}

bool Http1Session::body_is_here() const {
  if (decoder_.done()) return true;
  return framing_.kind == Http1Framing::Kind::kLength && framing_.length <= pending().size();
}

bool Http1Session::body_is_broken() const {
  Http1BodyDecoder decoder = decoder_;
  ByteView bytes = as_bytes(pending());
  while (!decoder.done() && !bytes.empty()) {
    const auto step = decoder.next(bytes);
    if (!step) return true;
    bytes = bytes.subspan(step->used);
  }
  return false;
}

void Http1Session::set_deadline(core::Nanos duration) {
  overdue_ = false;
  deadline_.arm_at(reactor_, reactor_.now() + duration);
}

core::Task<void> Http1Session::wait_for_change() {
  co_await changed_.wait();
}

core::Task<bool> Http1Session::read_head() {
  parser_.restart();
  request_ = {};  // what is refused below is no answer to the one before
  bool begun = false;
  set_deadline(options_.idle);
  while (true) {
    if (!pending().empty()) {
      if (!std::exchange(begun, true)) set_deadline(options_.header);
      const auto complete = parser_.add(as_bytes(pending()));
      input_.clear();
      taken_ = 0;
      room_.notify_all();
      if (!complete) {
        const bool large = complete.error().code == Code::kResourceExhausted;
        co_await refuse(large ? 431 : 400, complete.error().message + "\n");
        co_return false;
      }
      if (*complete) {
        request_ = parser_.take_request();
        input_ = as_text(parser_.rest());
        deadline_.disarm();
        co_return true;
      }
    }
    if (!co_await flush()) co_return false;
    if (!pending().empty()) continue;
    if (ended_ || draining_) co_return false;
    if (overdue_) {
      if (begun) co_await refuse(408, "The request did not come in time.\n");
      co_return false;
    }
    co_await wait_for_change();
  }
}

core::Task<Result<ByteView>> Http1Session::read() {
  body_wanted_ = true;
  if (!interrupted_ && std::exchange(expects_continue_, false) && pending().empty()) {
    output_ += kContinue;
    CO_TRY(co_await flush());
  }
  set_deadline(options_.body);
  while (true) {
    if (interrupted_) co_return fail(Code::kCancelled, "reading was interrupted");
    if (decoder_.done()) break;
    if (!pending().empty()) {
      const auto step = decoder_.next(as_bytes(pending()));
      if (!step) {
        keep_ = false;  // nobody knows where the next request begins
        co_return std::unexpected(step.error());
      }
      piece_ = as_text(step->piece);
      take(step->used);
      room_.notify_all();
      if (!piece_.empty()) {
        deadline_.disarm();
        co_return as_bytes(piece_);
      }
      continue;
    }
    if (ended_) {
      keep_ = false;
      co_return client_gone();
    }
    if (overdue_) {
      keep_ = false;
      co_return fail(Code::kDeadlineExceeded, "the request body did not come in time");
    }
    co_await wait_for_change();
  }
  deadline_.disarm();
  co_return ByteView();
}

void Http1Session::interrupt_read() {
  interrupted_ = true;
  body_wanted_ = false;  // until somebody reads again
  changed_.notify_all();
}

// --- requests -----------------------------------------------------------------------------------

core::Task<void> Http1Session::serve_loop() {
  while (keep_) {
    if (!co_await read_head()) break;
    serving_ = true;
    co_await serve_one();
    serving_ = false;
    // A token that somebody kept is of the request that is over.
    if (gone_ && gone_->watched()) gone_.reset();
  }
  const auto sent = co_await flush();
  static_cast<void>(sent.has_value());  // nothing can be done for a client that is gone
}

core::Task<void> Http1Session::serve_one() {
  answered_ = streaming_ = complete_ = chunked_ = interrupted_ = body_wanted_ = false;
  const auto framing = http1_request_framing(request_);
  if (!framing) {
    const bool unknown = framing.error().code == Code::kUnimplemented;
    co_return co_await refuse(unknown ? 501 : 400, framing.error().message + "\n");
  }
  framing_ = *framing;
  decoder_ = Http1BodyDecoder(framing_);
  expects_continue_ = !request_.http10 && !decoder_.done() && request_.expects_continue();
  if (request_.http10 || !request_.keep_alive || draining_) keep_ = false;
  if (!gone_ || gone_->fired()) gone_.emplace();
  // Whoever has to wait for more from the client, or for the handler alone, does not keep the
  // answers before it waiting. Before the handler runs: later somebody else may be writing.
  if ((pending().empty() || !body_is_here()) && !co_await flush()) co_return;
  co_await pipeline_.serve(*this);
  if (!complete_) keep_ = false;
  if (!decoder_.done() && !co_await skip_body()) keep_ = false;
}

// The rest of a body that nobody wanted. False when that is too much: the connection ends instead.
core::Task<bool> Http1Session::skip_body() {
  if (expects_continue_ || framing_.length > limits::kRestSkippedBytes) co_return false;
  if (!keep_ || ended_) co_return false;
  if (!co_await flush()) co_return false;
  std::size_t skipped = 0;
  interrupted_ = false;
  while (skipped <= limits::kRestSkippedBytes) {
    const auto piece = co_await read();
    if (!piece) co_return false;
    if (piece->empty()) co_return true;
    skipped += piece->size();
  }
  co_return false;
}

core::Task<void> Http1Session::refuse(unsigned status, std::string text) {
  keep_ = false;
  answered_ = complete_ = false;
  decoder_ = Http1BodyDecoder();
  std::string_view said = text;
  while (said.ends_with('\n')) said.remove_suffix(1);
  pipeline_.tell_unreadable(peer(), status, std::string(said));
  Reply reply;
  reply.status = status;
  reply.headers.emplace_back("content-type", "text/plain");
  reply.body = std::move(text);
  const auto sent = co_await answer(std::move(reply));
  if (sent) static_cast<void>((co_await flush()).has_value());
}

// --- bytes out
// ------------------------------------------------------------------------------------

core::Task<Result<void>> Http1Session::flush() {
  if (write_error_) co_return std::unexpected(*write_error_);
  if (output_.empty()) co_return Result<void>();
  stalled_.arm_at(reactor_, reactor_.now() + options_.stalled);
  auto written = co_await stream_->write(as_bytes(output_));
  stalled_.disarm();
  output_.clear();
  if (output_.capacity() > limits::kRestWriteBytes) output_.shrink_to_fit();
  if (!written) {
    keep_ = false;
    write_error_ = written.error();
    if (gone_) gone_->fire(Code::kCancelled);
  }
  co_return written;
}

void Http1Session::append_head(const Reply& reply) {
  http1_append_status(reply.status, output_);
  for (const auto& [name, value] : reply.headers) http1_append_header(name, value, output_);
  if (!reply.type.empty()) http1_append_header("content-type", reply.type, output_);
}

void Http1Session::end_head() {
  if (!keep_) http1_append_header("connection", "close", output_);
  output_ += "\r\n";
}

core::Task<Result<void>> Http1Session::answer(Reply reply) {
  CAPSTAN_ASSERT(!answered_);
  answered_ = complete_ = true;
  // A client that was promised to be asked for its body may send it or not.
  if (expects_continue_) keep_ = false;
  // More than anybody skips is still to come, or, of a body in chunks, may be.
  const bool large = framing_.length > limits::kRestSkippedBytes || reply.status == 413;
  if (!decoder_.done() && (large || body_is_broken())) keep_ = false;
  const bool bare = reply.status == 204 || reply.status == 304;
  append_head(reply);
  if (!bare) http1_append_header("content-length", std::to_string(reply.body.size()), output_);
  end_head();
  if (!bare && request_.method != "HEAD") output_ += reply.body;
  // Answers to requests that came together leave together.
  if (output_.size() >= limits::kRestWriteBytes || !keep_) co_return co_await flush();
  co_return Result<void>();
}

core::Task<Result<void>> Http1Session::start(Reply head, bool whole) {
  CAPSTAN_ASSERT(!answered_);
  answered_ = streaming_ = true;
  chunked_ = !request_.http10;
  upper_ = whole;
  if (whole && options_.close_after_chunked) keep_ = false;
  if (expects_continue_) keep_ = false;
  append_head(head);
  if (chunked_) http1_append_header("transfer-encoding", "chunked", output_);
  end_head();
  const auto sent = co_await flush();
  if (!whole) {
    // A request may have come together with the end: no later event would say it.
    if (ended_ && gone_) gone_->fire(Code::kCancelled);
    room_.notify_all();  // what was sent ahead may be too much now
  }
  co_return sent;
}

core::Task<Result<void>> Http1Session::write(std::string_view bytes) {
  CAPSTAN_ASSERT(streaming_);
  if (chunked_) {
    http1_append_chunk(bytes, upper_, output_);
  } else {
    output_ += bytes;
  }
  co_return co_await flush();
}

core::Task<Result<void>> Http1Session::finish() {
  CAPSTAN_ASSERT(streaming_);
  streaming_ = false;
  complete_ = true;
  if (chunked_) output_ += kHttp1LastChunk;
  co_return co_await flush();
}

void Http1Session::break_off() {
  keep_ = complete_ = false;
  output_.clear();
}

// The client closes first, if it does so soon: bytes of it that nobody reads would destroy what it
// has not read yet.
core::Task<void> Http1Session::linger() {
  closing_ = true;
  input_.clear();
  taken_ = 0;
  room_.notify_all();
  if (ended_ || write_error_) co_return;
  stream_->shutdown_write();
  set_deadline(limits::kRestLingerNanos);
  while (!ended_ && !overdue_) co_await wait_for_change();
  deadline_.disarm();
}

}  // namespace capstan::wire::rest
