// Why this file exists: SPDK's methods as a client of JSON-RPC calls them, by name and with JSON in
// and out, on a node in simulation; for the tests of each of its services.
#pragma once

#include <string>
#include <utility>

#include "rpc/json_call.h"
#include "services/services_test_support.h"

namespace capstan::services {

class SpdkCalls : public ServicesTest {
 protected:
  using Outcome = std::expected<std::string, rpc::JsonRpcError>;
  core::Task<Result<void>> keep_json(std::string method, std::string params, Outcome* into) {
    const rpc::JsonMethods methods(node_->directory);
    const auto* found = methods.find(method);
    if (!found) {
      *into = std::unexpected(rpc::JsonRpcError{rpc::json_code::kMethodNotFound, method});
      co_return {};
    }
    rpc::Call call;
    *into = co_await rpc::call_json(methods, *found->entry, call, params);
    co_return {};
  }
  // The result, or "code message".
  std::string json(const std::string& method, const std::string& params = "") {
    Outcome outcome;
    EXPECT_TRUE(run(keep_json(method, params, &outcome)));
    if (outcome) return *outcome;
    return std::to_string(outcome.error().code) + " " + outcome.error().message;
  }
};

}  // namespace capstan::services
