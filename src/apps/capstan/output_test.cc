// Why this file exists: checks what users see: tables, JSON, the progress line, the forms of
// --bind, and the hash that holds both ends of a transfer together.
#include <gtest/gtest.h>

#include <map>

#include "apps/capstan/bind_uri.h"
#include "apps/capstan/image_hash.h"
#include "apps/capstan/printer.h"
#include "apps/capstan/progress.h"
#include "base/visible.h"
#include "node/node.pb.h"

namespace capstan::apps {
namespace {

TEST(Table, PadsToTheWidestCellWithoutTrailingBlanks) {
  Table table({"NAME", ">SIZE", "URI"});
  table.add({"p1", "4.00 MiB", "aio:///a"});
  table.add({"pool-two", "1.00 GiB", ""});
  EXPECT_EQ(table.text(true),
            "NAME          SIZE  URI\n"
            "p1        4.00 MiB  aio:///a\n"
            "pool-two  1.00 GiB  -\n");
  EXPECT_EQ(table.text(false),
            "p1        4.00 MiB  aio:///a\n"
            "pool-two  1.00 GiB  -\n");
}

TEST(Table, CountsCharactersAndHidesControls) {
  Table table({"A", "B"});
  table.add({"äö", "x\ny\x1b"});
  table.add({"abc", "z"});
  EXPECT_EQ(table.text(true), "A    B\näö   x\\u000ay\\u001b\nabc  z\n");
}

TEST(Visible, NamesGiveTheTerminalNoOrders) {
  EXPECT_EQ(visible("plain äö \xF0\x9F\x98\x80"), "plain äö \xF0\x9F\x98\x80");
  EXPECT_EQ(visible("\x1b[2J\r\n\t\x7f"), "\\u001b[2J\\u000d\\u000a\\u0009\\u007f");
  EXPECT_EQ(visible("\xC2\x9B"
                    "1m\xC2\xA0"),
            "\\u009b1m\xC2\xA0");  // CSI in one character
  EXPECT_EQ(visible(std::string_view("a\0b", 3)), "a\\u0000b");
  EXPECT_EQ(visible_lines("a\n\tb\x1b"), "a\n\tb\\u001b");
  EXPECT_EQ(visible("\xC2"), "\xC2");
  Printer printer({});
  printer.line("{\n  \"name\": \"\x7f\"\n}");
  EXPECT_EQ(printer.buffered(), "{\n  \"name\": \"\\u007f\"\n}\n");
  printer.raw("\x1b");
  EXPECT_TRUE(printer.buffered().ends_with("\x1b"));
}

TEST(Printer, EmptyListsSaySoUnlessQuiet) {
  Printer loud({});
  loud.table(Table({"A"}), "pools");
  EXPECT_EQ(loud.buffered(), "No pools found\n");
  Printer quiet({.quiet = true});
  quiet.table(Table({"A"}), "pools");
  EXPECT_EQ(quiet.buffered(), "");
}

TEST(Printer, JsonIsIndentedAndComplete) {
  EXPECT_EQ(pretty_json(R"({"a":{},"b":[],"c":[1,"x,{}:\""],"d":{"e":null}})"),
            "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    \"x,{}:\\\"\"\n  ],\n"
            "  \"d\": {\n    \"e\": null\n  }\n}");
  Printer printer({.format = Printer::Format::kJson});
  node::v1::Health health;
  health.add_parts()->set_name("pool p1");
  ASSERT_TRUE(printer.message(health));
  EXPECT_EQ(printer.buffered(),
            "{\n  \"healthy\": false,\n  \"parts\": [\n    {\n      \"name\": \"pool p1\",\n"
            "      \"healthy\": false,\n      \"detail\": \"\"\n    }\n  ]\n}\n");
}

