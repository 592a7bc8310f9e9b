// Why this file exists: from frames to messages and from messages to calls, in both directions.
#include "wire/muxio/session.h"

#include <algorithm>
#include <utility>

#include "wire/muxio/client_call.h"
#include "wire/muxio/error_map.h"
#include "wire/muxio/server_call.h"

namespace capstan::wire::muxio {

namespace {
constexpr std::string_view kWire = "muxio";
constexpr std::size_t kSpareCalls = 256;
constexpr std::uint32_t kServerIds = 0x80000000;  // the ids that a server makes
}  // namespace

// A stream of the peer, from its first byte to its end.
struct Session::Inbound {
  enum class Kind : std::uint8_t { kNew, kCall, kAnswer, kRefused, kIgnored } kind = Kind::kNew;
  MessageDecoder message;
  ServerCall* call = nullptr;
  ClientCall* asked = nullptr;
  std::size_t counted_bytes = 0;     // of an unfinished header, in the server's sum
  Status status = Status::kSuccess;  // kRefused: answered with these at the end of the request
  std::string text;
  Code code = Code::kOk;

  void refuse(Status answer, std::string says, Code why) {
    kind = Kind::kRefused;
    call = nullptr;
    status = answer;
    text = std::move(says);
    code = why;
  }
};

Session::Session(core::Env& env, std::unique_ptr<core::Stream> stream, std::string prefix,
                 const Served& served, const SessionOptions& options, Counters& counters)
    : env_(env),
      served_(served),
      options_(options),
      counters_(counters),
      link_(*core::Reactor::current(), std::move(stream), std::move(prefix), *this, options.link) {
  if (options.header_bytes == 0) return;
  header_bytes_ = options.header_bytes;
  decoder_.emplace(static_cast<FrameEvents&>(*this), header_bytes_, options_.frames);
}

Session::~Session() = default;

core::Task<void> Session::run() {
  co_await link_.run();
  over_ = true;
  for (const auto& inbound : inbounds_) {  // requests that will never be complete
    count_header(*inbound, 0);
    if (inbound->kind == Inbound::Kind::kCall && !inbound->call->running_) release(inbound->call);
  }
  for (auto* call : active_) call->cancel(Code::kCancelled);
  const auto asked = std::exchange(asked_, {});
  for (const auto& [request, call] : asked) {
    call->fail_with({Code::kUnavailable, 0, "the connection ended: " + link_.reason(), {}});
  }
  link_.room().notify_all();
  co_await scope_.join();
}

void Session::drain() {
  if (std::exchange(draining_, true)) return;
  for (auto* call : active_) {
    if (!call->running_ || call->method_->entry->operation.kind != rpc::Kind::kEndless) continue;
    call->drained_ = true;
    call->cancel(Code::kCancelled);
  }
  end_if_drained();
}

void Session::end_if_drained() {
  if (draining_ && active_.empty()) {
    link_.close(WebSocketClose::kGoingAway, "the node is shutting down");
  }
}

void Session::abort(std::string reason) {
  for (auto* call : active_) {
    call->drained_ = true;
    call->cancel(Code::kCancelled);
  }
  link_.cut(std::move(reason));
}

// --- frames in ----------------------------------------------------------------------------------

Result<void> Session::on_bytes(ByteView bytes, std::uint64_t message_bytes) {
  return decoder_ ? decode(bytes) : recognise(bytes, message_bytes);
}

Result<void> Session::recognise(ByteView bytes, std::uint64_t message_bytes) {
  if (unrecognised_.empty()) first_message_bytes_ = message_bytes;
  unrecognised_.append(as_text(bytes));
  const auto knows = [this](std::uint64_t id) {
    return served_.methods && served_.methods->find(id) != nullptr;
  };
  const auto found = detect_header_bytes(as_bytes(unrecognised_), first_message_bytes_, knows,
                                         options_.default_header_bytes);
  if (!found) return {};
  header_bytes_ = *found;
  decoder_.emplace(static_cast<FrameEvents&>(*this), header_bytes_, options_.frames);
  return decode(as_bytes(std::exchange(unrecognised_, {})));
}

Result<void> Session::decode(ByteView bytes) {
  auto decoded = decoder_->receive(bytes);
  if (decoded) return decoded;
  link_.close(decoder_->too_big() ? WebSocketClose::kTooBig : WebSocketClose::kPolicy,
              decoded.error().message);
  return decoded;
}

void Session::on_read_done() {}

bool Session::wants_pause() const {
  return clogged_ != 0 || running_ >= limits::kMuxioCallsInFlight ||
         held_bytes_ > options_.held_bytes;
}

void Session::set_clogged(bool& mine, bool clogged) {
  if (std::exchange(mine, clogged) == clogged) return;
  clogged ? void(++clogged_) : void(--clogged_);
  if (!clogged) link_.room().notify_all();
}

Session::Inbound* Session::take_inbound() {
  if (spare_inbounds_.empty()) {
    inbounds_.push_back(std::make_unique<Inbound>());
    return inbounds_.back().get();
  }
  auto* inbound = spare_inbounds_.back();
  spare_inbounds_.pop_back();
  return inbound;
}

void Session::count_header(Inbound& inbound, std::size_t bytes) {
  charge(inbound.counted_bytes, bytes);
}

void Session::charge(std::size_t& counted, std::size_t bytes) {
  counters_.unfinished_bytes += bytes - counted;
  charged_bytes_ += bytes - counted;
  counted = bytes;
}

// A connection may have as much as nobody uses: half of all when it is alone, a third when there
// are two, and there is always something left for a new one.
bool Session::overcharged() const {
  const std::size_t all = counters_.unfinished_bytes;
  return all > options_.all_bytes || charged_bytes_ > options_.all_bytes - all;
}

void Session::release(Inbound* inbound) {
  count_header(*inbound, 0);
  if (inbound->asked) inbound->asked->inbound_ = nullptr;
  inbound->kind = Inbound::Kind::kNew;
  inbound->message.clear();
  inbound->call = nullptr;
  inbound->asked = nullptr;
  inbound->text.clear();
  spare_inbounds_.push_back(inbound);
}

void Session::on_data(StreamState& stream, ByteView piece) {
  if (over_ || link_.closed()) return;
  if (!stream.context) stream.context = take_inbound();
  auto& inbound = *static_cast<Inbound*>(stream.context);
  if (inbound.kind == Inbound::Kind::kNew) {
    const auto complete = inbound.message.add(piece);
    const bool partial = complete && !*complete;
    count_header(inbound, partial ? inbound.message.buffered() : 0);
    if (!complete) {
      inbound.kind = Inbound::Kind::kIgnored;
      inbound.message.clear();
      return;
    }
    const bool call =
        inbound.message.header_known() && inbound.message.header().type == MessageType::kCall;
    if (call && overcharged()) {
      ++counters_.calls_started;
      const Method* method = method_of(inbound.message.header().method);
      inbound.refuse(Status::kSystemError, overcharge_text(method && method->bitcode),
                     Code::kResourceExhausted);
      inbound.message.drop_metadata();
      count_header(inbound, 0);
      return;
    }
    if (partial) return;
    accept_message(inbound, stream);
  }
  if (piece.empty()) return;
  if (inbound.kind == Inbound::Kind::kAnswer) return inbound.asked->receive(piece);
  if (inbound.kind != Inbound::Kind::kCall) return;
  ServerCall* call = inbound.call;
  if (auto taken = call->receive(piece); !taken) {
    inbound.refuse(Status::kSystemError, taken.error().message, taken.error().code);
    call->inbound_ = nullptr;
    release(call);
  }
}

void Session::on_end(StreamState& stream) {
  auto* inbound = static_cast<Inbound*>(stream.context);
  if (!inbound) return;
  const auto& header = inbound->message.header();
  switch (inbound->kind) {
    case Inbound::Kind::kCall: {
      ServerCall* call = inbound->call;
      if (const auto ended = call->receive_end(); !ended) {
        refuse(header, Status::kSystemError,
               error_payload(ended.error(), call->method_->bitcode.has_value()), ended.error());
        release(call);
      } else if (!call->running_) {
        start(*call);
      }
      break;
    }
    case Inbound::Kind::kAnswer: inbound->asked->receive_end(); break;
    case Inbound::Kind::kRefused:
      refuse(header, inbound->status, inbound->text, {inbound->code, 0, inbound->text, {}});
      break;
    case Inbound::Kind::kNew:
    case Inbound::Kind::kIgnored: break;
  }
  release(inbound);
  end_if_drained();  // that may have been the last call
}

void Session::on_cancel(std::uint32_t id, StreamState* stream) {
  if (auto* inbound = stream ? static_cast<Inbound*>(stream->context) : nullptr) {
    if (inbound->kind == Inbound::Kind::kCall) {
      ServerCall* call = inbound->call;
      call->inbound_ = nullptr;
      call->abandoned_ = true;
      call->running_ ? call->cancel(Code::kCancelled) : release(call);
    } else if (inbound->kind == Inbound::Kind::kAnswer) {
      inbound->asked->fail_with({Code::kAborted, 0, "the server cancelled the answer", {}});
    }
    release(inbound);
    return end_if_drained();
  }
  for (auto* call : active_) {  // the request is complete, the call still runs
    if (call->stream_ != id || !call->running_) continue;
    call->abandoned_ = true;
    call->cancel(Code::kCancelled);
    return;
  }
}

// --- calls of the peer --------------------------------------------------------------------------

void Session::accept_message(Inbound& inbound, StreamState& stream) {
  inbound.kind = Inbound::Kind::kIgnored;
  if (inbound.message.header().type == MessageType::kCall) return accept_call(inbound, stream);
  if (inbound.message.header().type == MessageType::kResponse) accept_response(inbound);
}

const Method* Session::method_of(std::uint64_t id) const {
  return served_.methods ? served_.methods->find(id) : nullptr;
}

void Session::accept_call(Inbound& inbound, StreamState& stream) {
  const MessageHeader header = inbound.message.header();
  // No early end, so that the compiler compares many at a time.
  std::size_t same = 0;
  for (const std::uint32_t request : active_requests_) same += request == header.request;
  if (same != 0) return;
  ++counters_.calls_started;
  const Method* method = method_of(header.method);
  if (!method) return inbound.refuse(Status::kMethodNotFound, {}, Code::kUnimplemented);
  if (draining_) {
    return inbound.refuse(Status::kSystemError,
                          "UNAVAILABLE: the node is shutting down; try again later",
                          Code::kUnavailable);
  }
  ServerCall* call = take_call();
  call->begin(*method, header, stream.id, inbound.message.metadata());
  call->inbound_ = &inbound;
  call->position_ = active_.size();
  active_.push_back(call);
  active_requests_.push_back(header.request);
  inbound.kind = Inbound::Kind::kCall;
  inbound.call = call;
  if (call->client_streams()) start(*call);
}

void Session::tell_refused(std::uint64_t method, const Error& why) {
  if (!options_.refused) return;
  const Method* const known = method_of(method);
  if (known) return scope_.spawn(tell(&known->entry->operation, why));
  options_.refused->tell_unknown(kWire, link_.peer(), "method " + std::to_string(method), why);
}

core::Task<void> Session::tell(const rpc::Operation* operation, Error why) {
  rpc::Call call;
  call.operation = operation;
  call.peer = link_.peer();
  call.metadata.request = options_.metadata;
  call.wire = kWire;
  co_await options_.refused->tell(call, std::move(why));
}

void Session::refuse(const MessageHeader& call, Status status, std::string_view text,
                     const Error& why) {
  ++counters_.calls_refused;
  tell_refused(call.method, why);
  if (link_.closed()) return;
  std::array<std::uint8_t, kMessageHeaderBytes + 1> head;
  write_message_header(head.data(), {MessageType::kResponse, call.request, call.method, 1});
  head.back() = static_cast<std::uint8_t>(status);
  Outbound out{next_id()};
  send(out, head, as_bytes(text), true);
}

void Session::start(ServerCall& call) {
  call.running_ = true;
  ++running_;
  scope_.spawn(run_call(&call));
}

core::Task<void> Session::run_call(ServerCall* call) {
  core::SharedMutex::Guard guard;
  if (call->method_->bitcode) {
    guard = co_await (call->method_->bitcode->changes() ? order_.lock() : order_.lock_shared());
  }
  // A peer that asks without reading its answers waits for itself.
  while (link_.unsent() >= limits::kMuxioOutputPauseBytes && !link_.closed() &&
         !call->call_.token.fired()) {
    co_await link_.room().wait();
  }
  const auto& entry = *call->method_->entry;
  if (call->unary()) {
    call->response_ = entry.response->New(&call->arena_);
    call->answer(
        co_await served_.directory->run(entry, call->call_, *call->request_, *call->response_));
  } else {
    call->answer(co_await served_.directory->run(entry, call->call_, *call, *call));
  }
  guard.release();
  if (running_-- == limits::kMuxioCallsInFlight) link_.room().notify_all();
  release(call);
  end_if_drained();
}

ServerCall* Session::take_call() {
  if (spare_calls_.empty()) {
    calls_.push_back(std::make_unique<ServerCall>(*this));
    calls_.back()->owned_position_ = calls_.size() - 1;
    return calls_.back().get();
  }
  auto* call = spare_calls_.back();
  spare_calls_.pop_back();
  return call;
}

void Session::release(ServerCall* call) {
  if (auto* inbound =
          std::exchange(call->inbound_, nullptr)) {  // the rest of the request is ignored
    inbound->kind = Inbound::Kind::kIgnored;
    inbound->call = nullptr;
  }
  active_[call->position_] = active_.back();
  active_[call->position_]->position_ = call->position_;
  active_.pop_back();
  active_requests_[call->position_] = active_requests_.back();
  active_requests_.pop_back();
  call->reset();
  if (spare_calls_.size() < kSpareCalls) {
    spare_calls_.push_back(call);
    return;
  }
  const std::size_t at = call->owned_position_;
  calls_.back()->owned_position_ = at;
  std::swap(calls_[at], calls_.back());
  calls_.pop_back();
}

// --- calls of ours ------------------------------------------------------------------------------

Result<void> Session::may_ask() const {
  if (over_ || link_.closed()) {
    return fail(Code::kUnavailable, "the connection has ended: " + link_.reason());
  }
  if (!ready()) {
    return fail(Code::kFailedPrecondition,
                "the peer has not sent anything, so the form of its frames is not known");
  }
  return {};
}

void Session::ask(ClientCall& call) {
  call.request_ = next_id();
  call.out_.id = next_id();
  asked_.emplace(call.request_, &call);
}

core::Task<Result<std::string>> Session::call(std::uint64_t method, std::string arguments,
                                              core::CancelToken token) {
  CO_TRY(may_ask());
  CO_TRY(token.check());
  ClientCall call(*this, false);
  ask(call);
  std::array<std::uint8_t, kMessageHeaderBytes> head;
  // Short arguments travel as metadata, long ones as payload; the bytes follow the header alike.
  const bool metadata = arguments.size() <= kMetadataBytes;
  write_message_header(head.data(), {MessageType::kCall, call.request_, method,
                                     static_cast<std::uint16_t>(metadata ? arguments.size() : 0)});
  send(call.out_, head, as_bytes(arguments), true);
  core::CancelCallback on_cancel(token, [&call, &token] { call.cancel(token.reason()); });
  co_await call.done();
  co_return call.take_answer();
}

Result<std::unique_ptr<ClientCall>> Session::open(std::uint64_t method,
                                                  std::optional<std::string> arguments) {
  TRY(may_ask());
  auto call = std::make_unique<ClientCall>(*this, true);
  ask(*call);
  std::array<std::uint8_t, kMessageHeaderBytes> head;
  const bool metadata = arguments && arguments->size() <= kMetadataBytes;
  write_message_header(head.data(), {MessageType::kCall, call->request_, method,
                                     static_cast<std::uint16_t>(metadata ? arguments->size() : 0)});
  send(call->out_, head, as_bytes(arguments.value_or("")), arguments.has_value());
  return call;
}

void ClientCall::leave() {
  session_.set_clogged(clogging_, false);
  session_.asked_.erase(request_);
  if (auto* inbound = std::exchange(inbound_, nullptr)) {
    inbound->kind = Session::Inbound::Kind::kIgnored;
    inbound->asked = nullptr;
  }
}

void Session::accept_response(Inbound& inbound) {
  const auto position = asked_.find(inbound.message.header().request);
  if (position == asked_.end() || position->second->answered_) return;
  const std::string_view metadata = inbound.message.metadata();
  inbound.kind = Inbound::Kind::kAnswer;
  inbound.asked = position->second;
  inbound.asked->inbound_ = &inbound;
  inbound.asked->receive_status(
      static_cast<Status>(metadata.empty() ? 0 : static_cast<std::uint8_t>(metadata[0])));
}

// --- frames out ---------------------------------------------------------------------------------

// The clock is read once per turn of the reactor: receivers ignore the stamp.
std::uint64_t Session::micros() {
  const core::Nanos turn = link_.reactor().now();
  if (std::exchange(stamp_turn_, turn) != turn) stamp_ = env_.wall_clock_ns() / 1000;
  return stamp_;
}

std::uint32_t Session::next_id() {
  const std::uint32_t id = last_id_++ & ~kServerIds;
  return options_.side == Side::kServer ? id | kServerIds : id;
}

// Full frames have a message each; the last piece and the End frame share one.
void Session::send(Outbound& out, ByteView head, ByteView body, bool last) {
  CAPSTAN_ASSERT(!out.ended && ready());
  const std::uint64_t stamp = header_bytes_ == kLongHeaderBytes ? micros() : 0;
  std::size_t left = head.size() + body.size();
  while (left != 0 || last) {
    const std::size_t size = std::min(left, limits::kMuxioChunkBytes);
    left -= size;
    const bool ends = last && left == 0;
    std::uint8_t* to =
        link_.begin_message((size != 0 ? header_bytes_ + size : 0) + (ends ? header_bytes_ : 0));
    if (size != 0) {
      const auto kind = out.sequence == 0 ? FrameKind::kOpen : FrameKind::kData;
      write_frame_header(to, header_bytes_,
                         {static_cast<std::uint32_t>(size), out.id, out.sequence++, kind}, stamp);
      to += header_bytes_;
      const std::size_t of_head = std::min(size, head.size());
      if (of_head != 0) std::memcpy(to, head.data(), of_head);
      if (size != of_head) std::memcpy(to + of_head, body.data(), size - of_head);
      head = head.subspan(of_head);
      body = body.subspan(size - of_head);
      to += size;
    }
    if (ends) {
      write_frame_header(to, header_bytes_, {0, out.id, out.sequence++, FrameKind::kEnd}, stamp);
      out.ended = true;
      last = false;
    }
    link_.end_message();
  }
}

void Session::send_cancel(Outbound& out) {
  std::uint8_t* to = link_.begin_message(header_bytes_);
  write_frame_header(to, header_bytes_, {0, out.id, out.sequence++, FrameKind::kCancel},
                     header_bytes_ == kLongHeaderBytes ? micros() : 0);
  out.ended = true;
  link_.end_message();
}

}  // namespace capstan::wire::muxio
