// Why this file exists: the data paths of one call, in and out, with their back-pressure.
#include "wire/grpc/server_call.h"

#include <algorithm>
#include <utility>

namespace capstan::wire {

namespace {
constexpr std::size_t kKeptMessageBytes = 1024;

google::protobuf::ArenaOptions arena_options(char* block, std::size_t size) {
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = size;
  return options;
}
}  // namespace

ServerCall::ServerCall(ServerSession& session, std::size_t max_message_bytes)
    : session_(session),
      deadline_([this] { session_.deadline_passed(*this); }),
      announcement_([this] { session_.announce(*this); }),
      decoder_(max_message_bytes),
      arena_(arena_options(arena_block_.data(), arena_block_.size())) {
  call_.peer = session.connection_.peer();
  call_.wire = "grpc";
}

void ServerCall::begin(Http2Stream& stream, const rpc::Directory::Entry& entry) {
  stream_ = &stream;
  stream.context = this;
  entry_ = &entry;
  stream.paced = !unary();
  cancel_.emplace();
  call_.operation = &entry.operation;
  call_.token = cancel_->token();
}

void ServerCall::reset() {
  deadline_.disarm();
  announcement_.disarm();
  if (stream_) {
    give_back(held_bytes_);  // the stream stays until its client has heard that it ended
    stream_->context = nullptr;
  }
  stream_ = nullptr;
  entry_ = nullptr;
  // Capacity stays: the vectors of the metadata, the strings of the peer.
  call_.operation = nullptr;
  call_.deadline = 0;
  call_.token = {};
  call_.metadata.request.clear();
  call_.metadata.initial.clear();
  call_.metadata.trailers.clear();
  call_.trace_id.clear();
  cancel_.reset();
  announcement_held_ = false;
  request_gzip_ = answer_gzip_ = headers_sent_ = ended_ = running_ = drained_ = false;
  decoder_.clear();
  input_error_.reset();
  violation_.reset();
  took_one_ = false;
  held_bytes_ = 0;
  session_.request_bytes_ -= charged_bytes_;
  session_.all_request_bytes() -= charged_bytes_;
  charged_bytes_ = 0;
  readable_.clear();
  writable_.clear();
  written_bytes_ = 0;
  queued_first_ = queued_count_ = 0;
  request_ = nullptr;
  if (std::exchange(message_bytes_, kNothing) > kKeptMessageBytes) {
    response_.reset();
  } else if (response_) {
    response_->Clear();
  }
  arena_.Reset();
}

void ServerCall::prepare_response() {
  if (response_ && response_type_ == entry_->response) return;
  response_ = entry_->new_response();
  response_type_ = entry_->response;
}

void ServerCall::set_deadline(core::Nanos timeout) {
  auto& reactor = session_.reactor_;
  call_.deadline = std::max<core::Nanos>(reactor.now() + timeout, 1);
  deadline_.arm_at(reactor, call_.deadline);
}

void ServerCall::cancel(Code reason) {
  cancel_->fire(reason);
  readable_.notify();
  writable_.notify();
  session_.output_room_.notify_all();
}

Error ServerCall::final_error(Error error) const {
  if (violation_) return *violation_;
  if (error.code != Code::kCancelled) return error;
  if (cancel_->token().reason() == Code::kDeadlineExceeded) {
    error.code = Code::kDeadlineExceeded;
  } else if (drained_) {
    return fail_until(Code::kUnavailable, "the node is shutting down; try again later",
                      core::kSecond)
        .error();
  }
  return error;
}

// --- in ----------------------------------------------------------------------------------------

void ServerCall::give_back(std::size_t bytes) {
  bytes = std::min(bytes, held_bytes_);
  held_bytes_ -= bytes;
  if (!stream_ || bytes == 0) return;
  session_.connection_.http2().consume(*stream_, bytes);
  session_.connection_.wake();
}

Result<void> ServerCall::parse(const GrpcFrame& frame, rpc::Message& into) const {
  ByteView body = frame.body;
  std::string plain;
  if (frame.compressed) {
    if (!request_gzip_) {
      return fail(Code::kInternal, "compressed message, but the call names no grpc-encoding");
    }
    TRY_SET(plain, grpc_gunzip(body, session_.options_.receive_message_bytes));
    body = as_bytes(plain);
  }
  if (into.ParseFromArray(body.data(), static_cast<int>(body.size()))) return {};
  return fail(Code::kInternal, "request of " + entry_->operation.full_name() + " is not a valid " +
                                   into.GetTypeName());
}

bool ServerCall::one_request() const {
  return !entry_->operation.method().client_streaming();
}

Error ServerCall::too_many_requests() const {
  return {Code::kUnimplemented,
          0,
          "operation " + entry_->operation.full_name() + " takes one request, more were sent",
          {}};
}

Result<void> ServerCall::take_request(const GrpcFrame& frame) {
  if (request_) return std::unexpected(too_many_requests());
  request_ = entry_->request->New(&arena_);
  return parse(frame, *request_);
}

Result<void> ServerCall::receive(ByteView data) {
  held_bytes_ += data.size();
  if (!unary()) {
    if (input_error_ || violation_) return give_back(data.size()), Result<void>();
    if (took_one_ && one_request() && !data.empty()) {
      violation_ = too_many_requests();
      cancel(Code::kCancelled);
      return give_back(held_bytes_), Result<void>();
    }
    if (auto added = decoder_.append(data); !added) input_error_ = std::move(added).error();
    if (input_error_ || readable_.waited_for()) give_back(held_bytes_);
    readable_.notify();
    return {};
  }
  give_back(held_bytes_);
  TRY(session_.charge(*this, data.size()));
  if (const auto frame = decoder_.whole(data)) return take_request(*frame);
  TRY(decoder_.append(data));
  while (true) {
    TRY_SET(const auto frame, decoder_.next());
    if (!frame) return {};
    TRY(take_request(*frame));
  }
}

Result<void> ServerCall::receive_end() {
  ended_ = true;
  if (!unary()) {
    readable_.notify();
    return {};
  }
  if (decoder_.buffered() != 0) {
    return fail(Code::kInternal, "the request ended in the middle of a message");
  }
  if (!request_) {
    return fail(Code::kUnimplemented,
                "operation " + entry_->operation.full_name() + " takes one request, none was sent");
  }
  decoder_.clear();  // the message is in the arena
  return {};
}

void ServerCall::interrupt() {
  if (!input_error_) input_error_ = Error{Code::kCancelled, 0, "reading was interrupted", {}};
  readable_.notify();
}

core::Task<Result<bool>> ServerCall::next(rpc::Message& into) {
  while (true) {
    CO_TRY(call_.token.check());
    if (input_error_) co_return std::unexpected(*input_error_);
    CO_TRY_SET(const auto frame, decoder_.next());
    if (frame) {
      give_back(kGrpcPrefixBytes + frame->body.size());
      CO_TRY(parse(*frame, into));
      took_one_ = true;
      if (!announcement_held_) release_announcement();
      if (one_request() && decoder_.buffered() != 0) {
        co_return std::unexpected(too_many_requests());
      }
      co_return true;
    }
    if (ended_) {
      if (decoder_.buffered() == 0) co_return false;
      co_return fail(Code::kInternal, "the request ended in the middle of a message");
    }
    give_back(held_bytes_);
    co_await readable_.wait();
  }
}

// --- out ----------------------------------------------------------------------------------------

bool ServerCall::output_full() const {
  const std::size_t unsent = stream_->unsent_bytes();
  if (queued_count_ == queued_ends_.size() || unsent >= limits::kHttp2StreamWindowBytes)
    return true;
  // With much unsent on the connection every stream keeps one message, so none waits for another.
  return unsent != 0 &&
         session_.connection_.http2().unsent_bytes() >= limits::kHttp2OutputBufferBytes;
}

void ServerCall::output_taken() {
  while (queued_count_ != 0 && queued_ends_[queued_first_] <= stream_->sent_bytes()) {
    queued_first_ = (queued_first_ + 1) % queued_ends_.size();
    --queued_count_;
  }
  if (writable_.waited_for()) writable_.notify();
}

core::Task<Result<void>> ServerCall::send(const rpc::Message& message) {
  CO_TRY(call_.token.check());
  if (!stream_) co_return fail(Code::kCancelled, "the client is gone");
  session_.send_headers(*this);
  session_.send_message(*this, message);
  session_.connection_.wake();
  queued_ends_[(queued_first_ + queued_count_++) % queued_ends_.size()] = written_bytes_;
  // The last free place is kept by waiting here, so the next send always has one.
  if (stream_ && !call_.token.fired() && output_full()) {
    const core::CancelCallback wake(call_.token, [this] { writable_.notify(); });
    while (stream_ && !call_.token.fired() && output_full()) co_await writable_.wait();
  }
  CO_TRY(call_.token.check());
  if (!stream_) co_return fail(Code::kCancelled, "the client is gone");
  co_return Result<void>();
}

void ServerCall::release_announcement() {
  announcement_held_ = false;
  if (entry_->operation.kind != rpc::Kind::kEndless || headers_sent_) return;
  announcement_.arm_at(session_.reactor_, session_.reactor_.now());
}

void ServerCall::stream_closed() {
  stream_ = nullptr;
  held_bytes_ = 0;
  cancel(Code::kCancelled);
}

}  // namespace capstan::wire
