// Why this file exists: directories as tables of http-rpc: what may stand beside what (3.4), what
// two of them become when merged (3.5, T9), how paths are looked up and written (T8, T10).
#include <gtest/gtest.h>

#include <array>
#include <deque>

#include "rpc/path_text.h"
#include "wire/rest/route.h"
#include "wire/rest/tree_testing.h"
#include "wire/rest/uri_codec.h"

namespace capstan::wire::rest {
namespace {

using testing::method;
using testing::steps;

// Routes that live as long as a test; `value` is told apart by the path of the binding.
class Shelf {
 public:
  const Route& route(std::string_view path, std::string_view value = {}) {
    Route& made = routes_.emplace_back();
    made.binding.steps = steps(path);
    made.binding.path = value;
    return made;
  }
  // "GET /x", or "dynamic /x" with nothing below it.
  Result<void> add(Tree& tree, std::string_view what) {
    const auto space = what.find(' ');
    const auto path = what.substr(space + 1);
    if (what.starts_with("dynamic")) {
      return tree.add_dynamic(steps(path), [](const auto&) { return Tree(); });
    }
    return tree.add(method(what.substr(0, space)), steps(path), route(path));
  }

 private:
  std::deque<Route> routes_;
};

// "" or the kind of the conflict, which its message begins with.
template <class T>
std::string kind_of(const Result<T>& result) {
  if (result) return "";
  EXPECT_EQ(result.error().code, Code::kAlreadyExists);
  return result.error().message.substr(0, result.error().message.find(' '));
}

// --- what may stand beside what -----------------------------------------------------------------

constexpr std::array<const char*, 11> kColumns = {
    "GET /x",      "POST /x",       "GET /x/lit",   "GET /x/lit2", "GET /x/<a1>",    "POST /x/<a1>",
    "GET /x/<a2>", "GET /x/<a1>/y", "GET /x/<a1>*", "dynamic /x",  "dynamic /x/<a1>"};

struct Row {
  const char* existing;  // empty: nothing
  std::array<const char*, kColumns.size()> outcome;
};

constexpr char kB[] = "builder", kT[] = "tail", kType[] = "type", kDir[] = "directory";

TEST(RestTreeConflicts, Matrix) {
  const Row rows[] = {
      {"", {"", "", "", "", "", "", "", "", "", "", ""}},
      {"GET /x", {"service", "", "", "", "", "", "", "", "service", "service", ""}},
      {"GET /x/lit", {"", "", "service", "", kType, kType, kType, kType, kType, kDir, kType}},
      {"GET /x/<a1>", {"", "", kType, kType, "service", "", "types", "", kType, kDir, "service"}},
      {"dynamic /x", {kB, kB, kB, kB, kB, kB, kB, kB, kB, kB, kB}},
      {"dynamic /x/<a1>", {"", "", kType, kType, kB, kB, "types", kB, kType, kDir, kB}},
      {"GET /x/<a1>*", {kT, kT, kT, kT, kT, kT, kT, kT, kT, kT, kT}},
  };
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      Shelf shelf;
      Tree tree;
      if (*row.existing != '\0') {
        EXPECT_TRUE(shelf.add(tree, row.existing));
      }
      EXPECT_EQ(kind_of(shelf.add(tree, kColumns.at(i))), row.outcome.at(i))
          << row.existing << " then " << kColumns.at(i);
    }
  }
}

TEST(RestTreeConflicts, MessagesNameKindAndPlace) {
  struct Case {
    const char *existing, *added, *message;
  };
  const Case cases[] = {
      {"GET /foobar/<int>*", "GET /foobar/<int>*",
       "tail conflict: GET is registered twice in /foobar/<int...>"},
      {"GET /foobar/<int>*", "GET /foobar/x",
       "tail conflict: <int...> takes everything in /foobar"},
      {"GET /bar/<int>/<float>/add", "GET /bar/<float>/<int>/add",
       "types conflict: found <float>, expected <int> in /bar"},
      {"GET /a/b", "GET /a/b", "service conflict: GET is registered twice in /a/b"},
      {"GET /a/b", "GET /a/<int>", "type conflict: argument <int> beside the literals {b} in /a"},
      {"GET /a/<int>", "GET /a/b", "type conflict: literal 'b' beside the argument <int> in /a"},
      {"GET /a/<int>/b", "dynamic /a/<int>",
       "directory conflict: a dynamic directory where others are in /a/<int>"},
      {"dynamic /a", "GET /a/b", "builder conflict: all of it is dynamic in /a"},
      {"GET /", "GET /", "service conflict: GET is registered twice in /"},
  };
  for (const Case& one : cases) {
    Shelf shelf;
    Tree tree;
    ASSERT_TRUE(shelf.add(tree, one.existing));
    const auto added = shelf.add(tree, one.added);
    ASSERT_FALSE(added) << one.existing << " then " << one.added;
    EXPECT_EQ(added.error().message, one.message);
  }
}

