// Why this file exists: text from paths and queries as fields, as a table over every kind of field
// (http-rpc sections 2.2 and 2.3): what each word becomes, what is refused and in which words, and
// how a query names fields.
#include "wire/rest/fields.h"

#include <gtest/gtest.h>

#include "rpc/json_testing.h"
#include "wire/rest/limits.h"

namespace capstan::wire::rest {
namespace {

namespace pb = google::protobuf;

class RestFields : public ::testing::Test {
 protected:
  const pb::FieldDescriptor* field(const std::string& name) const {
    const auto* found = types_.make()->GetDescriptor()->FindFieldByName(name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }
  // What the message holds afterwards, or what is wrong.
  std::string set(const std::string& name, std::string_view text) const {
    const auto message = types_.make();
    const auto done = set_text(*message, {field(name)}, text);
    return done ? message->ShortDebugString() : done.error().message;
  }
  std::string query(const QueryFields& given, const std::vector<std::string>& names) const {
    std::vector<rpc::FieldPath> paths;
    for (const auto& name : names) paths.push_back({field(name)});
    const auto message = types_.make();
    const auto done = read_query(given, query_fields_of({}, paths), *message);
    return done ? message->ShortDebugString() : done.error().message;
  }

  rpc::testing::Everything types_;
};

struct Row {
  const char *field, *text, *becomes;
};

constexpr char kNoInteger[] = "Cannot parse integer value";
constexpr char kOutOfRange[] = "Cannot parse integer value: it is out of range";
constexpr char kNoFloat[] = "Cannot parse float value";
constexpr char kNoBool[] = "Cannot parse boolean value";
constexpr char kNoTime[] = "Cannot parse time value";

TEST_F(RestFields, Numbers) {
  const Row rows[] = {
      // Measured: 0x10, 0b11, -3, and what is too large or begins with a plus.
      {"an_int32", "0x10", "an_int32: 16"},
      {"an_int32", "0b11", "an_int32: 3"},
      {"an_int32", "0o17", "an_int32: 15"},
      {"an_int32", "-3", "an_int32: -3"},
      {"an_int32", "-0x10", "an_int32: -16"},
      {"an_int32", "007", "an_int32: 7"},
      {"an_int32", "2147483647", "an_int32: 2147483647"},
      {"an_int32", "-2147483648", "an_int32: -2147483648"},
      {"an_int32", "2147483648", kOutOfRange},
      {"an_int32", "99999999999999999999", kOutOfRange},
      {"an_int32", " 5", kNoInteger},
      {"an_int32", "+5", kNoInteger},
      {"an_int32", "5 ", kNoInteger},
      {"an_int32", "", kNoInteger},
      {"an_int32", "-", kNoInteger},
      {"an_int32", "--5", kNoInteger},
      {"an_int32", "0x", kNoInteger},
      {"an_int32", "0x-5", kNoInteger},
      {"an_int32", "0b2", kNoInteger},
      {"an_int32", "1.0", kNoInteger},
      {"an_int32", "1e3", kNoInteger},
      {"a_sint32", "-1", "a_sint32: -1"},
      {"a_sfixed32", "1", "a_sfixed32: 1"},
      {"an_int64", "-9223372036854775808", "an_int64: -9223372036854775808"},
      {"an_int64", "9223372036854775808", kOutOfRange},
      {"a_uint32", "4294967295", "a_uint32: 4294967295"},
      {"a_uint32", "4294967296", kOutOfRange},
      {"a_uint32", "-1", kNoInteger},
      {"a_uint64", "18446744073709551615", "a_uint64: 18446744073709551615"},
      {"a_uint64", "0xffffffffffffffff", "a_uint64: 18446744073709551615"},
      {"a_uint64", "18446744073709551616", kOutOfRange},
      {"a_uint64", "-5", kNoInteger},
      {"a_fixed64", "5", "a_fixed64: 5"},
      {"a_double", "1.5", "a_double: 1.5"},
      {"a_double", "-1e3", "a_double: -1000"},
      {"a_double", "nan", "a_double: nan"},
      {"a_double", "inf", "a_double: inf"},
      {"a_double", "2.", "a_double: 2"},
      {"a_double", "0x1.8p3", "a_double: 12"},
      {"a_double", "-0x10", "a_double: -16"},
      {"a_double", "0x", kNoFloat},
      {"a_double", "--1", kNoFloat},
      {"a_double", "+1", kNoFloat},
      {"a_double", "1e999", kNoFloat},
      {"a_double", "", kNoFloat},
      {"a_double", "1.5x", kNoFloat},
      {"a_float", "0.25", "a_float: 0.25"},
      {"maybe_int32", "0", "maybe_int32: 0"},
      {"chosen_number", "1", "chosen_number: 1"},
      {"int32s", "7", "int32s: 7"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(set(row.field, row.text), row.becomes) << row.field << " = '" << row.text << "'";
  }
}

TEST_F(RestFields, WordsForTruth) {
  for (const char* yes : {"", "true", "t", "yes", "y", "TRUE", "Yes", "Y"}) {
    EXPECT_EQ(set("a_bool", yes), "a_bool: true") << yes;
  }
  for (const char* no : {"false", "f", "no", "n", "FALSE", "No"}) {
    EXPECT_EQ(set("maybe_bool", no), "maybe_bool: false") << no;
  }
  for (const char* neither : {"1", "0", "on", "off", "true ", "ye"}) {
    EXPECT_EQ(set("a_bool", neither), kNoBool) << neither;
  }
}

TEST_F(RestFields, TextsNamesAndWhatIsWrapped) {
  const Row rows[] = {
      {"a_string", "a/b c", "a_string: \"a/b c\""},
      {"maybe_string", "", "maybe_string: \"\""},
      {"a_string", "\xff", "it is not UTF-8"},
      {"some_bytes", "\xff\x01", "some_bytes: \"\\377\\001\""},
      {"colour", "RED", "colour: RED"},
      {"colour", "1", "colour: RED"},
      {"colour", "-3", "colour: DARK_BLUE"},
      {"colour", "red", "it is none of COLOUR_NONE, RED, GREEN, DARK_BLUE"},
      {"colour", "4", "it is none of COLOUR_NONE, RED, GREEN, DARK_BLUE"},
      {"colours", "GREEN", "colours: GREEN"},
      {"w_int64", "-5", "w_int64 { value: -5 }"},
      {"w_uint32", "x", kNoInteger},
      {"w_bool", "no", "w_bool { }"},
      {"w_bool", "yes", "w_bool { value: true }"},
      {"w_string", "", "w_string { }"},
      {"w_double", "2.5", "w_double { value: 2.5 }"},
      {"at", "2026-11-21T00:00:00.5Z", "at { seconds: 1795219200 nanos: 500000000 }"},
      {"at", "yesterday", kNoTime},
      {"took", "1.5s", "took { seconds: 1 nanos: 500000000 }"},
      {"took", "1.5", kNoTime},
      {"pauses", "2s", "pauses { seconds: 2 }"},
      {"child", "x", "it cannot be written as text"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(set(row.field, row.text), row.becomes) << row.field << " = '" << row.text << "'";
  }
}

TEST_F(RestFields, Queries) {
  const std::vector<std::string> names = {"an_int32", "maybe_string", "strings", "a_bool"};
  EXPECT_EQ(query({{"an_int32", "3"}, {"other", "ignored"}}, names), "an_int32: 3");
  // In the order of the address; an empty text is a value, too.
  EXPECT_EQ(query({{"strings", "b"}, {"strings", "a"}, {"strings", ""}}, names),
            R"(strings: "b" strings: "a" strings: "")");
  EXPECT_EQ(query({{"maybe_string", ""}}, names), R"(maybe_string: "")");
  EXPECT_EQ(query({{"a_bool", ""}}, names), "a_bool: true");
  EXPECT_EQ(query({{"an_int32", ""}}, names),
            "Failed to parse argument 'an_int32' (\"\"): Cannot parse integer value");
  EXPECT_EQ(query({{"an_int32", "1"}, {"an_int32", "1"}}, names),
            "Duplicate argument 'an_int32' in query string.");
  EXPECT_EQ(query({{"a_bool", "y"}, {"a_bool", "n"}}, names),
            "Duplicate argument 'a_bool' in query string.");
  // What nobody declared may come as often as it likes.
  EXPECT_EQ(query({{"x", "1"}, {"x", "2"}, {"AN_INT32", "x"}}, names), "");
}

TEST(RestFlags, Words) {
  struct Case {
    QueryFields query;
    const char* becomes;
  };
  const Case cases[] = {
      {{}, "no"},
      {{{"other", "x"}}, "no"},
      {{{"recurse", ""}}, "yes"},
      {{{"recurse", "yes"}}, "yes"},
      {{{"recurse", "TRUE"}}, "yes"},
      {{{"recurse", "False"}}, "no"},
      {{{"recurse", "zz"}},
       "Failed to parse argument 'recurse' (\"zz\"): Cannot parse boolean value"},
      {{{"recurse", ""}, {"recurse", ""}}, "Duplicate argument 'recurse' in query string."},
  };
  for (const Case& one : cases) {
    const auto flag = read_flag(one.query, "recurse");
    EXPECT_EQ(flag ? (*flag ? "yes" : "no") : flag.error().message, one.becomes);
  }
}

TEST_F(RestFields, FieldsOfFields) {
  const auto *child = field("child"), *number = field("an_int32"), *text = field("a_string");
  const auto fields = query_fields_of({}, {{child, number}, {child, text}, {text}});
  const auto read = [&](const QueryFields& given) {
    const auto message = types_.make();
    const auto done = read_query(given, fields, *message);
    return done ? message->ShortDebugString() : done.error().message;
  };
  EXPECT_EQ(read({{"child.an_int32", "1"}}), "child { an_int32: 1 }");
  EXPECT_EQ(read({{"an_int32", "1"}}), "child { an_int32: 1 }");  // only one is called so
  EXPECT_EQ(read({{"a_string", "x"}}), R"(a_string: "x")");
  EXPECT_EQ(read({{"child.a_string", "x"}}), R"(child { a_string: "x" })");
  EXPECT_EQ(read({{"child.an_int32", "1"}, {"an_int32", "1"}}),
            "Duplicate argument 'an_int32' in query string.");
}

TEST_F(RestFields, OtherNamesThanTheFields) {
  const auto *child = field("child"), *number = field("an_int32"), *text = field("a_string");
  rpc::HttpBinding binding;
  binding.query_names = {{"of", {child, number}}, {"called", {text}}};
  const auto fields = query_fields_of(binding, {{child, number}, {text}});
  const auto read = [&](const QueryFields& given) {
    const auto message = types_.make();
    const auto done = read_query(given, fields, *message);
    return done ? message->ShortDebugString() : done.error().message;
  };
  EXPECT_EQ(read({{"of", "1"}, {"called", "x"}}), R"(a_string: "x" child { an_int32: 1 })");
  EXPECT_EQ(read({{"a_string", "x"}}), R"(a_string: "x")");  // its own name goes, too
  EXPECT_EQ(read({{"a_string", "x"}, {"called", "x"}}),
            "Duplicate argument 'called' in query string.");
  EXPECT_EQ(read({{"of", "x"}}),
            "Failed to parse argument 'of' (\"x\"): Cannot parse integer value");
}

TEST(RestArguments, Types) {
  struct Case {
    const char* type;
    std::string text;
    bool good;
  };
  const std::string uuid = "0b1b2c3d-1111-4222-8333-444455556666";
  const Case cases[] = {
      {"pool_id", "a", true},
      {"pool_id", "A.b_c-9", true},
      {"pool_id", std::string(64, 'x'), true},
      {"pool_id", std::string(65, 'x'), false},
      {"pool_id", "", false},
      {"pool_id", "a/b", false},
      {"pool_id", "a b", false},
      {"pool_id", "\xc3\xa4", false},
      {"replica_id", uuid, true},
      {"nexus_id", uuid, true},
      {"snapshot_id", uuid, true},
      {"clone_id", uuid, true},
      {"replica_id", "r1", false},
      {"replica_id", uuid + "0", false},
      {"key", std::string(65535, '\xff'), true},
      {"key", std::string(65536, 'k'), false},
      {"bdev", "malloc:///x?size_mb=1", true},
      {"whatever", "", true},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(check_argument(one.type, one.text).has_value(), one.good)
        << one.type << " " << one.text.substr(0, 80);
  }
}

}  // namespace
}  // namespace capstan::wire::rest
