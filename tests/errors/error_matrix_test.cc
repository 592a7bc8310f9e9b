// Why this file exists: one error means the same on every wire, and nobody changes that unnoticed.
// docs/errors.md is the matrix (code x wire, and errno x wire) as the error maps have it; this test
// writes it anew and compares. After a change that is meant:
//   CAPSTAN_UPDATE=1 build/asan/tests/errors/errors_test
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "capstan_test_paths.h"
#include "rpc/condition.h"
#include "rpc/gone.h"
#include "rpc/json_call.h"
#include "wire/drpc/error_map.h"
#include "wire/grpc/error_map.h"
#include "wire/rest/error_map.h"

namespace capstan {
namespace {

constexpr const char* kPage = CAPSTAN_SOURCE_DIR "/docs/errors.md";
constexpr int kCodes = 17;

struct Errno {
  int value;
  const char* name;
};
constexpr std::array kErrnos = {
    Errno{EPERM, "EPERM"},
    Errno{ENOENT, "ENOENT"},
    Errno{EIO, "EIO"},
    Errno{ENXIO, "ENXIO"},
    Errno{EAGAIN, "EAGAIN"},
    Errno{ENOMEM, "ENOMEM"},
    Errno{EACCES, "EACCES"},
    Errno{EBUSY, "EBUSY"},
    Errno{EEXIST, "EEXIST"},
    Errno{ENODEV, "ENODEV"},
    Errno{EINVAL, "EINVAL"},
    Errno{EMFILE, "EMFILE"},
    Errno{EFBIG, "EFBIG"},
    Errno{ENOSPC, "ENOSPC"},
    Errno{EROFS, "EROFS"},
    Errno{EPIPE, "EPIPE"},
    Errno{ERANGE, "ERANGE"},
    Errno{EILSEQ, "EILSEQ"},
    Errno{EOPNOTSUPP, "EOPNOTSUPP"},
    Errno{EADDRINUSE, "EADDRINUSE"},
    Errno{ECONNRESET, "ECONNRESET"},
    Errno{ETIMEDOUT, "ETIMEDOUT"},
    Errno{ECONNREFUSED, "ECONNREFUSED"},
    Errno{ENOMEDIUM, "ENOMEDIUM"},
    Errno{EMEDIUMTYPE, "EMEDIUMTYPE"},
    Errno{ECANCELED, "ECANCELED"},
};

std::string errno_name(std::int64_t json_code) {
  for (const Errno& known : kErrnos) {
    if (json_code == -known.value) return known.name;
  }
  return "";
}

// grpc, jsonrpc, drpc as cells.
std::string cells(const Error& error) {
  std::ostringstream out;
  out << " | " << wire::grpc_status_text(error.code) << " | " << rpc::json_rpc_error(error).code
      << " | " << wire::drpc::drpc_status_number(error.code) << " |\n";
  return out.str();
}

void http_page(std::ostringstream& out) {
  out << "\n## HTTP\n\n"
         "An error of an operation is a trace: a list of objects with `kind`, `id` (the service "
         "and "
         "the name\nbelow), `msg`, the objects that the path names (`pool_id`, `replica_id`, "
         "`bdev` …), and what the error\nknows besides. What is wrong with a request before there "
         "is an operation is plain text or\nnothing: 400, 401, 404, 405, 406, 408, "
         "413, 415, 431, 501.\n\n"
         "| code | status | kind | id | after |\n|---|---|---|---|---|\n";
  for (int value = 1; value < kCodes; ++value) {
    const Code code = static_cast<Code>(value);
    const auto native = wire::rest::native_status(code);
    out << "| " << code_name(code) << " | " << native.status << " | " << native.kind << " | "
        << native.name << " | " << (native.status == 503 ? "`retry-after`" : "") << " |\n";
  }
  auto details = std::make_shared<ErrorDetails>();
  details->reason = rpc::kConditionReason;
  const Error unmet{Code::kFailedPrecondition, 0, "x", {}, std::move(details)};
  out << "\nA condition of the call that does not hold (`If-Match`) is FAILED_PRECONDITION with "
         "the "
         "reason\n"
      << rpc::kConditionReason << ": " << wire::rest::status_of(unmet)
      << " with the id `condition_not_met`. What was there and is kept no longer (events\n"
         "behind a `since` that is too old) is NOT_FOUND with the reason "
      << rpc::kGoneReason << ": " << wire::rest::status_of(rpc::fail_gone("x").error())
      << " with the id `gone`.\n";
}

void v0_page(std::ostringstream& out) {
  out << "\n## HTTP under /v0\n\n"
         "As Mayastor's control plane says it: `{\"details\", \"message\", \"kind\"}`, for "
         "everything "
         "that is refused\nthere. `kind` is `Deserialize` for a path, query or body that does not "
         "read (400, 415), `NotAcceptable`\nfor 406, `NotFound` for an unknown path. An error "
         "whose "
         "reason is one of the second table says that.\n\n"
         "| code | status | kind |\n|---|---|---|\n";
  for (int value = 1; value < kCodes; ++value) {
    const auto v0 = wire::rest::v0_status({static_cast<Code>(value), 0, "x", {}});
    out << "| " << code_name(static_cast<Code>(value)) << " | " << v0.status << " | " << v0.kind
        << " |\n";
  }
  out << "\n| reason | status | kind |\n|---|---|---|\n";
  for (const char* reason :
       {"TIMEOUT", "CONFLICT", "IN_USE", "DELETING", "ALREADY_SHARED", "NOT_SHARED",
        "ALREADY_PUBLISHED", "NOT_PUBLISHED", "CAPACITY_LIMIT_EXCEEDED", "FAILED_PERSIST"}) {
    auto details = std::make_shared<ErrorDetails>();
    details->reason = reason;
    const auto v0 = wire::rest::v0_status({Code::kUnknown, 0, "x", {}, std::move(details)});
    out << "| " << reason << " | " << v0.status << " | " << v0.kind << " |\n";
  }
}

std::string page() {
  std::ostringstream out;
  out << "# Errors on each wire\n\n"
         "Generated by `tests/errors/error_matrix_test.cc`, which fails when this page and the "
         "error maps\ndiffer. An error is one value in the node: a canonical code, what the "
         "operating system said (if\nit was involved), and a message for people. The message is "
         "the same on every wire.\n\n"
         "| wire | where the code stands | where the message stands |\n|---|---|---|\n"
         "| gRPC | trailer `grpc-status` | trailer `grpc-message` |\n"
         "| JSON-RPC | `error.code` | `error.message` |\n"
         "| dRPC | `Reply.status` (DAOS's number), `Reply.code` (gRPC's), `Reply.sys_errno` | "
         "`Reply.message` |\n"
         "| HTTP | status, and in a trace `id` | in a trace `msg` |\n\n"
         "## By canonical code\n\n"
         "For errors in which the operating system had no part.\n\n"
         "| code | gRPC | JSON-RPC | dRPC |\n|---|---|---|---|\n";
  for (int value = 1; value < kCodes; ++value) {
    const Error error{static_cast<Code>(value), 0, "x", {}};
    out << "| " << code_name(error.code) << cells(error);
  }
  out << "\nJSON-RPC's codes are SPDK's: negated errnos, or -32603 where none fits. Besides "
         "these, it answers\n-32700, -32600, -32601 and -32602 to requests that are not "
         "well-formed, unknown, or do not decode, and\nthe methods of SPDK's catalogue answer "
         "what SPDK answers. dRPC answers requests that are not\nwell-formed, unknown, or do not "
         "decode with its own statuses 3 to 6.\n\n"
         "## By errno\n\n"
         "A failed system call decides the code, unless the API of an operation asks for another "
         "one.\n\n"
         "| errno | code | gRPC | JSON-RPC | dRPC |\n|---|---|---|---|---|\n";
  for (const Errno& known : kErrnos) {
    const Error error = fail_errno(known.value, "x").error();
    out << "| " << known.name << " | " << code_name(error.code) << cells(error);
  }
  http_page(out);
  v0_page(out);
  return out.str();
}

TEST(ErrorMatrix, IsWhatTheDocumentationSays) {
  if (std::getenv("CAPSTAN_UPDATE")) std::ofstream(kPage) << page();
  std::ifstream file(kPage);
  std::stringstream written;
  written << file.rdbuf();
  EXPECT_EQ(written.str(), page()) << "if the change is meant, repeat with CAPSTAN_UPDATE=1";
}

TEST(ErrorMatrix, EveryWireTellsFailureFromSuccess) {
  std::set<std::int32_t> drpc;
  std::set<std::string_view> grpc;
  for (int value = 1; value < kCodes; ++value) {
    const Error error{static_cast<Code>(value), 0, "x", {}};
    EXPECT_LT(rpc::json_rpc_error(error).code, 0) << value;
    EXPECT_LT(wire::drpc::drpc_status_number(error.code), 0) << value;
    drpc.insert(wire::drpc::drpc_status_number(error.code));
    grpc.insert(wire::grpc_status_text(error.code));
    EXPECT_EQ(wire::drpc::drpc_code_of_status(wire::drpc::drpc_status_number(error.code)),
              error.code);
    EXPECT_EQ(wire::grpc_status_code(wire::grpc_status_text(error.code)), error.code);
  }
  EXPECT_EQ(drpc.size(), 16U);  // no two codes share a number
  EXPECT_EQ(grpc.size(), 16U);
}

TEST(ErrorMatrix, HttpClientsTellFailureFromSuccess) {
  std::set<std::string_view> names;
  for (int value = 1; value < kCodes; ++value) {
    const auto native = wire::rest::native_status(static_cast<Code>(value));
    EXPECT_GE(native.status, 400U) << value;
    EXPECT_TRUE(native.kind == "permanent" || native.kind == "temporary") << value;
    EXPECT_NE(wire::rest::error_of_status(native.status, "x").code, Code::kUnknown) << value;
    names.insert(native.name);
  }
  EXPECT_EQ(names.size(), 16U);  // the id tells them all apart
}

// The list of kinds is closed: a client that was generated from the control plane's document
// refuses what it does not know.
TEST(ErrorMatrix, V0KindsAreThoseOfTheControlPlane) {
  const std::set<std::string_view> kinds = {"Timeout",
                                            "Deserialize",
                                            "Internal",
                                            "InvalidArgument",
                                            "DeadlineExceeded",
                                            "NotFound",
                                            "AlreadyExists",
                                            "PermissionDenied",
                                            "ResourceExhausted",
                                            "FailedPrecondition",
                                            "NotShared",
                                            "NotPublished",
                                            "AlreadyPublished",
                                            "AlreadyShared",
                                            "Aborted",
                                            "OutOfRange",
                                            "Unimplemented",
                                            "Unavailable",
                                            "Unauthenticated",
                                            "Unauthorized",
                                            "Conflict",
                                            "FailedPersist",
                                            "Deleting",
                                            "InUse",
                                            "CapacityLimitExceeded",
                                            "NotAcceptable"};
  for (int value = 1; value < kCodes; ++value) {
    const auto v0 = wire::rest::v0_status({static_cast<Code>(value), 0, "x", {}});
    EXPECT_GE(v0.status, 400U) << value;
    EXPECT_TRUE(kinds.contains(v0.kind)) << v0.kind;
  }
}

TEST(ErrorMatrix, JsonRpcCodesAreErrnosOrOfJsonRpc) {
  for (int value = 1; value < kCodes; ++value) {
    const auto code = rpc::json_rpc_error({static_cast<Code>(value), 0, "x", {}}).code;
    EXPECT_TRUE(code == rpc::json_code::kInternalError || !errno_name(code).empty()) << code;
  }
  for (const Errno& known : kErrnos) {
    EXPECT_EQ(rpc::json_rpc_error(fail_errno(known.value, "x").error()).code, -known.value);
  }
}

TEST(ErrorMatrix, TheMessageIsTheSameEverywhere) {
  const Error error{Code::kNotFound, ENOENT, "disk 'd' is missing", {"open pool 'p'"}};
  EXPECT_EQ(rpc::json_rpc_error(error).message, "open pool 'p': disk 'd' is missing");
  EXPECT_EQ(wire::grpc_status_message(error), "open pool 'p': disk 'd' is missing");
}

}  // namespace
}  // namespace capstan
