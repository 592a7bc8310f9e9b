// Why this file exists: see client.h.
#include "wire/jsonrpc/client.h"

#include <cerrno>
#include <charconv>
#include <limits>
#include <utility>

#include "rpc/json_call.h"
#include "rpc/json_writer.h"

namespace capstan::wire::jsonrpc {

namespace {

// A batch of answers around values of the largest depth.
constexpr JsonScanner::Limits kReplyLimits = {limits::kJsonRpcOutputBytes,
                                              std::numeric_limits<std::size_t>::max(),
                                              limits::kJsonNestingDepth + 2};

void append_call(const ClientCall& call, std::optional<std::uint64_t> id, std::string& out) {
  out += R"({"jsonrpc":"2.0","method":)";
  rpc::append_json_string(call.method, out, true);
  if (id) {
    out += R"(,"id":)";
    out += std::to_string(*id);
  }
  if (!call.params.empty()) {
    out += R"(,"params":)";
    out += call.params;
  }
  out += '}';
}

// The codes whose errno stands for something else when a server of ours says it: json_rpc_error()
// backwards. Of CANCELLED and UNAVAILABLE, which are one code there, it is the latter: who cancels
// a call knows it without being told.
std::optional<Code> code_of_server(std::int64_t code) {
  switch (code) {
    case -ECANCELED: return Code::kUnavailable;
    case -EAGAIN: return Code::kAborted;
    case -EIO: return Code::kDataLoss;
    default: return std::nullopt;
  }
}

}  // namespace

// Waits for the answers of one call() or batch().
struct Client::Waiter {
  std::vector<Reply> replies;
  std::size_t open = 0;
  std::optional<Error> error;
  core::Event done;
};

Error error_of(const Reply& reply) {
  namespace codes = rpc::json_code;
  Error error{Code::kInternal, 0, reply.message, {}};
  if (reply.code == codes::kInvalidParams) {
    error.code = Code::kInvalidArgument;
  } else if (reply.code == codes::kMethodNotFound) {
    error.code = Code::kUnimplemented;
  } else if (reply.code < 0 && reply.code > -4096) {  // errnos are small
    error.sys_errno = static_cast<int>(-reply.code);
    error.code = code_of_server(reply.code).value_or(fail_errno(error.sys_errno, "").error().code);
  }
  return error;
}

core::Task<Result<std::unique_ptr<Client>>> Client::connect(core::Env& env, core::Address address,
                                                            core::CancelToken token) {
  CO_TRY_SET(auto stream, co_await env.network().connect(std::move(address), std::move(token)));
  co_return std::make_unique<Client>(std::move(stream));
}

Client::Client(std::unique_ptr<core::Stream> stream)
    : stream_(std::move(stream)), decoder_(kReplyLimits) {
  scope_.spawn(read_loop());
}

Client::~Client() {
  CAPSTAN_ASSERT(scope_.children() == 0);  // close() first
}

core::Task<void> Client::close() {
  stream_->cancel();
  co_await scope_.join();
}

core::Task<Result<Reply>> Client::call(std::string method, std::string params,
                                       core::Nanos deadline) {
  Waiter waiter;
  waiter.replies.resize(waiter.open = 1);
  const std::uint64_t id = next_id_++;
  waiting_.emplace(id, std::pair(&waiter, 0));
  std::string text;
  append_call({std::move(method), std::move(params)}, id, text);
  auto sent = co_await write(std::move(text));
  if (!sent) waiter.error = sent.error();
  CO_TRY_SET(auto replies, co_await wait(waiter, deadline));
  co_return std::move(replies.front());
}

core::Task<Result<std::vector<Reply>>> Client::batch(std::vector<ClientCall> calls,
                                                     core::Nanos deadline) {
  Waiter waiter;
  waiter.replies.resize(waiter.open = calls.size());
  std::string text = "[";
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::uint64_t id = next_id_++;
    waiting_.emplace(id, std::pair(&waiter, i));
    if (i != 0) text += ',';
    append_call(calls[i], id, text);
  }
  text += ']';
  if (calls.empty()) co_return std::vector<Reply>();
  auto sent = co_await write(std::move(text));
  if (!sent) waiter.error = sent.error();
  co_return co_await wait(waiter, deadline);
}

core::Task<Result<void>> Client::notify(std::string method, std::string params) {
  std::string text;
  append_call({std::move(method), std::move(params)}, {}, text);
  co_return co_await write(std::move(text));
}

core::Task<Result<void>> Client::write(std::string text) {
  const auto guard = co_await writing_.lock();
  if (error_) co_return std::unexpected(*error_);
  co_return co_await stream_->write(as_bytes(text));
}

core::Task<Result<std::vector<Reply>>> Client::wait(Waiter& waiter, core::Nanos deadline) {
  bool late = false;
  core::Timer timer([&] {
    late = true;
    waiter.done.notify_all();
  });
  if (deadline != 0) timer.arm_at(*core::Reactor::current(), deadline);
  while (waiter.open != 0 && !waiter.error && !late) co_await waiter.done.wait();
  std::erase_if(waiting_, [&](const auto& entry) { return entry.second.first == &waiter; });
  if (waiter.error) co_return std::unexpected(*std::move(waiter.error));
  if (waiter.open != 0) {
    co_return fail(Code::kDeadlineExceeded, "no answer from " + stream_->peer().address +
                                                " within the deadline; allow more time");
  }
  co_return std::move(waiter.replies);
}

core::Task<void> Client::read_loop() {
  const auto buffer = std::make_unique<std::uint8_t[]>(limits::kJsonRpcReadBytes);
  while (!error_) {
    const auto got = co_await stream_->read(MutableBytes(buffer.get(), limits::kJsonRpcReadBytes));
    if (!got || *got == 0) {
      fail_all({Code::kUnavailable,
                0,
                got ? "the server closed the connection" : got.error().text(),
                {}});
      co_return;
    }
    std::string_view input = as_text(ByteView(buffer.get(), *got));
    auto event = TextDecoder::Event::kText;
    while ((event = decoder_.next(input)) == TextDecoder::Event::kText) {
      const auto replies = read_replies(decoder_.text());
      if (!replies) {
        event = TextDecoder::Event::kMalformed;
        break;
      }
      for (const auto& reply : *replies) take(reply);
    }
    if (event != TextDecoder::Event::kNeedMore) {
      fail_all({Code::kInternal, 0, "the server sent what is no JSON-RPC answer", {}});
      stream_->cancel();
    }
  }
}

void Client::take(const ReplyView& view) {
  Reply reply{view.failed, view.code, view.message, std::string(view.result)};
  std::uint64_t id = 0;
  const auto& text = view.id.value;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool number = view.id.kind == Id::Kind::kNumber && read.ec == std::errc() &&
                      read.ptr == text.data() + text.size();
  if (!number) {
    if (view.id.kind == Id::Kind::kNull) complaint_ = std::move(reply);
    return;
  }
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;  // too late
  const auto [waiter, index] = found->second;
  waiting_.erase(found);
  waiter->replies[index] = std::move(reply);
  if (--waiter->open == 0) waiter->done.notify_all();
}

void Client::fail_all(Error error) {
  error_ = error;
  for (const auto& [id, entry] : std::exchange(waiting_, {})) {
    entry.first->error = error;
    entry.first->done.notify_all();
  }
}

}  // namespace capstan::wire::jsonrpc
