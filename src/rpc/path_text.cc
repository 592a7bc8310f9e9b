// Why this file exists: see path_text.h.
#include "rpc/path_text.h"

namespace capstan::rpc {

std::vector<std::string> path_segments(const std::vector<HttpStep>& steps) {
  std::vector<std::string> segments;
  for (const auto& step : steps) {
    switch (step.kind) {
      case HttpStep::Kind::kLiteral: segments.push_back(step.name); break;
      case HttpStep::Kind::kArgument: segments.push_back("<" + step.name + ">"); break;
      case HttpStep::Kind::kTail: segments.push_back("<" + step.name + ">*"); break;
    }
  }
  return segments;
}

std::string path_text(const std::vector<HttpStep>& steps) {
  std::string text;
  for (const auto& segment : path_segments(steps)) text += "/" + segment;
  return text.empty() ? "/" : text;
}

Endpoint endpoint_of(const Operation& operation) {
  if (operation.http.empty()) return {"POST", "/rpc/" + operation.full_name()};
  const auto& first = operation.http.front();
  return {first.method, path_text(first.steps)};
}

}  // namespace capstan::rpc
