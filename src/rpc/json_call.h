// Why this file exists: calling an operation by its JSON-RPC name with JSON parameters, whoever
// asks: the JSON-RPC socket, or the bridge by which gRPC clients reach JSON-RPC methods. A call is
// three steps, usable alone by a wire that parses and writes envelopes itself: parameters into the
// request, the directory, the response into the result (or the Error into code and message).
//
// Errors: a handler that must answer with an exact code and text (jsonrpc sections B and C) makes
// its Error with json_error(); every other Error gets its code from its errno or canonical code
// (jsonrpc section C.3) and its whole text.
// Thread-safety: core 0. The directory is complete and outlives the JsonMethods.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/directory.h"
#include "rpc/json_plan.h"
#include "rpc/json_reader.h"

namespace capstan::rpc {

// The error object of JSON-RPC 2.0.
struct JsonRpcError {
  std::int64_t code = 0;
  std::string message;
  Code cause = Code::kInternal;  // of the Error; not on the wire
};

namespace json_code {
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternalError = -32603;
}  // namespace json_code

// An error that JSON-RPC clients see as exactly {json_code, message}; other wires see `code` and
// "detail: message". `json_code` is negative: it is kept in Error::sys_errno, which is positive for
// what the operating system said.
std::unexpected<Error> json_error(Code code, int json_code, std::string message,
                                  std::string detail = {});
// The same for an errno: code -errno, the C library's text, the canonical code of that errno.
std::unexpected<Error> json_errno(int err, std::string detail = {});
// "method: member: what is wrong", -32602.
std::unexpected<Error> json_invalid_params(std::string message);

JsonRpcError json_rpc_error(const Error& error);

// The JSON-RPC names of all bound operations. With `allowed`, only of those it names (by their
// current names; --rpcs-allowed): the others are as if they did not exist.
class JsonMethods {
 public:
  explicit JsonMethods(const Directory& directory, const std::set<std::string>& allowed = {});

  struct Method {
    const Directory::Entry* entry = nullptr;
    bool old_name = false;
  };
  // Null when nothing answers to `name`.
  const Method* find(std::string_view name) const;
  // All of them by name, old names included.
  const std::map<std::string, Method, std::less<>>& all() const { return methods_; }
  const Directory& directory() const { return directory_; }
  // How results are written; grows with the types that are.
  JsonPlans& plans() const { return *plans_; }

 private:
  const Directory& directory_;
  std::shared_ptr<JsonPlans> plans_;
  std::map<std::string, Method, std::less<>> methods_;
};

// Parameters as JSON text (empty: none were given) into the request. Errors are
// json_invalid_params() naming the method and the member.
Result<void> read_json_params(const Operation& operation, std::string_view params,
                              JsonReader& reader, Message& request);
// The same for parameters that a wire's own parser holds.
Result<void> read_json_params(const Operation& operation, const simdjson::dom::element& params,
                              Message& request);
// Appends the result as JSON, in the shape that the operation's options ask for. The plans are in
// SPDK's style, as those of JsonMethods.
Result<void> write_json_result(const Operation& operation, const Message& response,
                               JsonPlans& plans, std::string& out);

// The result as compact JSON, or the error object. Operations that stream answers give an array of
// them when they end by themselves; those that never end, or read a stream, are -95.
// `entry` is of the directory of `methods`. All arguments must live until the task ends.
core::Task<std::expected<std::string, JsonRpcError>> call_json(const JsonMethods& methods,
                                                               const Directory::Entry& entry,
                                                               Call& call, std::string_view params);

}  // namespace capstan::rpc
