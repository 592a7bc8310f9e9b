#include "apps/capstan/session.h"

namespace capstan::apps {

client::CallOptions Session::within_timeout() const {
  client::CallOptions options = without_timeout();
  if (timeout_ != 0) options.deadline = channel_.deadline_in(timeout_);
  return options;
}

client::CallOptions Session::without_timeout() const {
  client::CallOptions options;
  options.token = token_;
  return options;
}

void Session::done(std::string_view sentence) {
  if (out_.json())
    out_.line("null");
  else
    out_.remark(sentence);
}

}  // namespace capstan::apps