// Ours: another method may join a tail of the same type.
TEST(RestTreeConflicts, ASecondMethodMayJoinATail) {
  Shelf shelf;
  Tree tree;
  EXPECT_TRUE(shelf.add(tree, "GET /x/<a1>*"));
  EXPECT_TRUE(shelf.add(tree, "POST /x/<a1>*"));
  EXPECT_EQ(kind_of(shelf.add(tree, "POST /x/<a1>*")), "tail");
  EXPECT_EQ(tree.find({"x"}).node->allowed(), "GET, POST");
}

// --- two directories as one ---------------------------------------------------------------------

// What merging says under each pick, in both orders: all structural conflicts come always.
TEST(RestTreeMerge, StructuralConflicts) {
  struct Case {
    const char *left, *right, *neither, *picked;
  };
  const Case cases[] = {
      {"GET /x", "GET /x", "service", ""},
      {"GET /x", "POST /x", "", ""},
      {"GET /x", "GET /y", "", ""},
      {"GET /x", "GET /x/<a1>", "", ""},
      {"GET /x/lit", "GET /x/lit2", "", ""},
      {"GET /x/lit", "GET /x/<a1>", kType, kType},
      {"GET /x/<a1>", "POST /x/<a1>", "", ""},
      {"GET /x/<a1>", "GET /x/<a2>", "types", "types"},
      {"dynamic /x", "dynamic /x", "", ""},
      {"dynamic /x", "GET /x", kB, kB},
      {"dynamic /x", "GET /x/lit", kB, kB},
      {"dynamic /x", "GET /x/<a1>*", kB, kB},
      {"dynamic /x/<a1>", "GET /x", "", ""},
      {"dynamic /x/<a1>", "GET /x/<a1>", kB, kB},
      {"GET /x/<a1>*", "POST /x/<a1>*", "", ""},
      {"GET /x/<a1>*", "GET /x/<a1>*", "service", ""},
      {"GET /x/<a1>*", "GET /x/<a2>*", kT, kT},
      {"GET /x/<a1>*", "GET /x", kT, kT},
      {"GET /x/<a1>*", "GET /x/<a1>", kT, kT},
  };
  for (const Case& one : cases) {
    for (const MergePick pick : {MergePick::kNeither, MergePick::kLeft, MergePick::kRight}) {
      for (const bool swapped : {false, true}) {
        Shelf shelf;
        Tree left, right;
        ASSERT_TRUE(shelf.add(left, swapped ? one.right : one.left));
        ASSERT_TRUE(shelf.add(right, swapped ? one.left : one.right));
        EXPECT_EQ(kind_of(Tree::merge(pick, std::move(left), std::move(right))),
                  pick == MergePick::kNeither ? one.neither : one.picked)
            << one.left << " and " << one.right << (swapped ? ", swapped" : "");
      }
    }
  }
}

TEST(RestTreeMerge, DescriptionsOfDynamicNodesCollide) {
  const auto tree = [](const char* description) {
    Tree made;
    EXPECT_TRUE(made.add_dynamic(steps("/x"), [](const auto&) { return Tree(); }, description));
    return made;
  };
  const auto merged = [&](MergePick pick, const char* left, const char* right) {
    return kind_of(Tree::merge(pick, tree(left), tree(right)));
  };
  EXPECT_EQ(merged(MergePick::kNeither, "l", "r"), "dynamic-description");
  EXPECT_EQ(merged(MergePick::kNeither, "l", "l"), "dynamic-description");
  EXPECT_EQ(merged(MergePick::kNeither, "l", ""), "");
  EXPECT_EQ(merged(MergePick::kNeither, "", "r"), "");
  EXPECT_EQ(merged(MergePick::kLeft, "l", "r"), "");
  EXPECT_EQ(merged(MergePick::kRight, "l", "r"), "");
}