TEST(Progress, ShowsBytesRateAndTimeLeft) {
  const std::string line =
      progress_line("import f", 1ULL << 30, 2ULL << 30, 2 * core::kSecond, 200, SizeUnits::kBinary);
  EXPECT_EQ(
      line,
      "import f  [============>           ]  50%  1.00 GiB of 2.00 GiB  512.00 MiB/s  2s left");
  EXPECT_EQ(progress_line("x", 0, 0, 0, 200, SizeUnits::kBinary),
            "x  [========================]  100%  0 B of 0 B  0 B/s");
  const std::string narrow = progress_line("import /long/path/to/some/disk.img", 1ULL << 30,
                                           2ULL << 30, 2 * core::kSecond, 92, SizeUnits::kBinary);
  EXPECT_EQ(narrow,
            "…some/disk.img  [============>           ]  50%  1.00 GiB of 2.00 GiB  "
            "512.00 MiB/s  2s left")
      << "the numbers stay";
  EXPECT_LE(shown_width(progress_line("ä", 1, 2, 1, 10, SizeUnits::kBinary)), 10U);
}

TEST(BindUri, AcceptsTheUsualForms) {
  const auto host = [](const char* text) { return parse_bind_uri(text).value_or(BindUri()).host; };
  const auto port = [](const char* text) { return parse_bind_uri(text).value_or(BindUri()).port; };
  EXPECT_EQ(host("http://127.0.0.1:5000"), "127.0.0.1");
  EXPECT_EQ(port("http://127.0.0.1:5000/"), 5000);
  EXPECT_EQ(port("node-1"), 10124);
  EXPECT_EQ(host("http://[::1]:1"), "::1");
  EXPECT_EQ(port("[::1]"), 10124);
  EXPECT_TRUE(parse_bind_uri("https://n")->tls);
  EXPECT_EQ(parse_bind_uri("unix:/run/a.sock")->path, "/run/a.sock");
  EXPECT_EQ(parse_bind_uri("unix:///run/a.sock")->path, "/run/a.sock");
  for (const auto& [text, wire] :
       std::map<std::string, client::Wire>{{"node", client::Wire::kGrpc},
                                           {"unix:/x", client::Wire::kGrpc},
                                           {"ws://n:1/ws", client::Wire::kMuxio},
                                           {"wss://[::1]:1", client::Wire::kMuxio},
                                           {"muxio:/x", client::Wire::kMuxio},
                                           {"jsonrpc:/x", client::Wire::kJsonRpc},
                                           {"drpc:///x", client::Wire::kDrpc}}) {
    const auto uri = parse_bind_uri(text);
    ASSERT_TRUE(uri) << text << uri.error().text();
    EXPECT_EQ(uri->wire, wire) << text;
    EXPECT_EQ(uri->tls, text.starts_with("wss")) << text;
    EXPECT_EQ(uri->path, text.find(":/x") != text.npos || text.starts_with("drpc") ? "/x" : "");
    if (wire == client::Wire::kMuxio && uri->path.empty()) EXPECT_EQ(uri->port, 1) << text;
  }
  for (const char* text : {"", "ws://a/x", "jsonrpc:", "ftp://a", "http://", "a:b", "a:0",
                           "a:65536", "a:", "[::1", "unix:", "http://a/b"}) {
    auto uri = parse_bind_uri(text);
    ASSERT_FALSE(uri) << text;
    EXPECT_NE(uri.error().text().find("http://127.0.0.1:10124"), std::string::npos);
  }
}

