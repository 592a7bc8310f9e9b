#include "apps/capstan/session.h"

#include "base/duration_text.h"

namespace capstan::apps {

client::CallOptions Session::within_timeout() const {
  client::CallOptions options = without_timeout();
  if (timeout_ != 0) options.deadline = core::Reactor::current()->now() + timeout_;
  return options;
}

client::CallOptions Session::without_timeout() const {
  client::CallOptions options;
  options.token = token_;
  return options;
}

Error Session::timed_out(Error error, core::Nanos deadline) const {
  if (error.code != Code::kDeadlineExceeded || deadline == 0) return error;
  // The node knows the deadline, too, and may say that it has passed a little before.
  constexpr core::Nanos kShare = 10;
  if (core::Reactor::current()->now() + timeout_ / kShare < deadline) return error;
  return std::move(error).within("no answer within --timeout " + format_duration(timeout_));
}

void Session::done(std::string_view sentence) {
  if (out_.json())
    out_.line("null");
  else
    out_.remark(sentence);
}

}  // namespace capstan::apps
