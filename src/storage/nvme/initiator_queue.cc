// Why this file exists: see initiator_queue.h; this half is the connection and what arrives on it.
#include "storage/nvme/initiator_queue.h"

#include <algorithm>

#include "base/checksum.h"
#include "storage/nvme/initiator_limits.h"

namespace capstan::storage::nvme {

namespace {

std::unexpected<Fatal> violation(FatalStatus status, std::uint32_t information = 0) {
  return std::unexpected(Fatal{status, information});
}

// The end of a connection is no violation, but ends reading all the same.
constexpr Fatal kClosed{static_cast<FatalStatus>(0), 0};

std::string fatal_text(Fatal fatal) {
  return std::string(fatal_name(fatal.status)) + ", " + std::to_string(fatal.information);
}

}  // namespace

HostQueue::HostQueue(std::unique_ptr<core::Stream> stream, Settings settings, Owner& owner)
    : stream_(std::move(stream)),
      settings_(settings),
      owner_(owner),
      input_(*stream_),
      output_(
          *stream_,
          [this](HostCall& call) {
            if (--call.lent == 0 && call.over) resume(call);
          },
          [this](const Error& error) { end("the connection broke: " + error.text()); }),
      timer_([this] { check_timeouts(); }) {
  make_slots();
}

HostQueue::~HostQueue() {
  CAPSTAN_ASSERT(!running_ && active_ == 0 && waiting_.empty());
}

core::Task<Result<std::unique_ptr<HostQueue>>> HostQueue::open(core::Env& env,
                                                               core::Address address,
                                                               Settings settings, Owner& owner,
                                                               core::CancelToken token) {
  CO_TRY_SET(auto stream, co_await env.network().connect(address, token));
  auto queue = std::unique_ptr<HostQueue>(new HostQueue(std::move(stream), settings, owner));
  Result<void> ready;
  {
    const core::CancelCallback cancelled(token, [&] { queue->stream_->cancel(); });
    ready = co_await queue->shake_hands();
  }
  if (!ready && token.fired()) ready = token.check();
  if (!ready) co_return std::unexpected(std::move(ready).error());
  queue->running_ = true;
  queue->scope_.spawn(queue->run());
  co_return queue;
}

core::Task<Result<void>> HostQueue::shake_hands() {
  std::array<std::uint8_t, kIcBytes> request;
  store_ic_req(request.data(), {0, 0, settings_.digests, 0});
  CO_TRY(co_await stream_->write(request));
  const std::string peer = stream_->peer().address;
  const auto broken = [&](const std::string& why) {
    return fail(Code::kUnavailable, peer + " is no NVMe/TCP target: " + why, EPROTO);
  };
  if (!co_await input_.fill(kCommonBytes)) co_return broken("it closed the connection");
  const CommonHeader common = load_common(input_.data());
  const auto size = check_common(common, Receiver::kHost, false, {});
  if (!size) {
    co_return broken(common.type == PduType::kC2hTermReq ? "it refused the connection's parameters"
                                                         : "its answer is no ICResp");
  }
  if (!co_await input_.fill(*size)) co_return broken("it closed the connection");
  const auto response = load_ic_resp(input_.data());
  input_.consume(*size);
  if (!response) co_return broken("ICResp: " + fatal_text(response.error()));
  if (response->digests != settings_.digests) {
    co_return fail(Code::kFailedPrecondition,
                   peer + " does not agree to the digests that were asked for; connect " +
                       (settings_.digests == Digests() ? "with" : "without") + " them",
                   EPROTO);
  }
  alignment_ = response->controller_alignment;
  max_data_bytes_ = response->max_data_bytes;
  co_return {};
}

void HostQueue::end(std::string reason) {
  if (ended_) return;
  ended_ = true;
  reason_ = std::move(reason);
  timer_.disarm();
  scope_.cancel();
  output_.abandon();
  stream_->cancel();
}

core::Task<void> HostQueue::stop() {
  end("closed");
  co_await scope_.join();
}

core::Task<void> HostQueue::run() {
  core::name_task("nvme host queue");
  core::Scope writer;
  writer.spawn(output_.run());
  const auto received = co_await receive();
  const Fatal fatal = received ? kClosed : received.error();
  if (fatal != kClosed && !ended_) {
    reason_ = "the target broke the protocol: " + fatal_text(fatal);
    ended_ = true;
    timer_.disarm();
    scope_.cancel();
    output_.abandon();
    core::Timer patience([this] { stream_->cancel(); });
    patience.arm_at(*core::Reactor::current(),
                    core::Reactor::current()->now() + limits::kHostTermNanos);
    co_await writer.join();
    co_await say_goodbye(fatal);
    stream_->cancel();
  } else {
    end("the target closed the connection");
    co_await writer.join();
  }
  lose_all();
  running_ = false;
  owner_.queue_ended(*this);
}

core::Task<void> HostQueue::say_goodbye(Fatal fatal) {
  std::array<std::uint8_t, kTermReqBytes + kTermReqCopyBytes> pdu;
  const std::size_t size =
      store_term_req(pdu.data(), PduType::kH2cTermReq, fatal,
                     ByteView(header_).first(std::min<std::size_t>(header_[2], kTermReqBytes)));
  // Whoever broke the protocol need not hear of it.
  static_cast<void>(co_await stream_->write(ByteView(pdu).first(size)));
}

core::Task<Checked<void>> HostQueue::receive() {
  while (true) {
    if (!input_.has(kCommonBytes)) {
      if (std::exchange(resumed_, false)) {
        co_await core::yield();  // callers go on
        co_await core::yield();  // and what they ask for leaves, before we look for more answers
      }
      if (!co_await input_.fill(kCommonBytes)) co_return std::unexpected(kClosed);
    }
    const CommonHeader common = load_common(input_.data());
    const auto size = check_common(common, Receiver::kHost, true, settings_.digests);
    if (!size) {
      std::copy_n(input_.data(), kCommonBytes, header_.begin());
      header_[2] = kCommonBytes;
      co_return std::unexpected(size.error());
    }
    if (!input_.has(*size) && !co_await input_.fill(*size)) co_return std::unexpected(kClosed);
    std::copy_n(input_.data(), *size, header_.begin());
    input_.consume(*size);
    const auto intact =
        check_header_digest(common, ByteView(header_).first(*size), settings_.digests);
    if (!intact) co_return intact;
    if (common.type == PduType::kCapsuleResp) {  // the usual one: without a frame of its own
      const auto done = receive_completion(load_completion(header_.data() + kCommonBytes));
      if (!done) co_return done;
      continue;
    }
    const auto done = co_await receive_pdu(common, *size);
    if (!done) co_return done;
  }
}

core::Task<Checked<void>> HostQueue::receive_pdu(CommonHeader common, std::size_t header_bytes) {
  switch (common.type) {
    case PduType::kC2hData: co_return co_await receive_data(common, header_bytes);
    case PduType::kR2t: co_return answer_r2t(load_r2t(header_.data()));
    case PduType::kC2hTermReq:
      end("the target ended the connection: " + fatal_text(load_term_req(header_.data()).fatal));
      co_return std::unexpected(kClosed);
    default: co_return violation(FatalStatus::kSequence);
  }
}

Checked<void> HostQueue::receive_completion(const Completion& completion) {
  HostCall* call = find(completion.command);
  if (!call) return violation(FatalStatus::kSequence);
  const Status& status = completion.status;
  // A success that lacks data of either direction would be believed by the caller.
  if (status.ok() && (call->received != call->in.size() ||
                      (!call->in_capsule && call->solicited != call->out.size()))) {
    return violation(FatalStatus::kOutOfRange);
  }
  call->completion = completion;
  if (call->forced) call->completion.status = *call->forced;
  finish(*call, call->damaged ? HostCall::Outcome::kDamaged : HostCall::Outcome::kAnswered);
  return {};
}

core::Task<Checked<void>> HostQueue::receive_data(CommonHeader common, std::size_t header_bytes) {
  const auto bytes = check_data(common, header_bytes, settings_.digests);
  if (!bytes) co_return std::unexpected(bytes.error());
  const DataHeader data = load_data(header_.data());
  HostCall* call = find(data.command);
  if (!call || call->in.empty()) co_return violation(FatalStatus::kSequence);
  if (*bytes == 0 || data.length != *bytes) co_return violation(FatalStatus::kInvalidHeader, 16);
  if (data.offset != call->received || *bytes > call->in.size() - call->received) {
    co_return violation(FatalStatus::kOutOfRange);
  }
  if (!co_await receive_payload(*call, call->in.subspan(data.offset, *bytes))) {
    co_return std::unexpected(kClosed);
  }
  call->received += *bytes;
  if ((common.flags & pdu_flag::kSuccess) == 0) co_return {};
  if ((common.flags & pdu_flag::kLast) == 0) co_return violation(FatalStatus::kInvalidHeader, 1);
  Completion success;
  success.command = data.command;
  co_return receive_completion(success);
}

core::Task<bool> HostQueue::receive_payload(HostCall& call, MutableBytes into) {
  const MutableBytes rest = input_.take(into);
  if (!rest.empty() && !co_await input_.read(rest)) co_return false;
  if (!settings_.digests.data) co_return true;
  if (!input_.has(kDigestBytes) && !co_await input_.fill(kDigestBytes)) co_return false;
  if (crc32c(into) != load_le<std::uint32_t>(input_.data())) call.damaged = true;
  input_.consume(kDigestBytes);
  co_return true;
}

Checked<void> HostQueue::answer_r2t(const R2t& r2t) {
  HostCall* call = find(r2t.command);
  if (!call || call->out.empty() || call->in_capsule) return violation(FatalStatus::kSequence);
  if (r2t.length == 0) return violation(FatalStatus::kInvalidHeader, 16);
  if (r2t.offset != call->solicited || r2t.length > call->out.size() - call->solicited) {
    return violation(FatalStatus::kOutOfRange);
  }
  // Asked for in crumbs, data would cost many times its size in headers.
  if (++call->r2ts > limits::kHostR2tsFree + call->out.size() / limits::kHostR2tBytes) {
    return violation(FatalStatus::kLimitExceeded);
  }
  call->solicited += r2t.length;
  send_data(*call, r2t);
  return {};
}

}  // namespace capstan::storage::nvme