TEST(BindUri, AnEndpointSaysWhatItMeans) {
  using client::Wire;
  for (const auto& [text, wire] : std::map<std::string, Wire>{{"http://n", Wire::kHttp},
                                                              {"https://n:1", Wire::kHttp},
                                                              {"n", Wire::kHttp},
                                                              {"grpc://n", Wire::kGrpc},
                                                              {"grpcs://n", Wire::kGrpc},
                                                              {"http+unix:/x", Wire::kHttp},
                                                              {"unix:/x", Wire::kGrpc},
                                                              {"unix+jsonrpc:/x", Wire::kJsonRpc},
                                                              {"wss://n", Wire::kMuxio}}) {
    const auto uri = parse_bind_uri(text, AddressFlag::kEndpoint);
    ASSERT_TRUE(uri) << text << uri.error().text();
    EXPECT_EQ(uri->wire, wire) << text;
    EXPECT_EQ(uri->tls, text.find("s:") != text.npos) << text;
    if (!text.starts_with("n") && !text.starts_with("http:") && !text.starts_with("https:")) {
      EXPECT_EQ(parse_bind_uri(text)->wire, wire) << "the same as --bind: " << text;
    }
  }
  const auto base = parse_bind_uri("http://h:1/base/path/", AddressFlag::kEndpoint);
  ASSERT_TRUE(base) << base.error().text();
  EXPECT_EQ(base->host + " " + std::to_string(base->port) + " " + base->base_path,
            "h 1 /base/path");
  EXPECT_EQ(parse_bind_uri("http://h/", AddressFlag::kEndpoint)->base_path, "");
  for (const auto& [text, why] : {std::pair("http://h:1?x=1", "it has a query"),
                                  std::pair("http://h:1/b?x=1", "it has a query"),
                                  std::pair("http://h:1#f", "it has a fragment"),
                                  std::pair("grpc://h:1/base", "which only HTTP has"),
                                  std::pair("http://h:x/base", "the port")}) {
    const auto refused = parse_bind_uri(text, AddressFlag::kEndpoint);
    ASSERT_FALSE(refused) << text;
    EXPECT_NE(refused.error().text().find(why), std::string::npos) << refused.error().text();
  }
  const auto wrong = parse_bind_uri("ftp://n", AddressFlag::kEndpoint);
  ASSERT_FALSE(wrong);
  EXPECT_TRUE(wrong.error().text().starts_with("--endpoint: ")) << wrong.error().text();
}

TEST(BindUri, SchemesAreInAnyCase) {
  for (const auto& [text, wire] :
       std::map<std::string, client::Wire>{{"HTTPS://n", client::Wire::kHttp},
                                           {"Grpcs://n", client::Wire::kGrpc},
                                           {"WSS://n/ws", client::Wire::kMuxio},
                                           {"JsonRpc:/X", client::Wire::kJsonRpc}}) {
    const auto uri = parse_bind_uri(text, AddressFlag::kEndpoint);
    ASSERT_TRUE(uri) << text << uri.error().text();
    EXPECT_EQ(uri->wire, wire) << text;
    EXPECT_EQ(uri->tls, text.find("://n") != text.npos) << text;
    if (!uri->tls) EXPECT_EQ(uri->path, "/X") << "paths are as they are";
  }
}

TEST(BindUri, APasswordIsRefusedAndNotRepeated) {
  for (const char* text :
       {"http://user:geheim@host:1", "user:geheim@host", "ftp://user:geheim@host:1",
        "http://user:gehe/im@host:1/base", "http://user:geheim@host?x", "HTTP://geheim@h"}) {
    for (const auto flag : {AddressFlag::kBind, AddressFlag::kEndpoint}) {
      const auto refused = parse_bind_uri(text, flag);
      ASSERT_FALSE(refused) << text;
      const std::string error = refused.error().text();
      EXPECT_EQ(error.find("gehe"), std::string::npos) << error;
      EXPECT_NE(error.find("…@h"), std::string::npos) << error;
      if (!std::string_view(text).starts_with("ftp")) {
        EXPECT_NE(error.find("user information"), std::string::npos) << error;
      }
    }
  }
}

TEST(ImageHash, HashesWhatIsAdded) {
  ImageHash hash;
  hash.add(as_bytes("abc"));
  EXPECT_EQ(hash.position(), 3U);
  EXPECT_EQ(hex_text(hash.finish()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace capstan::apps
