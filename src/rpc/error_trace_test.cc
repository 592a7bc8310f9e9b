// Why this file exists: the measured error of http-rpc section 6.1 in three media types, and what
// clients make of bodies that are no trace.
#include "rpc/error_trace.h"

#include <gtest/gtest.h>

#include "rpc/media_testing.h"

namespace capstan::rpc {
namespace {

using testing::hex_of;

constexpr Media kAll[] = {Media::kJson, Media::kBson, Media::kBinary};

ErrorTrace conflict() {
  TraceError error;
  error.id = "demo.conflict";
  error.text("msg", "boom");
  return {error};
}

TEST(ErrorTrace, MeasuredBytes) {
  EXPECT_EQ(encode_trace(Media::kJson, conflict()),
            "[{\"kind\":\"permanent\",\"id\":\"demo.conflict\",\"msg\":\"boom\"}]\n");
  const std::string bson =
      "45000000"
      "033000"
      "3d000000"
      "026b696e6400"
      "0a000000"
      "7065726d616e656e7400"
      "02696400"
      "0e000000"
      "64656d6f2e636f6e666c69637400"
      "026d736700"
      "05000000"
      "626f6f6d00"
      "00"
      "00";
  EXPECT_EQ(hex_of(encode_trace(Media::kBson, conflict())), bson);
  EXPECT_EQ(hex_of(encode_trace(Media::kBinary, conflict())), "0000004900000045" + bson);
  EXPECT_EQ(encode_trace(Media::kJson, {failure("no \"x\"")}),
            "[{\"kind\":\"temporary\",\"id\":\"failure\",\"msg\":\"no \\\"x\\\"\"}]\n");
}

TEST(ErrorTrace, ReadsBackWhatIsWritten) {
  ErrorTrace trace = conflict();
  trace[0].fields.emplace_back("count", "3");
  trace.push_back(failure("inner"));
  TraceError generic;
  generic.kind = "generic";
  trace.push_back(generic.text("error", "x"));
  for (const Media media : kAll) {
    EXPECT_EQ(decode_trace(media, encode_trace(media, trace)), trace) << media_name(media);
    EXPECT_EQ(decode_optional_trace(media, encode_trace(media, trace)), trace);
  }
  EXPECT_EQ(trace_text(trace), "boom: inner: x");
  EXPECT_EQ(trace[0].field_text("count"), "3");
  EXPECT_EQ(trace[0].field_text("msg"), "boom");
  EXPECT_EQ(trace[0].field_text("other"), "");
}

TEST(ErrorTrace, AnEmptyListIsAnErrorUnlessErrorsAreOptional) {
  for (const char* body : {"[]", "{}", " [ ] \n"}) {
    const auto trace = decode_trace(Media::kJson, body);
    ASSERT_EQ(trace.size(), 1U);
    EXPECT_EQ(trace[0].id, "RPC.Empty_error_list");
    EXPECT_TRUE(decode_optional_trace(Media::kJson, body).empty());
  }
  EXPECT_TRUE(decode_optional_trace(Media::kJson, "null").empty());
  EXPECT_EQ(decode_trace(Media::kBson, encode_trace(Media::kBson, {}))[0].id,
            "RPC.Empty_error_list");
  EXPECT_EQ(decode_trace(Media::kBinary, encode_trace(Media::kBinary, {}))[0].id,
            "RPC.Empty_error_list");
}

TEST(ErrorTrace, WhatIsNoTraceIsKept) {
  const auto kept = [](Media media, std::string_view body) {
    const auto trace = decode_trace(media, body);
    EXPECT_EQ(trace.size(), 1U);
    EXPECT_EQ(trace[0].id, "RPC.Unexpected_error_encoding");
    return trace[0].fields.at(0);
  };
  using Field = std::pair<std::string, std::string>;
  EXPECT_EQ(kept(Media::kJson, R"({"a": 1})"), Field("unparsable message", R"({"a":1})"));
  EXPECT_EQ(kept(Media::kJson, R"([{"kind":"permanent"}])").second, R"([{"kind":"permanent"}])");
  EXPECT_EQ(kept(Media::kJson, R"([{"kind":"odd","id":"x"}])").second,
            R"([{"kind":"odd","id":"x"}])");
  EXPECT_EQ(kept(Media::kJson, "null").second, "null");
  EXPECT_EQ(kept(Media::kJson, "<html>").second, "\"<html>\"");
  EXPECT_EQ(kept(Media::kBson, "xx").second, "\"xx\"");
  EXPECT_EQ(kept(Media::kBinary, std::string(8, '\0')).second,
            "\"\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\"");
  EXPECT_EQ(kept(Media::kJson, "\xFF").second, "\"\xEF\xBF\xBD\"");
  std::string many = "[";
  for (int i = 0; i < 65; ++i) many += R"({"kind":"branch","id":"x"},)";
  many.back() = ']';
  EXPECT_EQ(kept(Media::kJson, many).second, many);
}

}  // namespace
}  // namespace capstan::rpc
