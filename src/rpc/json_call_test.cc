// Why this file exists: which code and text an Error has on JSON-RPC: exact where the handler says
// so, else by errno or canonical code (jsonrpc section C.3). Calls by name are tested with the
// services, which have operations of every shape.
#include "rpc/json_call.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace capstan::rpc {
namespace {

std::string text(const Error& error) {
  const JsonRpcError out = json_rpc_error(error);
  return std::to_string(out.code) + " " + out.message;
}

TEST(JsonCall, ExactErrorsHideTheirDetailFromJsonRpcOnly) {
  const auto error = json_errno(EEXIST, "device 'x' exists").error();
  EXPECT_EQ(text(error), "-17 File exists");
  EXPECT_EQ(error.code, Code::kAlreadyExists);
  EXPECT_EQ(error.text(), "device 'x' exists: File exists");
  EXPECT_EQ(text(Error(error).within("outer")), "-17 File exists");
  EXPECT_EQ(text(json_invalid_params("m: x: missing").error()), "-32602 m: x: missing");
}

TEST(JsonCall, OtherErrorsByErrnoOrCode) {
  const std::pair<Error, const char*> cases[] = {
      {{Code::kInternal, EIO, "io", {}}, "-5 io"},
      {{Code::kNotFound, ENOENT, "no file", {}}, "-2 no file"},
      {{Code::kNotFound, 0, "gone", {"step"}}, "-19 step: gone"},
      {{Code::kInvalidArgument, 0, "bad", {}}, "-22 bad"},
      {{Code::kFailedPrecondition, 0, "busy", {}}, "-16 busy"},
      {{Code::kUnimplemented, 0, "none", {}}, "-95 none"},
      {{Code::kDeadlineExceeded, 0, "late", {}}, "-110 late"},
      {{Code::kCancelled, 0, "over", {}}, "-125 over"},
      {{Code::kInternal, 0, "odd", {}}, "-32603 odd"},
  };
  for (const auto& [error, expected] : cases) EXPECT_EQ(text(error), expected);
}

}  // namespace
}  // namespace capstan::rpc
