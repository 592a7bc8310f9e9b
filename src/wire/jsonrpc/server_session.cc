// Why this file exists: the order of things on a connection. Checks on a request come in SPDK's
// order: envelope, method, allow-list, state, parameters.
#include "wire/jsonrpc/server_session.h"

#include <utility>

#include "rpc/json_writer.h"

namespace capstan::wire::jsonrpc {

namespace {

constexpr std::string_view kWire = "jsonrpc";
constexpr std::size_t kStartsPerTurn = 32;
constexpr int kWrongState = -1;
constexpr std::size_t kOutputKept = 64U << 10;
constexpr std::string_view kHead = R"({"jsonrpc":"2.0","id":)";

void append_id(const Id& id, std::string& out) {
  switch (id.kind) {
    case Id::Kind::kNull: out += "null"; return;
    case Id::Kind::kNumber: out += id.value; return;
    case Id::Kind::kText: rpc::append_json_string(id.value, out, true); return;
  }
}

void append_error(const rpc::JsonRpcError& error, std::string& out) {
  out += R"({"code":)";
  out += std::to_string(error.code);
  out += R"(,"message":)";
  rpc::append_json_string(error.message, out, true);
  out += '}';
}

}  // namespace

// Owned by its elements that are not answered yet.
struct ServerSession::Batch {
  std::string answers;
  std::size_t open = 0;
};

struct ServerSession::Work {
  const rpc::Directory::Entry* entry = nullptr;
  std::optional<rpc::JsonRpcError> refusal;  // answered without a call
  Id id;
  Shared batch;
  std::string params;
  rpc::Call call;
};

ServerSession::ServerSession(core::Reactor& reactor, std::unique_ptr<core::Stream> stream,
                             Service& service)
    : reactor_(reactor),
      stream_(std::move(stream)),
      service_(service),
      input_(std::make_unique_for_overwrite<std::uint8_t[]>(limits::kJsonRpcReadBytes)),
      linger_([this] { stream_->cancel(); }) {}

core::Task<void> ServerSession::run() {
  io_.spawn(read_loop());
  io_.spawn(write_loop());
  while (!input_ended_) co_await changed_.wait();
  co_await calls_.join();
  if (malformed_) answer_error({}, nullptr, {rpc::json_code::kParseError, "Parse error"});
  finished_ = true;
  changed_.notify_all();
  while (!writer_ended_) co_await changed_.wait();
  // Closing while bytes of the client are unread could cost it our last answers.
  if (reading_ && discarding_ && !broken_) {
    stream_->shutdown_write();
    linger_.arm_at(reactor_, reactor_.now() + limits::kJsonRpcLingerNanos);
    while (reading_) co_await changed_.wait();
    linger_.disarm();
  }
  stream_->cancel();
  co_await io_.join();
}

void ServerSession::drain() {
  end_input();
}

void ServerSession::abort(std::string reason) {
  lose(std::move(reason));
}

void ServerSession::end_input() {
  input_ended_ = true;
  changed_.notify_all();
}

void ServerSession::lose(std::string reason) {
  if (broken_) return;
  broken_ = true;
  if (reason_.empty()) reason_ = std::move(reason);
  pending_.clear();
  calls_.cancel();
  stream_->cancel();
  end_input();
}

namespace {
// Why rpc::call_json() answered this error without running the operation; nothing if it did run.
std::optional<Error> not_run(const rpc::Directory::Entry& entry, std::string_view params,
                             const rpc::JsonRpcError& error) {
  const rpc::Kind kind = entry.operation.kind;
  const bool streams = kind != rpc::Kind::kUnary && kind != rpc::Kind::kLarge;
  if (!streams && error.code != rpc::json_code::kInvalidParams) return std::nullopt;
  const auto request = entry.new_request();
  rpc::JsonReader reader;
  const auto read = rpc::read_json_params(entry.operation, params, reader, *request);
  if (!read) return Error{Code::kInvalidArgument, 0, error.message, {}};
  if (streams) return Error{Code::kUnimplemented, 0, error.message, {}};
  return std::nullopt;
}
}  // namespace

// --- in ----------------------------------------------------------------------------------------

bool ServerSession::must_pause() const {
  return unread_bytes() > limits::kJsonRpcOutputPauseBytes ||
         calls_.children() >= limits::kJsonRpcCallsInFlight ||
         call_bytes_ > limits::kJsonRpcCallBytes;
}

core::Task<void> ServerSession::read_loop() {
  while (true) {
    while (must_pause() && !input_ended_) co_await changed_.wait();
    const auto got = co_await stream_->read(MutableBytes(input_.get(), limits::kJsonRpcReadBytes));
    if (!got || *got == 0) {
      if (!got) lose(got.error().text());
      break;
    }
    // Once nothing more is wanted, only the end is of interest.
    if (!input_ended_) co_await take(ByteView(input_.get(), *got));
  }
  reading_ = false;
  end_input();
}

core::Task<void> ServerSession::take(ByteView bytes) {
  std::string_view input = as_text(bytes);
  std::size_t started = 0;
  while (!input_ended_) {
    switch (decoder_.next(input)) {
      case TextDecoder::Event::kNeedMore: co_return;
      case TextDecoder::Event::kMalformed:
        ++service_.counters.texts_malformed;
        malformed_ = discarding_ = true;
        reason_ = "the client sent what is no JSON";
        co_return end_input();
      case TextDecoder::Event::kTooLong:
        ++service_.counters.texts_malformed;
        discarding_ = true;
        reason_ = "the client sent a request larger than the limit of " +
                  std::to_string(limits::kJsonRpcTextBytes) + " bytes";
        co_return end_input();
      case TextDecoder::Event::kText: break;
    }
    read_requests(decoder_.text(), requests_);
    started += requests_.all.size();
    start(requests_);
    // Handlers that end at once answer in the turn after this: only then is known what they cost.
    if (started >= kStartsPerTurn) {
      started = 0;
      co_await core::yield();
    }
    while (must_pause() && !input_ended_) co_await changed_.wait();
  }
}

const rpc::Directory::Entry* ServerSession::find(std::string_view method) {
  const auto* found = service_.methods.find(method);
  if (!found) return nullptr;
  if (found->old_name && !service_.old_names_used.contains(method)) {
    service_.old_names_used.emplace(method);
    service_.log.warn("old_name",
                      {{"message", "RPC method " + std::string(method) + " is deprecated.  Use " +
                                       found->entry->operation.jsonrpc_name + " instead."}});
  }
  return found->entry;
}

void ServerSession::start(Requests& requests) {
  Shared batch;
  if (requests.batch) {
    batch = std::make_shared<Batch>();
    batch->open = requests.all.size();
  }
  for (Request& request : requests.all) {
    ++service_.counters.calls_started;
    auto work = std::make_unique<Work>();
    work->refusal = prepare(request, *work);
    work->id = std::move(request.id);
    work->batch = batch;
    if (work->refusal) {
      ++service_.counters.calls_refused;
      if (!work->entry) tell_unknown(request.method, *work->refusal);
    } else {
      work->params = request.params;
      call_bytes_ += work->params.size();
    }
    // Also a refusal waits its turn: what ends at once is answered in the order of the requests.
    calls_.spawn(run_work(std::move(work)));
  }
}

std::optional<rpc::JsonRpcError> ServerSession::prepare(const Request& request, Work& work) {
  if (!request.valid) return rpc::JsonRpcError{rpc::json_code::kInvalidRequest, "Invalid request"};
  work.entry = find(request.method);
  if (!work.entry) {
    return rpc::JsonRpcError{rpc::json_code::kMethodNotFound, "Method not found"};
  }
  if (!service_.lifecycle.callable(work.entry->operation.jsonrpc.states)) {
    return rpc::JsonRpcError{kWrongState, std::string(service_.lifecycle.wrong_state_text())};
  }
  return std::nullopt;
}

void ServerSession::tell_unknown(std::string_view method, const rpc::JsonRpcError& error) {
  if (!service_.refused) return;
  const bool no_request = error.code == rpc::json_code::kInvalidRequest;
  const Code code = no_request ? Code::kInvalidArgument : Code::kUnimplemented;
  service_.refused->tell_unknown(kWire, stream_->peer(), method, {code, 0, error.message, {}});
}

core::Task<void> ServerSession::tell_refused(Work& work, Error why) {
  if (!service_.refused) co_return;
  prepare_call(work);
  co_await service_.refused->tell(work.call, std::move(why));
}

void ServerSession::prepare_call(Work& work) {
  work.call.operation = &work.entry->operation;
  work.call.peer = stream_->peer();
  work.call.token = calls_.token();
  work.call.wire = kWire;
}

core::Task<void> ServerSession::run_work(std::unique_ptr<Work> work) {
  if (work->refusal) {
    if (work->entry) {
      co_await tell_refused(*work, {Code::kFailedPrecondition, 0, work->refusal->message, {}});
    }
    answer_error(work->id, work->batch, *work->refusal);
  } else {
    co_await run_call(*work);
    call_bytes_ -= work->params.size();
  }
  changed_.notify_all();
}

core::Task<void> ServerSession::run_call(Work& work) {
  prepare_call(work);
  const auto result =
      co_await rpc::call_json(service_.methods, *work.entry, work.call, work.params);
  if (!result) {
    if (auto why = not_run(*work.entry, work.params, result.error())) {
      co_await tell_refused(work, *std::move(why));
    }
    answer_error(work.id, work.batch, result.error());
  } else if (work.id.kind == Id::Kind::kNull) {
    finish(work.batch);  // nobody asked
  } else if (result->size() > limits::kJsonRpcAnswerBytes) {
    answer_error(work.id, work.batch, {rpc::json_code::kInternalError, "Internal error"});
  } else {
    answer(work.id, work.batch, "result", *result);
  }
}

// --- out ----------------------------------------------------------------------------------------

void ServerSession::answer_error(const Id& id, const Shared& batch,
                                 const rpc::JsonRpcError& error) {
  std::string value;
  append_error(error, value);
  answer(id, batch, "error", value);
}

void ServerSession::answer(const Id& id, const Shared& batch, std::string_view member,
                           std::string_view value) {
  const auto compose = [&](std::string& out) {
    out += kHead;
    append_id(id, out);
    out += ",\"";
    out += member;
    out += "\":";
    out += value;
    out += '}';
  };
  if (!batch) {
    if (!room_for(value.size())) return;
    compose(pending_);
    pending_ += '\n';
    changed_.notify_all();
  } else if (member == "result" &&
             batch->answers.size() + value.size() > limits::kJsonRpcAnswerBytes) {
    answer_error(id, batch, {rpc::json_code::kInternalError, "Internal error"});
  } else {
    batch->answers += batch->answers.empty() ? '[' : ',';
    compose(batch->answers);
    finish(batch);
  }
}

void ServerSession::finish(const Shared& batch) {
  if (!batch || --batch->open != 0) return;
  if (batch->answers.empty() || !room_for(batch->answers.size())) return;
  pending_ += batch->answers;
  pending_ += "]\n";
  changed_.notify_all();
}

bool ServerSession::room_for(std::size_t bytes) {
  if (unread_bytes() + bytes > limits::kJsonRpcOutputBytes) {
    lose("the client does not read its answers");
  }
  return !broken_;
}

core::Task<void> ServerSession::write_loop() {
  while (!broken_) {
    if (pending_.empty()) {
      if (finished_) break;
      co_await changed_.wait();
      continue;
    }
    writing_.swap(pending_);
    const auto written = co_await stream_->write(as_bytes(writing_));
    writing_.clear();
    if (writing_.capacity() > kOutputKept) writing_.shrink_to_fit();
    if (!written) lose(written.error().text());
    changed_.notify_all();
  }
  writer_ended_ = true;
  changed_.notify_all();
}

}  // namespace capstan::wire::jsonrpc