TEST(RestTreeMerge, PlacesArePrintedFromTheRoot) {
  Shelf shelf;
  Tree left, right;
  ASSERT_TRUE(shelf.add(left, "GET /a/<int>/b/lit"));
  ASSERT_TRUE(shelf.add(right, "GET /a/<int>/b/lit"));
  EXPECT_EQ(Tree::merge(MergePick::kNeither, std::move(left), std::move(right)).error().message,
            "service conflict: both have GET in /a/<int>/b/lit");
}

TEST(RestTreeMerge, NothingIsNeutral) {
  for (const bool swapped : {false, true}) {
    Shelf shelf;
    Tree full;
    for (const char* one : {"GET /x", "GET /y/<a1>*", "dynamic /z"}) {
      ASSERT_TRUE(shelf.add(full, one));
    }
    auto merged = swapped ? Tree::merge(MergePick::kNeither, Tree(), std::move(full))
                          : Tree::merge(MergePick::kNeither, std::move(full), Tree());
    ASSERT_TRUE(merged);
    EXPECT_NE(merged->find({"x"}).node, nullptr);
    EXPECT_EQ(merged->find({"y", "1", "2"}).arguments.size(), 2U);
    EXPECT_EQ(merged->find({"z"}).made.size(), 1U);
  }
}

// T9. The right one has services of value 1, the left one of value 0.
class Table9 : public ::testing::Test {
 protected:
  void put(Tree& tree, std::string_view path, const char* value) {
    ASSERT_TRUE(tree.add(Method::kGet, steps(path), shelf_.route(path, value)));
  }
  Tree left() {
    Tree tree;
    for (const char* path : {"/dir1", "/dir1/dir3/dir5", "/dir2"}) put(tree, path, "0");
    EXPECT_TRUE(tree.add_dynamic(steps("/dyn1/<int>"),
                                 [this](const std::vector<std::string>& given) -> Result<Tree> {
                                   Tree below;
                                   if (given.at(0) == "0" || given.at(0) == "2")
                                     put(below, "/", "0");
                                   return below;
                                 }));
    return tree;
  }
  Tree right() {
    Tree tree;
    for (const char* path : {"/dir1", "/dir1/dir3/dir5", "/dir1/dir4"}) put(tree, path, "1");
    EXPECT_TRUE(tree.add_dynamic(steps("/dyn1/<int>"),
                                 [this](const std::vector<std::string>& given) -> Result<Tree> {
                                   Tree below;
                                   if (given.at(0) == "1" || given.at(0) == "2")
                                     put(below, "/", "1");
                                   if (given.at(0) == "2") put(below, "/dir6/<int>*", "1");
                                   return below;
                                 }));
    return tree;
  }
  static std::string value_at(const Tree& tree, std::string_view path) {
    const auto found = tree.find(parse_target(path)->segments);
    if (found.failure) return found.failure->message;
    return found.node ? found.node->service(Method::kGet)->binding.path : "not found";
  }
  Shelf shelf_;
};

TEST_F(Table9, WhoIsPickedServes) {
  struct Case {
    const char *path, *left, *right;
  };
  const Case cases[] = {
      {"/dir2", "0", "0"},
      {"/dir1", "0", "1"},
      {"/dir1/dir3/dir5", "0", "1"},
      {"/dir1/dir4", "1", "1"},
      {"/dyn1/0", "0", "0"},
      {"/dyn1/1", "1", "1"},
      {"/dyn1/2", "0", "1"},
      {"/dyn1/2/dir6", "1", "1"},
      {"/dyn1/2/dir6/1/2/3/4", "1", "1"},
      {"/dyn1/3", "not found", "not found"},
      {"/dir1/dir3", "not found", "not found"},
  };
  const auto by_left = Tree::merge(MergePick::kLeft, left(), right());
  const auto by_right = Tree::merge(MergePick::kRight, left(), right());
  ASSERT_TRUE(by_left && by_right);
  for (const Case& one : cases) {
    EXPECT_EQ(value_at(*by_left, one.path), one.left) << one.path;
    EXPECT_EQ(value_at(*by_right, one.path), one.right) << one.path;
  }
  EXPECT_EQ(kind_of(Tree::merge(MergePick::kNeither, left(), right())), "service");
}

