// Why this file exists: checks what `rpc list` and `rpc format --binary` show (http-rpc section
// 14.2), from descriptions as nodes write them and from those that are none.
#include "apps/capstan/service_tree.h"

#include <gtest/gtest.h>

#include "apps/capstan/binary_text.h"

namespace capstan::apps {
namespace {

constexpr char kDescription[] = R"({"static":{"subdirs":{"suffixes":[
  {"name":"answer","tree":{"static":{"subdirs":{"dynamic_dispatch":{
    "arg":{"id":"single","name":"string"},"tree":{"static":{
      "get_service":{"meth":"GET","path":["answer",{"id":"single","name":"string"}]}}}}}}}},
  {"name":"chains","tree":{"static":{"subdirs":{"dynamic_dispatch":{
    "arg":{"id":"single","name":"chain_id","descr":"A chain"},
    "tree":{"dynamic":"Per-chain services"}}}}}},
  {"name":"pools","tree":{"static":{
    "get_service":{"meth":"GET","path":["pools"],"description":"List the pools"},
    "post_service":{"meth":"POST","path":["pools"]},
    "subdirs":{"suffixes":[{"name":"all","tree":{"static":{
      "delete_service":{"meth":"DELETE",
        "path":["pools","all",{"id":"multiple","name":"key"}]}}}}]}}}}
]}}})";

TEST(ServiceTree, IsPrintedAsOctezDoes) {
  const auto list = read_description(kDescription);
  ASSERT_TRUE(list) << list.error().text();
  EXPECT_EQ(service_text(*list, 0),
            "Available services:\n\n"
            "  - GET /answer/<string>\n"
            "  - /chains/<chain_id> <dynamic>\n"
            "      Per-chain services\n"
            "  + pools\n"
            "    - GET /pools\n"
            "        List the pools\n"
            "    - POST /pools\n"
            "    - DELETE /pools/all/<key>*\n"
            "\nDynamic parameter description:\n\n"
            "  <chain_id>\n"
            "      A chain\n"
            "  key\n"
            "  string");
  for (const char* wrong : {"", "[]", "{}", R"({"static":{"subdirs":{}}})",
                            R"({"static":{"get_service":{"meth":"GET"}}})"}) {
    EXPECT_FALSE(read_description(wrong)) << wrong;
  }
}

TEST(ServiceTree, FromTheListOfOperations) {
  node::v1::DescribeOperationsResponse operations;
  auto* one = operations.add_operations();
  one->set_full_name("a.Kv/Read");
  one->set_http("GET /kv/{store_id}/entries/{key}, GET /kv/{store_id}/all/{key}");
  operations.add_operations()->set_full_name("a.Kv/NoPath");
  EXPECT_EQ(service_text(list_operations(operations, {"kv", "main"}), 2),
            "Available services:\n\n"
            "  - GET /kv/<store_id>/all/<key>\n"
            "      a.Kv/Read\n"
            "  - GET /kv/<store_id>/entries/<key>\n"
            "      a.Kv/Read\n"
            "\nDynamic parameter description:\n\n"
            "  key\n"
            "  store_id");
  EXPECT_TRUE(list_operations(operations, {"pools"}).services.empty());
  EXPECT_TRUE(list_operations(operations, {"kv", "main", "entries", "k", "more"}).services.empty());
}

TEST(ServiceTree, LinesAreWrapped) {
  const std::string long_text(60, 'a');
  EXPECT_EQ(wrapped("b  " + long_text + " " + long_text, 4),
            "    b " + long_text + "\n    " + long_text);
  EXPECT_EQ(wrapped("", 4), "");
}

