// Why this file exists: how a path of an operation is written where values stand for themselves: an
// argument is <its type>, a tail <its type>* (http-rpc section 2.1). Metrics call an operation by
// its first path in this form (sections 3.3 and 18); what clients fill in is
// HttpBinding::pattern().
#pragma once

#include <string>
#include <vector>

#include "rpc/http_binding.h"
#include "rpc/operation.h"

namespace capstan::rpc {

// "foo", "<int>", "<int>*"
std::vector<std::string> path_segments(const std::vector<HttpStep>& steps);
// "/foo/<int>/bar/<float>", "/foo/<int>*"; "/" without steps.
std::string path_text(const std::vector<HttpStep>& steps);

struct Endpoint {
  std::string method, path;
};
// Of the first binding; POST /rpc/package.Service/Method when nothing is declared.
Endpoint endpoint_of(const Operation& operation);

}  // namespace capstan::rpc