// What two builders make collides when it is asked for.
TEST_F(Table9, ConflictsOfBuildersComeWithTheRequest) {
  Tree one, other;
  const auto builder = [this](const auto&) -> Result<Tree> {
    Tree below;
    put(below, "/lit", "0");
    return below;
  };
  ASSERT_TRUE(one.add_dynamic(steps("/x"), builder));
  ASSERT_TRUE(other.add_dynamic(steps("/x"), builder));
  const auto merged = Tree::merge(MergePick::kNeither, std::move(one), std::move(other));
  ASSERT_TRUE(merged);
  EXPECT_EQ(value_at(*merged, "/x/lit"), "service conflict: both have GET in /lit");
  EXPECT_EQ(value_at(*merged, "/y"), "not found");
}

// --- look-up ------------------------------------------------------------------------------------

// T8. The pattern is what metrics call a path; that of a tail is one, however long it is.
TEST(RestTreeLookUp, Table8) {
  Shelf shelf;
  Tree tree;
  for (const char* service :
       {"POST /foo/<int>/repeat", "POST /foo/<int>/add", "GET /bar/<int>/<float>/add",
        "POST /bar/<int>/<float>/add", "POST /bar/<int>/<float>/patch", "POST /bar/<int>/<float>",
        "GET /foobar/<int>*", "GET /describe/<string>*"}) {
    ASSERT_TRUE(shelf.add(tree, service)) << service;
  }
  const Route& minus = shelf.route("/tartine/<float>/chaussure/<int>/minus");
  ASSERT_TRUE(tree.add_dynamic(steps("/tartine/<float>/chaussure"),
                               [&minus](const std::vector<std::string>& given) -> Result<Tree> {
                                 EXPECT_EQ(given, (std::vector<std::string>{"1."}));
                                 Tree below;
                                 EXPECT_TRUE(below.add(Method::kPost, steps("<int>/minus"), minus));
                                 return below;
                               }));
  struct Case {
    const char *request, *result;
  };
  const Case cases[] = {
      {"POST /bar/2/1.7/patch", "/bar/<int>/<float>/patch [2][1.7]"},
      {"POST /tartine/1./chaussure/7/minus", "/tartine/<float>/chaussure/<int>/minus [1.][7]"},
      {"GET /foobar/1/2/3/4/5", "/foobar/<int>* [1][2][3][4][5]"},
      {"GET /toto/1/tata/2/tutu/3", "not found"},
      {"POST /foo", "not found"},
      {"POST /tartine/1./chaussure", "not found"},
      {"POST /foo/surely_not_an_int/add", "cannot parse path"},
      {"POST /tartine/1./chaussure/x/minus", "cannot parse path"},
      {"GET /foobar/1/x/3", "cannot parse path"},
      {"GET /foo/1/add", "method not allowed: POST"},
      {"PUT /foo/3/repeat", "method not allowed: POST"},
      {"PUT /bar/3/4/add", "method not allowed: GET, POST"},
      {"PUT /tartine/1./chaussure/7/minus", "method not allowed: POST"},
  };
  for (const Case& one : cases) {
    const std::string_view request = one.request;
    const auto space = request.find(' ');
    const auto found = tree.find(parse_target(request.substr(space + 1))->segments);
    std::string result;
    if (!found.complaint.empty()) {
      result = "cannot parse path";
    } else if (!found.node) {
      result = "not found";
    } else if (const auto* route = found.node->service(method(request.substr(0, space)))) {
      result = rpc::path_text(route->binding.steps) + " ";
      for (const auto& argument : found.arguments) result += "[" + argument + "]";
    } else {
      result = "method not allowed: " + found.node->allowed();
    }
    EXPECT_EQ(result, one.result) << one.request;
  }
}

// T10.
TEST(RestPathText, Table10) {
  struct Case {
    const char *path, *text;
    std::vector<std::string> segments;
  };
  const Case cases[] = {
      {"", "/", {}},
      {"foo/<int>/bar/<float>", "/foo/<int>/bar/<float>", {"foo", "<int>", "bar", "<float>"}},
      {"foo/<int>*", "/foo/<int>*", {"foo", "<int>*"}},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(rpc::path_text(steps(one.path)), one.text);
    EXPECT_EQ(rpc::path_segments(steps(one.path)), one.segments) << one.path;
  }
}

}  // namespace
}  // namespace capstan::wire::rest