TEST(BinaryText, ATableForEachEncoding) {
  const auto text = binary_text(
      R"({"toplevel":{"fields":[{"kind":"dyn","num_fields":1,"size":"Uint30"},
      {"name":"name","layout":{"kind":"String"},"data_kind":{"kind":"Variable"},"kind":"named"},
      {"kind":"option_indicator","name":"at"},
      {"name":"at","layout":{"name":"X_0","kind":"Ref"},"data_kind":{"size":1,"kind":"Fixed"},
       "kind":"named"}]},
      "fields":[{"description":{"title":"X_0","description":"a time"},"encoding":{"fields":[
       {"layout":{"size":"Uint8","kind":"Int"},"data_kind":{"size":1,"kind":"Fixed"},
        "kind":"anon"}]}}]})");
  ASSERT_TRUE(text) << text.error().text();
  EXPECT_EQ(*text,
            "+--------------------------+----------+-------------------------------------+\n"
            "| Name                     | Size     | Contents                            |\n"
            "+==========================+==========+=====================================+\n"
            "| # bytes in next field    | 4 bytes  | unsigned 30-bit big-endian integer  |\n"
            "+--------------------------+----------+-------------------------------------+\n"
            "| name                     | Variable | bytes                               |\n"
            "+--------------------------+----------+-------------------------------------+\n"
            "| ? presence of field \"at\" | 1 byte   | boolean (0 for false, 255 for true) |\n"
            "+--------------------------+----------+-------------------------------------+\n"
            "| at                       | 1 byte   | $X_0                                |\n"
            "+--------------------------+----------+-------------------------------------+\n"
            "\nX_0 (a time)\n"
            "+-----------------+--------+------------------------+\n"
            "| Name            | Size   | Contents               |\n"
            "+=================+========+========================+\n"
            "| Unnamed field 0 | 1 byte | unsigned 8-bit integer |\n"
            "+-----------------+--------+------------------------+");
  for (const char* wrong : {"", "{}", R"({"toplevel":{"fields":[{}]},"fields":[]})"}) {
    EXPECT_FALSE(binary_text(wrong)) << wrong;
  }
}

TEST(BinaryText, CasesAreTablesToo) {
  const auto text = binary_text(R"({"toplevel":{"size":"Uint8","cases":[[0,"on"],[1,"off"]]},
      "fields":[{"description":{"title":"X_0"},"encoding":{"tag_size":"Uint8",
        "kind":{"kind":"Dynamic"},"cases":[{"tag":0,"fields":[],"name":"nothing"},
          {"tag":1,"fields":[{"layout":{"size":"Uint8","kind":"Int"},
           "data_kind":{"size":1,"kind":"Fixed"},"kind":"anon"}],"name":"one"}]}}]})");
  ASSERT_TRUE(text) << text.error().text();
  EXPECT_EQ(*text,
            "Enumeration: unsigned 8-bit integer\n"
            "+-------------+------+\n"
            "| Case number | Name |\n"
            "+=============+======+\n"
            "| 0           | on   |\n"
            "+-------------+------+\n"
            "| 1           | off  |\n"
            "+-------------+------+\n"
            "\nX_0\n"
            "One of several cases, each behind its tag: unsigned 8-bit integer\n"
            "nothing (tag 0)\n(no bytes)\n"
            "one (tag 1)\n"
            "+-----------------+--------+------------------------+\n"
            "| Name            | Size   | Contents               |\n"
            "+=================+========+========================+\n"
            "| Unnamed field 0 | 1 byte | unsigned 8-bit integer |\n"
            "+-----------------+--------+------------------------+");
  for (const char* wrong :
       {R"({"toplevel":{"cases":[]},"fields":[]})",
        R"({"toplevel":{"size":"Uint8","cases":[["on",0]]},"fields":[]})",
        R"({"toplevel":{"tag_size":"Uint8","cases":[{"tag":0}]},"fields":[]})"}) {
    EXPECT_FALSE(binary_text(wrong)) << wrong;
  }
}

TEST(ServiceTree, MethodsOfAPathComeInTheirOrder) {
  node::v1::DescribeOperationsResponse operations;
  for (const char* method : {"PATCH", "GET", "POST", "DELETE", "PUT"}) {
    auto* one = operations.add_operations();
    one->set_full_name(method);
    one->set_http(std::string(method) + " /x");
  }
  const auto text = service_text(list_operations(operations, {}), 0);
  std::size_t last = 0;
  for (const char* method : {"GET", "PUT", "DELETE", "POST", "PATCH"}) {
    const auto at = text.find("- " + std::string(method) + " /x");
    ASSERT_NE(at, std::string::npos) << method;
    EXPECT_GT(at, last) << text;
    last = at;
  }
}

}  // namespace
}  // namespace capstan::apps
