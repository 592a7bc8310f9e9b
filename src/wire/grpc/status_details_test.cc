// Why this file exists: rich status both ways: what a client reads is what the node knew, within
// the room there is; and a worked example byte by byte, so that both halves cannot be wrong
// together.
#include "wire/grpc/status_details.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "pool.pb.h"

namespace capstan::wire {
namespace {

using Fact = std::pair<std::string, std::string>;

std::shared_ptr<const ErrorDetails> there_and_back(const Error& error) {
  return grpc_read_status_details(grpc_status_details(error, error.text(), "a.B/C", nullptr),
                                  error.code);
}

TEST(StatusDetails, AWorkedExample) {
  const Error error = fail(Code::kNotFound, "no p").error();
  // code 5, message, one Any of 75 bytes: an ErrorInfo of reason, domain and one pair.
  const std::string expected = std::string("\x08\x05\x12\x04no p\x1A") + "\x58" + "\x0A\x28" +
                               "type.googleapis.com/google.rpc.ErrorInfo" + "\x12\x2C" +
                               "\x0A\x09NOT_FOUND" + "\x12\x07" + "capstan" + "\x1A\x16" +
                               "\x0A\x09operation" + "\x12\x09" + "x.y.Z/Foo";
  EXPECT_EQ(grpc_status_details(error, "no p", "x.y.Z/Foo", nullptr), expected);
}

TEST(StatusDetails, TellsWhatTheRequestWasAbout) {
  mayastor::v1::CreatePoolRequest request;
  request.set_name("p");
  request.mutable_uuid()->set_value("not text of the request itself");
  const Error error = fail_errno(ENOSPC, "write").error();
  const auto read =
      grpc_read_status_details(grpc_status_details(error, "", "a.B/C", &request), error.code);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->facts,
            (std::vector<Fact>{{"errno", "ENOSPC"}, {"name", "p"}, {"operation", "a.B/C"}}));
  EXPECT_EQ(read->reason, "");  // the code's name, which the code says
  EXPECT_EQ(read->domain, "");
}

TEST(StatusDetails, FieldsAndDelays) {
  const auto field = there_and_back(fail_field("disks", "one disk").error());
  ASSERT_TRUE(field);
  ASSERT_EQ(field->fields.size(), 1U);
  EXPECT_EQ(field->fields[0].name, "disks");
  EXPECT_EQ(field->fields[0].problem, "one disk");
  EXPECT_EQ(field->retry_after_ns, 0U);
  const auto delay = there_and_back(fail_until(Code::kUnavailable, "later", 1'500'000'000).error());
  ASSERT_TRUE(delay);
  EXPECT_EQ(delay->retry_after_ns, 1'500'000'000U);
  EXPECT_TRUE(delay->fields.empty());
}

TEST(StatusDetails, APeersOwnReasonIsPassedOn) {
  auto details = std::make_shared<ErrorDetails>();
  details->reason = "POOL_BUSY";
  details->domain = "elsewhere.example";
  const auto read = there_and_back({Code::kAborted, 0, "busy", {}, details});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->reason, "POOL_BUSY");
  EXPECT_EQ(read->domain, "elsewhere.example");
}

TEST(StatusDetails, LeavesOutWhatDoesNotFit) {
  auto details = std::make_shared<ErrorDetails>();
  for (int i = 0; i < 20; ++i) {
    details->facts.emplace_back("fact" + std::to_string(i), std::string(200, 'f'));
  }
  details->facts.emplace_back("huge", std::string(100'000, 'h'));
  details->retry_after_ns = 7;
  details->fields.push_back({"disks", "wrong"});
  const auto read = there_and_back({Code::kInvalidArgument, 0, "short", {}, details});
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->facts.empty());
  EXPECT_EQ(read->fields.size(), 1U);

  details->fields.push_back({"name", std::string(3000, 'x')});
  const auto less = there_and_back({Code::kInvalidArgument, 0, "short", {}, details});
  ASSERT_TRUE(less);
  EXPECT_TRUE(less->fields.empty());
  EXPECT_EQ(less->retry_after_ns, 7U);

  const Error wordy = fail(Code::kInternal, std::string(3000, 'w')).error();
  EXPECT_EQ(grpc_status_details(wordy, wordy.text(), "a.B/C", nullptr), "");
}

TEST(StatusDetails, ReadsNothingIntoNonsense) {
  const std::string good = grpc_status_details(fail(Code::kAborted, "m").error(), "m", "", nullptr);
  EXPECT_TRUE(grpc_read_status_details(good, Code::kAborted));
  EXPECT_FALSE(grpc_read_status_details(good, Code::kNotFound));  // contradicts grpc-status
  EXPECT_FALSE(grpc_read_status_details("", Code::kAborted));
  EXPECT_FALSE(grpc_read_status_details("\x01\x02nonsense", Code::kAborted));
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    (void)grpc_read_status_details(std::string_view(good).substr(0, cut), Code::kAborted);
  }
  google::rpc::Status odd;
  odd.set_code(static_cast<int>(Code::kAborted));
  odd.add_details()->set_type_url("type.googleapis.com/google.rpc.Help");
  EXPECT_FALSE(grpc_read_status_details(odd.SerializeAsString(), Code::kAborted));
  google::rpc::RetryInfo retry;
  for (const auto& [seconds, nanos] :
       {std::pair(-1, 0), std::pair(0, -1), std::pair(0, 1'000'000'000), std::pair(100'000, 0)}) {
    retry.mutable_retry_delay()->set_seconds(seconds);
    retry.mutable_retry_delay()->set_nanos(nanos);
    odd.mutable_details(0)->PackFrom(retry);
    const auto read = grpc_read_status_details(odd.SerializeAsString(), Code::kAborted);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->retry_after_ns, 0U);
  }
}

}  // namespace
}  // namespace capstan::wire
