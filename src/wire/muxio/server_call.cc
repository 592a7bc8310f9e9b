// Why this file exists: the data paths of one call of the peer, in and out, with their
// back-pressure.
#include "wire/muxio/server_call.h"

#include <utility>

#include "wire/muxio/error_map.h"

namespace capstan::wire::muxio {

namespace {
google::protobuf::ArenaOptions arena_options(char* block, std::size_t size) {
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = size;
  return options;
}
constexpr std::size_t kKeptBytes = 64U << 10;  // memory that a finished call may keep
}  // namespace

ServerCall::ServerCall(Session& session)
    : session_(session),
      records_(session.options_.message_bytes),
      arena_(arena_options(arena_block_.data(), arena_block_.size())) {
  call_.peer = session.link_.peer();
  call_.wire = "muxio";
}

void ServerCall::begin(const Method& method, const MessageHeader& header, std::uint32_t stream,
                       std::string_view metadata) {
  method_ = &method;
  header_ = header;
  stream_ = stream;
  metadata_.assign(metadata);
  count_bytes(metadata_.size());
  cancel_.emplace();
  call_.operation = &method.entry->operation;
  call_.token = cancel_->token();
  for (const auto& pair : session_.options_.metadata) call_.metadata.request.push_back(pair);
}

void ServerCall::reset() {
  hold_bytes(0);
  session_.set_clogged(clogging_, false);
  method_ = nullptr;
  call_.operation = nullptr;
  call_.deadline = 0;
  call_.token = {};
  call_.metadata.request.clear();
  call_.metadata.initial.clear();
  call_.metadata.trailers.clear();
  call_.trace_id.clear();
  cancel_.reset();
  metadata_.clear();
  body_.clear();
  if (body_.capacity() > kKeptBytes) body_ = {};
  records_.clear();
  metadata_taken_ = ended_ = running_ = interrupted_ = drained_ = abandoned_ = false;
  readable_.reset();
  out_ = {};
  answer_open_ = false;
  request_ = response_ = nullptr;
  arena_.Reset();
}

void ServerCall::cancel(Code reason) {
  cancel_->fire(reason);
  wake_reader();
  session_.link_.room().notify_all();
}

// --- in -----------------------------------------------------------------------------------------

void ServerCall::count_bytes(std::size_t bytes) {
  session_.charge(counted_bytes_, bytes);
}

void ServerCall::hold_bytes(std::size_t bytes) {
  count_bytes(bytes);
  auto& sum = session_.held_bytes_;
  const bool paused = sum > session_.options_.held_bytes;
  sum = sum - held_bytes_ + bytes;
  held_bytes_ = bytes;
  if (paused && sum <= session_.options_.held_bytes) session_.link_.room().notify_all();
}

std::string overcharge_text(bool bare) {
  constexpr std::string_view kText = "too many bytes of requests are unfinished; try again later";
  return bare ? std::string(kText) : "RESOURCE_EXHAUSTED: " + std::string(kText);
}

Result<void> ServerCall::receive(ByteView piece) {
  if (client_streams()) {
    records_.append(piece);
    const bool waited_for = readable_.waiters() != 0;
    wake_reader();
    if (!waited_for && records_.buffered() >= limits::kMuxioStreamQueuedBytes) {
      session_.set_clogged(clogging_, true);
    }
    return {};
  }
  if (body_.size() + piece.size() > session_.options_.request_bytes) {
    return fail(Code::kResourceExhausted, "request too large");
  }
  body_.append(as_text(piece));
  count_bytes(metadata_.size() + body_.size());
  if (session_.overcharged()) {
    return fail(Code::kResourceExhausted, overcharge_text(method_->bitcode.has_value()));
  }
  return {};
}

Result<void> ServerCall::receive_end() {
  ended_ = true;
  inbound_ = nullptr;
  if (client_streams()) {
    hold_bytes(metadata_.size());
    wake_reader();
    return {};
  }
  const std::size_t size = arguments().size();
  if (!unary()) {
    hold_bytes(size);
    return {};
  }
  request_ = method_->entry->request->New(&arena_);
  TRY(parse(arguments(), *request_));
  // Few bytes of bitcode can stand for many values. The arena counts these, not their contents.
  const std::size_t allocated = arena_.SpaceAllocated();
  const bool small = size <= kSmallArguments && allocated <= kArenaBytes;
  hold_bytes(small ? size : allocated + request_->ByteSizeLong());
  body_.clear();
  if (body_.capacity() > kKeptBytes) body_ = {};  // a running call needs its request only once
  return {};
}

Result<void> ServerCall::parse(ByteView bytes, rpc::Message& into) const {
  if (method_->bitcode) return method_->bitcode->decode_request(bytes, into);
  if (bytes.size() <= INT32_MAX &&
      into.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return {};
  }
  return fail(Code::kInvalidArgument, "request of " + method_->entry->operation.full_name() +
                                          " is not a valid " + into.GetTypeName());
}

void ServerCall::interrupt() {
  interrupted_ = true;
  wake_reader();
}

core::Task<Result<bool>> ServerCall::next(rpc::Message& into) {
  while (true) {
    CO_TRY(call_.token.check());
    if (interrupted_) co_return fail(Code::kCancelled, "reading was interrupted");
    const bool first = !std::exchange(metadata_taken_, true);
    if (!client_streams()) {
      if (!first) co_return false;
      CO_TRY(parse(arguments(), into));
      co_return true;
    }
    if (first && !metadata_.empty()) {
      CO_TRY(parse(as_bytes(metadata_), into));
      co_return true;
    }
    CO_TRY_SET(const auto record, records_.next());
    if (record) {
      CO_TRY(parse(*record, into));
      if (records_.buffered() < limits::kMuxioStreamQueuedBytes) {
        session_.set_clogged(clogging_, false);
      }
      co_return true;
    }
    if (ended_) {
      if (records_.buffered() == 0) co_return false;
      co_return fail(Code::kInvalidArgument, "the request ended in the middle of a message");
    }
    session_.set_clogged(clogging_, false);
    readable_.reset();
    co_await readable_.wait();
  }
}

// --- out ----------------------------------------------------------------------------------------

bool ServerCall::output_full() const {
  return session_.link_.unsent() >= limits::kMuxioStreamQueuedBytes && !session_.link_.closed() &&
         !call_.token.fired();
}

namespace {
std::array<std::uint8_t, kMessageHeaderBytes + 1> answer_head(const MessageHeader& call,
                                                              Status status) {
  std::array<std::uint8_t, kMessageHeaderBytes + 1> head;
  write_message_header(head.data(), {MessageType::kResponse, call.request, call.method, 1});
  head.back() = static_cast<std::uint8_t>(status);
  return head;
}
}  // namespace

core::Task<Result<void>> ServerCall::send(const rpc::Message& message) {
  CO_TRY(call_.token.check());
  if (session_.link_.closed()) co_return fail(Code::kCancelled, "the client is gone");
  const std::size_t size = message.ByteSizeLong();
  std::string& record = session_.scratch_;
  record.resize(kRecordHeaderBytes + size);
  auto* to = reinterpret_cast<std::uint8_t*>(record.data());
  store_le(to, static_cast<std::uint32_t>(size));
  message.SerializeWithCachedSizesToArray(to + kRecordHeaderBytes);
  open_answer();
  session_.send(out_, {}, as_bytes(record), false);
  if (output_full()) {
    auto& room = session_.link_.room();
    const core::CancelCallback wake(call_.token, [&room] { room.notify_all(); });
    while (output_full()) co_await room.wait();
  }
  CO_TRY(call_.token.check());
  if (session_.link_.closed()) co_return fail(Code::kCancelled, "the client is gone");
  co_return Result<void>();
}

void ServerCall::open_answer() {
  if (std::exchange(answer_open_, true)) return;
  out_.id = session_.next_id();
  session_.send(out_, answer_head(header_, Status::kSuccess), {}, false);
}

void ServerCall::answer(Result<void> result) {
  if (session_.link_.closed()) return;  // nobody listens
  if (abandoned_) {
    if (answer_open_) session_.send_cancel(out_);
    return;
  }
  if (!result) {
    Error error = std::move(result).error();
    if (error.code == Code::kCancelled && drained_) {
      error = {Code::kUnavailable, 0, "the node is shutting down; try again later", {}};
    } else if (error.code == Code::kCancelled && call_.token.reason() == Code::kDeadlineExceeded) {
      error.code = Code::kDeadlineExceeded;
    }
    const std::string text = error_payload(error, method_->bitcode.has_value());
    if (answer_open_) {
      std::array<std::uint8_t, kRecordHeaderBytes> record;
      store_le(record.data(), kErrorRecord);
      return session_.send(out_, record, as_bytes(text), true);
    }
    out_.id = session_.next_id();
    return session_.send(out_, answer_head(header_, Status::kSystemError), as_bytes(text), true);
  }
  if (!unary()) {
    open_answer();
    return session_.send(out_, {}, {}, true);
  }
  std::string& payload = session_.scratch_;
  payload.clear();
  if (method_->bitcode)
    method_->bitcode->encode_response(*response_, payload);
  else
    response_->AppendToString(&payload);
  out_.id = session_.next_id();
  session_.send(out_, answer_head(header_, Status::kSuccess), as_bytes(payload), true);
  if (payload.capacity() > kKeptBytes) payload = {};
}

}  // namespace capstan::wire::muxio
